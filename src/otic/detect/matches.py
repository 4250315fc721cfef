"""Facts that made a rule fire."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
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


Key = tuple[str, Any]
"""What tells one alert from another: the rule, and the values its facts are grouped by."""

Party = tuple[Any, Any]
"""Address space and address."""


def addresses_of(fields: dict[str, Any]) -> set[Party]:
    """The parties that these fields name."""
    named = (fields.get(name) for name in ("client", "server", "source", "address"))
    return {(fields.get("space"), address) for address in named if address}


class Matches:
    """What made rules fire, by alert; a plain fact is kept as the name of its kind only.

    Remembers which alerts changed since they were last looked at, and which have a party in common.
    """

    def __init__(self) -> None:
        self.by_key: dict[Key, dict[Any, Match | str]] = {}
        self.changed: set[Key] = set()
        self._keys_of: dict[Any, set[Key]] = defaultdict(set)
        self._of_party: dict[Party, set[Key]] = defaultdict(set)
        self._parties_of: dict[Key, set[Party]] = defaultdict(set)
        self._of_nobody: set[Key] = set()

    def put(self, key: Key, id_: Any, match: Match | str, fields: dict[str, Any]) -> None:
        """A fact made a rule fire, or fires it with other values."""
        members = self.by_key.setdefault(key, {})
        if members.get(id_) == match:
            return
        members[id_] = match
        self.changed.add(key)
        self._keys_of[id_].add(key)
        parties = addresses_of(fields)
        if not parties:
            self._of_nobody.add(key)
        known = self._parties_of[key]
        for party in parties - known:
            known.add(party)
            self._of_party[party].add(key)

    def drop(self, key: Key, id_: Any) -> None:
        """A fact no longer makes this rule fire."""
        if self.by_key.get(key, {}).pop(id_, None) is not None:
            self.changed.add(key)
            self._keys_of[id_].discard(key)

    def drop_all(self, id_: Any) -> None:
        """A fact no longer makes any rule fire."""
        for key in self._keys_of.pop(id_, ()):
            self.drop(key, id_)

    def touch(self, id_: Any) -> None:
        """What alerts show of this fact may look different now."""
        self.changed |= self._keys_of.get(id_, set())

    def near(self, keys: Iterable[Key]) -> set[Key]:
        """These alerts and all others with a party in common."""
        found = set(keys) | self._of_nobody
        for party in {party for key in found for party in self._parties_of.get(key, ())}:
            found |= self._of_party[party]
        return found
