"""How good the mirror is: findings with what mends them, lanes, loss, the report of the start."""

from __future__ import annotations

from typing import Any

import msgspec
from sqlalchemy import Connection, func, select

from otic.coverage.grades import Unseen
from otic.coverage.ledger import Ledger, ledger
from otic.coverage.mirror import STEPS, VLAN_CLAIMS, told_vlans
from otic.coverage.report import (
    MARK,
    Commissioning,
    ConnectionOut,
    CounterOut,
    Mirror,
    Period,
    ProtocolOut,
)
from otic.coverage.words import counter_title, told
from otic.inventory.protocols import protocol
from otic.journal.lanes import WINDOW_NS, WINDOWS, LaneCounts, LaneKey, Lanes
from otic.journal.segments import FACTS
from otic.store import tables
from otic.store.queries.common import Store
from otic.store.rows import FACTS as FACT_OF
from otic.times import iso

WORST = 20
"""Connections listed as those of which most is missing."""


_TALKS = tables.connections.c
_COLUMNS = {
    "packets": _TALKS.forward_packets + _TALKS.reverse_packets,
    "missing": _TALKS.missing,
    "truncated": _TALKS.truncated,
    "one_way": _TALKS.one_way,
}


class Judged(msgspec.Struct, frozen=True, kw_only=True):
    """A ledger, and its time, ns: `since_ns` is 0 for everything, `until_ns` for nothing."""

    ledger: Ledger
    period: Period
    since_ns: int
    until_ns: int


def mirror(store: Store, period: Period | None = None) -> Mirror:
    """How good the mirror is; a live sensor is judged by its last quarter of an hour."""
    with store.reading() as connection:
        judged = _judged(store, connection, period)
        since_ns = max(judged.since_ns, _first(store, connection))
        protocols = _protocols(store, connection)
        worst = _worst(store, connection)
        marks = tables.marks
        mark = connection.scalar(
            select(marks.c.value).where(marks.c.name == MARK, store.own(marks))
        )
        commissioning = None if mark is None else msgspec.json.decode(mark, type=Commissioning)
    found = judged.ledger
    return Mirror(
        period=judged.period,
        since=iso(since_ns) if judged.until_ns else None,
        until=iso(judged.until_ns) if judged.until_ns else None,
        grade=found.grade,
        findings=[told(finding) for finding in found.findings],
        lanes=found.lanes,
        counters=[
            CounterOut(
                protocol=name,
                title=counter_title(name),
                seen=seen,
                missing=missing,
                rate=_share(missing, seen + missing),
            )
            for name, (seen, missing) in found.counters.items()
        ],
        protocols=protocols,
        connections=worst,
        commissioning=commissioning,
    )


def grade(store: Store, connection: Connection) -> str:
    """The grade alone, of the last quarter of an hour of a live sensor, or of everything."""
    return _judged(store, connection).ledger.grade


def _judged(store: Store, connection: Connection, period: Period | None = None) -> Judged:
    period = period or ("recent" if store.live is not None else "all")
    lanes, until_ns, since_ns = _lanes(store, connection), _clock(store, connection), 0
    counts = lanes.total()
    if period == "recent":
        since_ns = until_ns - WINDOWS * WINDOW_NS
        counts = lanes.recent(until_ns)
    epochs, claims = tables.epochs, tables.claims
    steps = connection.scalar(
        select(func.count()).where(
            epochs.c.cause.in_(STEPS), epochs.c.after_ns >= since_ns, store.own(epochs)
        )
    )
    said = connection.execute(
        select(claims.c.attribute, claims.c.value).where(
            claims.c.attribute.in_(VLAN_CLAIMS), claims.c.valid_to.is_(None), store.own(claims)
        )
    )
    found = ledger(
        counts,
        clock_steps=steps or 0,
        expected_vlans=told_vlans((row.attribute, row.value) for row in said),
    )
    return Judged(ledger=found, period=period, since_ns=since_ns, until_ns=until_ns)


def _lanes(store: Store, connection: Connection) -> Lanes:
    rows = connection.execute(select(tables.lanes).where(store.own(tables.lanes)))
    found: dict[LaneKey, LaneCounts] = dict(map(FACT_OF["lanes"], rows))
    return Lanes(found)


def _clock(store: Store, connection: Connection) -> int:
    table = tables.positions
    where = [table.c.stream == FACTS, store.own(table)]
    return connection.scalar(select(table.c.clock_ns).where(*where)) or 0


def _first(store: Store, connection: Connection) -> int:
    """When the first thing was seen, ns."""
    table, talks = tables.interfaces, tables.connections
    firsts = [
        connection.scalar(select(column).where(store.own(column.table)).order_by(column).limit(1))
        for column in (table.c.first_ns, talks.c.first_ns)
    ]
    return min((first for first in firsts if first), default=0)


def _protocols(store: Store, connection: Connection) -> list[ProtocolOut]:
    table = tables.connections
    rows = connection.execute(
        select(
            table.c.protocol,
            func.count().label("connections"),
            *(func.sum(column).label(name) for name, column in _COLUMNS.items()),
        )
        .where(store.own(table))
        .group_by(table.c.protocol)
        .order_by(table.c.protocol)
    )
    return [
        ProtocolOut(
            protocol=row.protocol,
            title=protocol(row.protocol).title,
            connections=row.connections,
            **_seen(row),
        )
        for row in rows
    ]


def _worst(store: Store, connection: Connection) -> list[ConnectionOut]:
    """The connections of which most was not seen."""
    table = tables.connections
    unseen = table.c.missing + table.c.truncated + table.c.one_way
    rows = connection.execute(
        select(
            table.c.client,
            table.c.server,
            table.c.protocol,
            *(column.label(name) for name, column in _COLUMNS.items()),
        )
        .where(unseen > 0, store.own(table))
        .order_by(unseen.desc(), table.c.id)
        .limit(WORST)
    )
    return [
        ConnectionOut(
            client=row.client,
            server=row.server,
            protocol=row.protocol,
            title=protocol(row.protocol).title,
            **_seen(row),
        )
        for row in rows
    ]


def _seen(row: Any) -> dict[str, Any]:
    """The counts of a row, and the grade that follows."""
    counts = {name: getattr(row, name) for name in _COLUMNS}
    return {**counts, "grade": Unseen(**counts).grade()}


def _share(part: int, whole: int) -> float:
    return round(part / whole, 4) if whole else 0.0
