"""A state's many facts and counts in their tables, behind caches of bounded size.

Facts that a batch brings stay at hand until its transaction wrote them (`written`); counts stay at
hand, as what came since the last checkpoint, until it added them to the rows.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, MutableMapping, Sequence
from heapq import merge
from itertools import islice
from operator import itemgetter
from typing import Any

from sqlalchemy import Connection as Transaction
from sqlalchemy import Table, and_, func, or_, select, tuple_

from otic.facts import Attempts, Connection
from otic.journal.keep import ON_CONNECTIONS, Counts, batched
from otic.store import tables
from otic.store.rows import COUNTED, FACTS

CACHED = 4_000
"""Facts of one kind kept at hand."""

ASKED_AT_ONCE = 500
"""Ids in one question."""


def chunks(ids: Iterable[bytes]) -> Iterator[list[bytes]]:
    """The ids in lists that fit one question."""
    return batched(ids, ASKED_AT_ONCE)


KEYS = {"observations": ("connection",), "attempts": ("source", "transport", "start_ns")}
"""Columns of the key, where it is not the id."""


class StoredFacts(MutableMapping[Any, Any]):
    """The facts of one table."""

    def __init__(self, transaction: Transaction, table: Table, own: Any) -> None:
        self._transaction = transaction
        self._table = table
        self._own = own
        self._columns = [table.c[name] for name in KEYS.get(table.name, ("id",))]
        self._key: Any = self._columns[0] if len(self._columns) == 1 else tuple_(*self._columns)
        self._fact_of: Callable[[Any], tuple[Any, Any]] = FACTS[table.name]
        self._cache: dict[Any, Any] = {}
        self._unwritten: dict[Any, Any] = {}
        self._absent: set[Any] = set()

    def expect(self, ids: Iterable[Any]) -> None:
        """Looks for these facts at once, so that asking for each of them costs nothing."""
        asked = [id_ for id_ in ids if not (id_ in self._cache or id_ in self._unwritten)]
        self._trim(len(asked))
        for some in chunks(asked):
            query = select(self._table).where(self._key.in_(some), *self._own)
            self._cache.update(map(self._fact_of, self._transaction.execute(query)))
        self._absent.update(id_ for id_ in asked if id_ not in self._cache)

    def written(self) -> None:
        """What a batch brought is in the table now."""
        self._cache.update(self._unwritten)
        self._unwritten.clear()
        self._absent.clear()
        self._trim()

    def _trim(self, more: int = 0) -> None:
        """Forgets the facts asked for longest ago, where more would be too many."""
        for id_ in list(islice(self._cache, max(0, len(self._cache) + more - CACHED))):
            del self._cache[id_]

    def unwritten(self) -> Iterable[tuple[Any, Any]]:
        """What the batch at work brought."""
        return self._unwritten.items()

    def __getitem__(self, id_: Any) -> Any:
        fact = self._unwritten.get(id_)
        if fact is None:
            fact = self._cache.get(id_)
        if fact is None and id_ not in self._absent:
            self.expect((id_,))
            fact = self._cache.get(id_)
        if fact is None:
            raise KeyError(id_)
        return fact

    def __setitem__(self, id_: Any, fact: Any) -> None:
        self._unwritten[id_] = fact

    def __delitem__(self, id_: Any) -> None:
        raise TypeError("facts stay")

    def __iter__(self) -> Iterator[Any]:
        rows = self._transaction.execute(select(*self._columns).where(*self._own))
        ids = {row[0] if len(row) == 1 else tuple(row) for row in rows}
        return iter(ids | self._unwritten.keys())

    def __len__(self) -> int:
        rows = select(func.count()).select_from(self._table).where(*self._own)
        stored = self._transaction.scalar(rows) or 0
        return stored + sum(id_ in self._absent for id_ in self._unwritten)

    def items(self) -> Any:
        """All facts with their ids."""
        return self._all()

    def values(self) -> Any:
        """All facts."""
        return (fact for _, fact in self._all())

    def _all(self) -> Iterator[tuple[Any, Any]]:
        """The rows in pieces, by id, with what is not written yet in place of them."""
        query = select(self._table).where(*self._own)
        query = query.order_by(*self._columns).limit(ASKED_AT_ONCE * 4)
        rest = query
        told = set()
        while rows := self._transaction.execute(rest).all():
            for row in rows:
                id_, fact = self._fact_of(row)
                if id_ in self._unwritten:
                    told.add(id_)
                yield id_, self._unwritten.get(id_, fact)
            rest = query.where(self._key > id_)
        yield from ((id_, fact) for id_, fact in self._unwritten.items() if id_ not in told)


class StoredCounts(Counts):
    """Counts of the facts of some tables: what the rows hold and what came since."""

    def __init__(self, transaction: Transaction, of: tuple[Table, ...], own: Any) -> None:
        super().__init__()
        self._transaction = transaction
        self._tables = [(table, own(table)) for table in of]

    def get(self, id_: bytes) -> Sequence[int] | None:
        """The amounts and the last time of one fact; none where nothing was counted."""
        return self.several((id_,)).get(id_)

    def several(self, ids: Iterable[bytes]) -> dict[bytes, Sequence[int]]:
        """The rows of these facts, where something was counted."""
        wanted = list(ids)
        found: dict[bytes, Sequence[int]] = {
            id_: row for id_ in wanted if (row := self.recent.get(id_)) is not None
        }
        for table, own in self._tables:
            columns = [table.c[name] for name in COUNTED[table.name]]
            for some in chunks(wanted):
                query = select(table.c.id, *columns).where(table.c.id.in_(some), *own)
                for id_, *amounts, last in self._transaction.execute(query):
                    if not any(amounts):
                        continue
                    *more, later = found.get(id_, (*(0 for _ in amounts), last))
                    both = [one + other for one, other in zip(amounts, more, strict=True)]
                    found[id_] = (*both, max(last, later))
        return found


class StoredKeep:
    """Keeps the facts and counts of a state in the tables of one sensor."""

    def __init__(self, transaction: Transaction, own: Callable[[Table], list[Any]]) -> None:
        self._transaction = transaction
        self._own = own
        self._facts: dict[str, StoredFacts] = {}

    def facts(self, name: str) -> MutableMapping[Any, Any]:
        """The table of this name, behind a cache."""
        if name not in self._facts:
            table: Table = getattr(tables, name)
            self._facts[name] = StoredFacts(self._transaction, table, self._own(table))
        return self._facts[name]

    def counts(self, name: str) -> Counts:
        """The counts in the rows, and those that came since."""
        of = {
            "connections": (tables.connections,),
            "operations": (tables.operations,),
            "occurrences": (tables.events, tables.violations),
        }
        return StoredCounts(self._transaction, of[name], self._own)

    def expect(self, name: str, ids: Iterable[Any]) -> None:
        """Reads these facts into the cache."""
        self._facts[name].expect(ids)

    def written(self) -> None:
        """The transaction with what a batch brought was committed."""
        for facts in self._facts.values():
            facts.written()

    def connections_of(self, endpoints: set[bytes]) -> list[Connection]:
        """The connections with one of these endpoints."""
        table = tables.connections
        found = {
            id_: fact
            for some in chunks(endpoints)
            for id_, fact in map(
                FACTS["connections"],
                self._transaction.execute(
                    select(table).where(
                        or_(table.c.client_id.in_(some), table.c.server_id.in_(some)),
                        *self._own(table),
                    )
                ),
            )
        }
        found |= {
            id_: fact
            for id_, fact in self._facts["connections"].unwritten()
            if fact.client_id in endpoints or fact.server_id in endpoints
        }
        return list(found.values())

    def facts_on(self, connections: set[bytes]) -> list[tuple[str, bytes]]:
        """Name and id of operations, changes and violations that name one of these connections."""
        found = set()
        for name in ON_CONNECTIONS:
            table: Table = getattr(tables, name)
            for some in chunks(connections):
                where = and_(table.c.connection.in_(some), *self._own(table))
                ids = self._transaction.scalars(select(table.c.id).where(where))
                found |= {(name, id_) for id_ in ids}
            for id_, fact in self._facts[name].unwritten():
                if fact.connection in connections:
                    found.add((name, id_))
        return sorted(found)

    def attempts_of(
        self, sources: Iterable[bytes], transport: str | None, first_ns: int, last_ns: int
    ) -> Iterator[Attempts]:
        """Those of some sources at once, with what is not written yet in place of the rows."""
        table = tables.attempts
        fact_of = FACTS["attempts"]
        where = [table.c.start_ns.between(first_ns, last_ns), *self._own(table)]
        if transport is not None:
            where.append(table.c.transport == transport)
        unwritten: dict[bytes, dict[Any, Attempts]] = defaultdict(dict)
        for key, fact in self._facts["attempts"].unwritten():
            if transport in (None, key[1]) and first_ns <= key[2] <= last_ns:
                unwritten[key[0]][key] = fact
        for some in chunks(sources):
            query = (
                select(table)
                .where(table.c.source.in_(some), *where)
                .order_by(table.c.source, table.c.transport, table.c.start_ns)
            )
            fresh = {
                key: fact for source in some for key, fact in unwritten.get(source, {}).items()
            }
            rows = self._transaction.execute(query).yield_per(ASKED_AT_ONCE)
            stored = (both for both in map(fact_of, rows) if both[0] not in fresh)
            for _, fact in merge(
                stored, sorted(fresh.items(), key=itemgetter(0)), key=itemgetter(0)
            ):
                yield fact
