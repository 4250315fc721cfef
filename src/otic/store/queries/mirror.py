"""How good the mirror is: findings with what mends them, lanes, loss, the report of the start."""

from __future__ import annotations

from typing import Any

import msgspec
from sqlalchemy import Connection, func, select

from otic.coverage.grades import Unseen
from otic.coverage.ledger import Ledger, ledger
from otic.coverage.mirror import STEPS, VLAN_CLAIMS
from otic.coverage.report import (
    MARK,
    Commissioning,
    ConnectionOut,
    CounterOut,
    Mirror,
    Period,
    ProtocolOut,
)
from otic.coverage.words import told
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


def mirror(store: Store, period: Period | None = None) -> Mirror:
    """How good the mirror is; a live sensor is judged by its last quarter of an hour."""
    period = period or ("recent" if store.live is not None else "all")
    with store.reading() as connection:
        clock_ns = _clock(store, connection)
        lanes = _lanes(store, connection)
        first_ns = _first(store, connection)
        since_ns = max(first_ns, clock_ns - WINDOWS * WINDOW_NS) if period == "recent" else first_ns
        judged = _judged(store, connection, lanes, clock_ns, since_ns, period)
        protocols = _protocols(store, connection)
        worst = _worst(store, connection)
        marks = tables.marks
        mark = connection.scalar(
            select(marks.c.value).where(marks.c.name == MARK, store.own(marks))
        )
        commissioning = None if mark is None else msgspec.json.decode(mark, type=Commissioning)
    return Mirror(
        period=period,
        since=iso(since_ns) if clock_ns else None,
        until=iso(clock_ns) if clock_ns else None,
        grade=judged.grade,
        findings=[told(finding) for finding in judged.findings],
        lanes=judged.lanes,
        counters=[
            CounterOut(
                protocol=name, seen=seen, missing=missing, rate=_share(missing, seen + missing)
            )
            for name, (seen, missing) in judged.counters.items()
        ],
        protocols=protocols,
        connections=worst,
        commissioning=commissioning,
    )


def grade(store: Store, connection: Connection) -> str:
    """The grade alone, of the last quarter of an hour of a live sensor, or of everything."""
    clock_ns = _clock(store, connection)
    lanes = _lanes(store, connection)
    first_ns = _first(store, connection)
    if store.live is None:
        return _judged(store, connection, lanes, clock_ns, first_ns, "all").grade
    since_ns = clock_ns - WINDOWS * WINDOW_NS
    return _judged(store, connection, lanes, clock_ns, since_ns, "recent").grade


def _judged(
    store: Store,
    connection: Connection,
    lanes: Lanes,
    clock_ns: int,
    since_ns: int,
    period: Period,
) -> Ledger:
    epochs, claims = tables.epochs, tables.claims
    steps = connection.execute(
        select(epochs.c.after_ns).where(epochs.c.cause.in_(STEPS), store.own(epochs))
    ).all()
    vlans = connection.execute(
        select(claims.c.value, claims.c.attribute).where(
            claims.c.attribute.in_(VLAN_CLAIMS), claims.c.valid_to.is_(None), store.own(claims)
        )
    ).all()
    counts = lanes.recent(clock_ns) if period == "recent" else lanes.total()
    return ledger(
        counts,
        clock_steps=sum(row.after_ns >= since_ns for row in steps),
        expected_vlans=[
            (int(row.value), VLAN_CLAIMS[row.attribute]) for row in vlans if row.value.isdigit()
        ],
    )


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
            connections=row.connections,
            packets=row.packets,
            missing=row.missing,
            truncated=row.truncated,
            one_way=row.one_way,
            grade=_unseen(row).grade(),
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
            packets=row.packets,
            missing=row.missing,
            truncated=row.truncated,
            one_way=row.one_way,
            grade=_unseen(row).grade(),
        )
        for row in rows
    ]


def _unseen(row: Any) -> Unseen:
    return Unseen(row.packets, row.missing, row.truncated, row.one_way)


def _share(part: int, whole: int) -> float:
    return round(part / whole, 4) if whole else 0.0
