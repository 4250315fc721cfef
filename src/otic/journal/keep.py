"""Where a state keeps what there is much of: facts by id, and their counts."""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterable, Iterator, MutableMapping, Sequence
from itertools import islice
from typing import Any, Protocol, TypeVar

from otic.facts import Attempts, Connection

_T = TypeVar("_T")


def batched(items: Iterable[_T], size: int) -> Iterator[list[_T]]:
    """The items in lists of bounded length."""
    left = iter(items)
    while some := list(islice(left, size)):
        yield some


class Counts:
    """Amounts that only grow, and the last time, by the id of the fact they count.

    Rows are lists: the amounts, then the last time in ns.
    """

    def __init__(self) -> None:
        self.recent: dict[bytes, list[int]] = {}

    def add(self, id_: bytes, amounts: Sequence[int], last_ns: int) -> None:
        """Adds to the amounts of one fact."""
        row = self.recent.get(id_)
        if row is None:
            self.recent[id_] = [*amounts, last_ns]
            return
        for at, amount in enumerate(amounts):
            row[at] += amount
        if last_ns > row[-1]:
            row[-1] = last_ns

    def get(self, id_: bytes) -> Sequence[int] | None:
        """The amounts and the last time of one fact; none where nothing was counted."""
        return self.recent.get(id_)

    def several(self, ids: Iterable[bytes]) -> dict[bytes, Sequence[int]]:
        """The rows of these facts, where something was counted."""
        return {id_: row for id_ in ids if (row := self.get(id_)) is not None}


class Keep(Protocol):
    """Where a state keeps what there is much of."""

    def facts(self, name: str) -> MutableMapping[Any, Any]:
        """The place for the facts of this name."""
        ...

    def counts(self, name: str) -> Counts:
        """The place for the counts of the facts of this name."""
        ...

    def expect(self, name: str, ids: Iterable[Any]) -> None:
        """These facts will be asked for."""
        ...

    def connections_of(self, endpoints: set[bytes]) -> list[Connection]:
        """The connections with one of these endpoints."""
        ...

    def facts_on(self, connections: set[bytes]) -> list[tuple[str, bytes]]:
        """Name and id of operations, changes and violations that name one of these connections."""
        ...

    def attempts_of(
        self, sources: Iterable[bytes], transport: str | None, first_ns: int, last_ns: int
    ) -> Iterator[Attempts]:
        """Attempts of these sources (over one transport) whose buckets start from first to last.

        Those of one source and transport come one after the other, in time order.
        """
        ...


class InMemory:
    """Everything in dictionaries."""

    def __init__(self) -> None:
        self._facts: dict[str, dict[Any, Any]] = {"attempts": _AttemptsBySource()}

    def facts(self, name: str) -> MutableMapping[Any, Any]:
        """A dictionary."""
        return self._facts.setdefault(name, {})

    def counts(self, name: str) -> Counts:
        """Counts in a dictionary."""
        return Counts()

    def expect(self, name: str, ids: Iterable[Any]) -> None:
        """All of them are at hand."""

    def connections_of(self, endpoints: set[bytes]) -> list[Connection]:
        """Looks through all connections."""
        return [
            connection
            for connection in self._facts["connections"].values()
            if connection.client_id in endpoints or connection.server_id in endpoints
        ]

    def facts_on(self, connections: set[bytes]) -> list[tuple[str, bytes]]:
        """Looks through all operations, changes and violations."""
        return [
            (name, id_)
            for name in ON_CONNECTIONS
            for id_, fact in self._facts[name].items()
            if fact.connection in connections
        ]

    def attempts_of(
        self, sources: Iterable[bytes], transport: str | None, first_ns: int, last_ns: int
    ) -> Iterator[Attempts]:
        """Those of each source in turn."""
        known: Any = self._facts["attempts"]
        for source in sources:
            yield from known.of(source, transport, first_ns, last_ns)


class _AttemptsBySource(dict[tuple[bytes, str, int], Attempts]):
    """Attempts by source, transport and start of the bucket."""

    def __init__(self) -> None:
        super().__init__()
        self._starts: dict[bytes, dict[str, list[int]]] = {}

    def __setitem__(self, key: tuple[bytes, str, int], fact: Attempts) -> None:
        if key not in self:
            source, transport, start = key
            insort(self._starts.setdefault(source, {}).setdefault(transport, []), start)
        super().__setitem__(key, fact)

    def of(
        self, source: bytes, transport: str | None, first_ns: int, last_ns: int
    ) -> Iterator[Attempts]:
        """Attempts of one source, by transport and time."""
        known = self._starts.get(source, {})
        for over in known if transport is None else known.keys() & {transport}:
            starts = known[over]
            for start in starts[bisect_left(starts, first_ns) : bisect_right(starts, last_ns)]:
                yield self[source, over, start]


KEPT = (
    "connections",
    "observations",
    "operations",
    "changes",
    "events",
    "violations",
    "payloads",
    "attempts",
)
"""Facts of which there is much."""

ON_CONNECTIONS = ("operations", "changes", "violations")
"""Facts that belong to a connection."""

COUNTS_OF = {
    "connections": "connections",
    "operations": "operations",
    "events": "occurrences",
    "violations": "occurrences",
}
"""Which counts are those of each kind of fact."""
