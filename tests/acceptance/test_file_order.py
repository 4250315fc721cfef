"""Captures named in another order show the same devices."""

from __future__ import annotations

import random
from typing import Any

from support.program import document, needs_shared, sample

AT_ONCE = 6
LARGEST = 1_000_000


def devices(found: dict[str, Any]) -> Any:
    """All that is said of devices but where it stands in the files."""

    def plain(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: plain(item) for key, item in value.items() if key != "evidence"}
        return [plain(item) for item in value] if isinstance(value, list) else value

    return plain(found["devices"])


@needs_shared
def test_two_orders_give_the_same_devices() -> None:
    """Sample captures together, forwards and backwards: ids, attributes, reasons and claims."""
    captures = [path for path in sample(tenth=True) if path.stat().st_size < LARGEST]
    random.Random(6).shuffle(captures)
    for at in range(0, len(captures), AT_ONCE):
        some = captures[at : at + AT_ONCE]
        there, back = document(*some), document(*some[::-1])
        assert devices(there) == devices(back), [path.name for path in some]
