"""One cause, one alert: what the alerts of some rules tell of is not told again by other rules.

A rule names in `yields_to` the rules whose alerts say more. What "the same" means is decided here,
fact by fact, so that one alert never hides what it does not tell of.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

from otic.detect.matches import Match
from otic.inventory.protocols import carriers

Line = tuple[str, str, str, str]
"""Two machines' conversation in a protocol: space, both addresses in order, protocol."""

Asked = tuple[str, str, str, str, str]
"""A function that a client asked a server for: space, client, server, protocol, function."""

ON_CONNECTION = ("operation", "change", "violation")


class Told:
    """What the alerts of one rule tell of."""

    def __init__(self, matches: Iterable[Match] = ()) -> None:
        self._facts: set[tuple[str, Any]] = set()
        self._connections: set[Line] = set()
        self._used: set[Line] = set()
        self._asked: dict[str, set[Asked]] = defaultdict(set)
        self._tried: dict[tuple[Any, ...], list[tuple[int, int]]] = defaultdict(list)
        for match in matches:
            self.add(match)

    def add(self, match: Match) -> None:
        """Adds what made the rule fire."""
        if match.kind == "attempts":
            self._tried[_tries(match)].append(_window(match))
            return
        self._facts |= _facts(match)
        self._asked[match.kind] |= _asked(match)
        own, carrying = _lines(match)
        if match.kind == "connection":
            self._connections.add(own)
            self._used |= carrying
        elif match.kind in ON_CONNECTION:
            self._used |= {own, *carrying}

    def covers(self, match: Match) -> bool:
        """Whether that is told of here already.

        * The same fact, or counted events that were all counted here.
        * A connection on which something happened that is told of here, or that carried a
          connection told of here; or what happened on a connection that is told of here.
        * A request, where the refusal of this function between the same two is told of here, and
          the other way round.
        * Attempts of the same machine over the same transport at the same time.
        """
        if match.kind == "attempts":
            start, end = _window(match)
            told = self._tried.get(_tries(match), ())
            return any(first <= end and start <= last for first, last in told)
        if self._facts and _facts(match) <= self._facts:
            return True
        if match.kind == "connection" and self._used and _lines(match)[0] in self._used:
            return True
        if match.kind in ON_CONNECTION and self._connections:
            own, carrying = _lines(match)
            if not self._connections.isdisjoint({own, *carrying}):
                return True
        others = [asked for kind, asked in self._asked.items() if kind != match.kind and asked]
        return bool(others) and any(_asked(match) & asked for asked in others)


def _facts(match: Match) -> set[tuple[str, Any]]:
    if match.members:
        return {(match.kind, id_) for id_ in match.members}
    return {(match.kind, match.id)}


def _lines(match: Match) -> tuple[Line, set[Line]]:
    """The conversation in its own protocol, and in the protocols that carry it."""
    fields = match.fields
    first, second = sorted((str(fields.get("client")), str(fields.get("server"))))
    space, protocol = str(fields.get("space")), str(fields.get("connection_protocol"))
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
