"""Facts that made a rule fire."""

from __future__ import annotations

from typing import Any

import msgspec

from otic.facts import Spans


class Match(msgspec.Struct):
    """One fact, or several counted together, that made a rule fire.

    `members` are the ids of events that a threshold counted. A `side` match is not what the rule
    looks for, but belongs to the same work (`along` of a trigger): shown, never counted.
    """

    kind: str
    id: Any
    fields: dict[str, Any]
    first_ns: int
    spans: Spans
    last_ns: int | None = None
    count: int | None = None
    members: frozenset[bytes] = frozenset()
    side: bool = False


def parties_of(kind: str) -> tuple[str, ...]:
    """The fields that say between whom a fact of this kind is."""
    if kind in ("endpoint", "claim"):
        return ("address", "child")
    return ("source",) if kind == "attempts" else ("client", "server")
