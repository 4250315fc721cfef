"""The route `/api/template`."""

from __future__ import annotations

from typing import Any


def test_it_answers(viewer: Any) -> None:
    """Whoever may read gets the sum of the demo plant's capture."""
    answer = viewer.get("/api/template")

    assert answer["captures"] == 1
    assert answer["frames"] > 100


def test_it_is_not_for_strangers(client: Any) -> None:
    """Without a log-in there is no answer."""
    assert client.get("/api/template").status_code == 401
