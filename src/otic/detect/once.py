"""One cause, one alert: what the alerts of some rules tell of is not told again by other rules.

A rule names in `yields_to` the rules whose alerts say more. What "the same" means is decided here,
fact by fact, so that one alert never hides what it does not tell of.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from functools import cached_property
from typing import Any

from otic.detect.matches import Match
from otic.inventory.protocols import carriers

Line = tuple[str, str, str, str]
"""Two machines' conversation in a protocol: space, both addresses in order, protocol."""

Asked = tuple[str, str, str, str, str]
"""A function that a client asked a server for: space, client, server, protocol, function."""

ON_CONNECTION = ("operation", "change", "violation")
USED = ("event", *ON_CONNECTION)
"""Kinds of facts that show what a connection is used for."""
ASKED = ("operation", "event", "violation")
"""Kinds of facts that name a function of a protocol."""


class Told:
    """What the alerts of one rule tell of. Each index is made when a match first needs it."""

    def __init__(self, matches: Iterable[Match]) -> None:
        self._by_kind: dict[str, list[Match]] = defaultdict(list)
        for match in matches:
            self._by_kind[match.kind].append(match)
        self._asked_by: dict[str, set[Asked]] = {}

    def covers(self, match: Match) -> bool:
        """Whether that is told of here already.

        * The same fact, or counted events that were all counted here.
        * A connection on which something happened that is told of here, or that carried a
          connection told of here; or what happened on a connection that is told of here.
        * A request, where the refusal of this function between the same two is told of here, and
          the other way round.
        * Attempts of the same machine over the same transport at the same time.
        """
        kind = match.kind
        if kind == "attempts":
            start, end = _window(match)
            told = self._tried.get(_tries(match), ())
            return any(first <= end and start <= last for first, last in told)
        if kind in self._by_kind:
            ids = match.members or {match.id}
            if ids <= self._facts[kind]:
                return True
        if kind == "connection":
            return bool(self._used) and _lines(match)[0] in self._used
        if kind in ON_CONNECTION and self._connections:
            own, carrying = _lines(match)
            if not self._connections.isdisjoint({own, *carrying}):
                return True
        others = [self._asked(one) for one in ASKED if one != kind and one in self._by_kind]
        return any(not asked.isdisjoint(_asked(match)) for asked in others if asked)

    @cached_property
    def _facts(self) -> dict[str, set[Any]]:
        return {
            kind: {id_ for match in matches for id_ in match.members or (match.id,)}
            for kind, matches in self._by_kind.items()
        }

    @cached_property
    def _connections(self) -> set[Line]:
        return {_lines(match)[0] for match in self._by_kind.get("connection", ())}

    @cached_property
    def _used(self) -> set[Line]:
        found: set[Line] = set()
        for match in self._by_kind.get("connection", ()):
            found |= _lines(match)[1]
        for kind in USED:
            for match in self._by_kind.get(kind, ()):
                own, carrying = _lines(match)
                found |= {own, *carrying}
        return found

    def _asked(self, kind: str) -> set[Asked]:
        found = self._asked_by.get(kind)
        if found is None:
            found = {asked for match in self._by_kind[kind] for asked in _asked(match)}
            self._asked_by[kind] = found
        return found

    @cached_property
    def _tried(self) -> dict[tuple[Any, ...], list[tuple[int, int]]]:
        found: dict[tuple[Any, ...], list[tuple[int, int]]] = defaultdict(list)
        for match in self._by_kind.get("attempts", ()):
            found[_tries(match)].append(_window(match))
        return found


def _lines(match: Match) -> tuple[Line, set[Line]]:
    """The conversation in its own protocol, and in the protocols that carry it."""
    fields = match.fields
    first, second = sorted((str(fields.get("client")), str(fields.get("server"))))
    # An event names the protocol that showed it, which is that of its connection.
    protocol = str(fields.get("connection_protocol") or fields.get("protocol"))
    space = str(fields.get("space"))
    carrying = {(space, first, second, name) for name in carriers(protocol)}
    return (space, first, second, protocol), carrying


def _asked(match: Match) -> set[Asked]:
    fields = match.fields
    ends = str(fields.get("space")), str(fields.get("client")), str(fields.get("server"))
    if match.kind == "operation":
        protocol = str(fields.get("connection_protocol"))
        told = (fields.get("code"), fields.get("name"))
        return {(*ends, protocol, str(function)) for function in told if function is not None}
    function = fields.get("values.function")
    if match.kind not in ("event", "violation") or function is None:
        return set()
    return {(*ends, str(fields.get("protocol")), str(function))}


def _tries(match: Match) -> tuple[Any, ...]:
    return tuple(match.fields.get(name) for name in ("space", "source", "transport"))


def _window(match: Match) -> tuple[int, int]:
    return match.first_ns, match.last_ns or match.first_ns
