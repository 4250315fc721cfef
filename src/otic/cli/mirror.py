"""`otic mirror`: how good the mirror is that a sensor listens to, or that captures came from."""

from __future__ import annotations

from pathlib import Path

import msgspec

from otic.cli import DONE
from otic.cli.stores import open_store
from otic.coverage.report import Period, text
from otic.store.queries.mirror import mirror


def run(*, database: Path | None, data: Path | None, period: Period | None, as_json: bool) -> int:
    """Prints the report."""
    store = open_store(database, data)
    try:
        found = mirror(store, period)
    finally:
        store.close()
    print(msgspec.json.encode(found).decode() if as_json else text(found).rstrip())
    return DONE
