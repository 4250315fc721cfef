"""The overview: what was captured, what there is, what needs attention, what was not seen."""

from __future__ import annotations

from collections import Counter
from typing import Any

import msgspec
from sqlalchemy import Connection, func, select

from otic.inventory.protocols import ASKED_BY_CONTROLLER, is_industrial, protocol
from otic.journal.fold import Totals
from otic.store import tables
from otic.store.queries.alerts import SEVERITIES
from otic.store.queries.common import Count, Ref, Store, refs_of_addresses, refs_of_endpoints
from otic.store.queries.mirror import grade
from otic.times import iso

CHANGING = (
    "write",
    "control",
    "start",
    "stop",
    "reset",
    "mode",
    "program-upload",
    "program-download",
    "firmware",
    "configuration",
)
"""Actions that change something on a controller, or take its program."""

MOST = 12
"""Rows of each list on the overview."""

MOST_LAYERS = 16
"""Connections looked at for each pair of the top talkers; a pair has one for each protocol."""

_totals = msgspec.msgpack.Decoder(Totals).decode


class CaptureRow(msgspec.Struct, frozen=True, kw_only=True):
    """One capture that was read."""

    file: str
    frames: int
    bytes: int
    link_types: list[str]
    first_seen: str | None
    last_seen: str | None
    cut_off: str | None


class Cause(msgspec.Struct, frozen=True):
    """One reason why something was not seen, or was seen twice."""

    kind: str
    name: str
    count: int


class Coverage(msgspec.Struct, frozen=True, kw_only=True):
    """What was read, and what could not be seen."""

    grade: str
    frames: int
    bytes: int
    causes: list[Cause]


class Talker(msgspec.Struct, frozen=True, kw_only=True):
    """Two addresses and how much they say to each other."""

    client: str
    client_device: Ref | None
    server: str
    server_device: Ref | None
    protocols: list[str]
    bytes: int


class Writer(msgspec.Struct, frozen=True, kw_only=True):
    """Who changed what on which controller."""

    client: str
    client_device: Ref | None
    server: str
    server_device: Ref | None
    server_child: str | None
    protocol: str
    action: str
    names: list[str]
    count: int
    refused: int


class ProtocolRow(msgspec.Struct, frozen=True, kw_only=True):
    """One protocol and how much it is used."""

    protocol: str
    title: str
    industrial: bool
    connections: int
    packets: int
    bytes: int


class Overview(msgspec.Struct, frozen=True, kw_only=True):
    """Everything on the first page."""

    captures: list[CaptureRow]
    devices: int
    by_type: list[Count]
    by_vendor: list[Count]
    by_level: list[Count]
    alerts: int
    by_severity: list[Count]
    would_alert: int
    protocols: list[ProtocolRow]
    talkers: list[Talker]
    writers: list[Writer]
    coverage: Coverage


def captures(store: Store) -> list[CaptureRow]:
    """The captures that were read."""
    with store.reading() as connection:
        return _captures(store, connection)


def _captures(store: Store, connection: Connection) -> list[CaptureRow]:
    return [
        CaptureRow(
            file=capture.file,
            frames=capture.frames,
            bytes=capture.bytes,
            link_types=capture.link_types,
            first_seen=None if capture.first_ns is None else iso(capture.first_ns),
            last_seen=None if capture.last_ns is None else iso(capture.last_ns),
            cut_off=capture.cut_off,
        )
        for capture in store.captures(connection)
    ]


def overview(store: Store) -> Overview:
    """Everything on the first page."""
    devices, alerts = tables.devices, tables.alerts
    with store.reading() as connection:
        severities: dict[str, int] = dict(
            connection.execute(
                select(alerts.c.severity, func.count())
                .where(store.own(alerts), alerts.c.policy.is_(False))
                .group_by(alerts.c.severity)
            )
            .tuples()
            .all()
        )
        would = connection.scalar(
            select(func.count()).where(store.own(alerts), alerts.c.policy.is_(True))
        )
        by_type = _counts(store, connection, devices, devices.c.type)
        return Overview(
            captures=_captures(store, connection),
            devices=sum(row.count for row in by_type),
            by_type=by_type,
            by_vendor=_counts(store, connection, devices, devices.c.vendor),
            by_level=sorted(
                _counts(store, connection, devices, devices.c.purdue_level),
                key=lambda row: (row.value is None, row.value),
            ),
            alerts=sum(severities.values()),
            by_severity=[Count(name, severities.get(name, 0)) for name in SEVERITIES],
            would_alert=would or 0,
            protocols=_protocols(store, connection),
            talkers=_talkers(store, connection),
            writers=_writers(store, connection),
            coverage=_coverage(store, connection),
        )


def _counts(store: Store, connection: Connection, table: Any, column: Any) -> list[Count]:
    rows = connection.execute(
        select(column, func.count().label("n"))
        .where(store.own(table))
        .group_by(column)
        .order_by(func.count().desc(), column)
    )
    return [Count(None if value is None else str(value), count) for value, count in rows]


def _protocols(store: Store, connection: Connection) -> list[ProtocolRow]:
    table = tables.connections
    rows = connection.execute(
        select(
            table.c.protocol,
            func.count().label("n"),
            func.sum(table.c.forward_packets + table.c.reverse_packets).label("packets"),
            func.sum(table.c.bytes).label("bytes"),
        )
        .where(store.own(table))
        .group_by(table.c.protocol)
        .order_by(func.sum(table.c.bytes).desc(), table.c.protocol)
    )
    return [
        ProtocolRow(
            protocol=row.protocol,
            title=protocol(row.protocol).title,
            industrial=is_industrial(row.protocol),
            connections=row.n,
            packets=row.packets,
            bytes=row.bytes,
        )
        for row in rows
    ]


def _talkers(store: Store, connection: Connection) -> list[Talker]:
    """Pairs by bytes. A layer within another is counted once: the largest of a pair's layers."""
    table = tables.connections
    largest = connection.execute(
        select(table.c.client_id, table.c.server_id)
        .where(store.own(table))
        .order_by(table.c.bytes.desc(), table.c.id)
        .limit(MOST * MOST_LAYERS)
    )
    pairs = list(dict.fromkeys((row.client_id, row.server_id) for row in largest))[:MOST]
    found: dict[tuple[bytes, bytes], list[Any]] = {}
    for row in connection.execute(
        select(table).where(table.c.client_id.in_({pair[0] for pair in pairs}), store.own(table))
    ):
        found.setdefault((row.client_id, row.server_id), []).append(row)
    refs = refs_of_endpoints(store, connection, {end for pair in pairs for end in pair})
    return [
        Talker(
            client=found[pair][0].client,
            client_device=refs.get(pair[0]),
            server=found[pair][0].server,
            server_device=refs.get(pair[1]),
            protocols=sorted({protocol(row.protocol).title for row in found[pair]}),
            bytes=max(row.bytes for row in found[pair]),
        )
        for pair in pairs
    ]


def _writers(store: Store, connection: Connection) -> list[Writer]:
    table, talks = tables.operations, tables.connections
    changing = [store.own(table), table.c.action.in_(CHANGING)]
    used = select(table.c.connection).where(*changing)
    parties = {
        row.id: (row.client, row.server)
        for row in connection.execute(
            select(talks.c.id, talks.c.client, talks.c.server).where(
                store.own(talks), talks.c.id.in_(used)
            )
        )
    }
    what = (
        table.c.connection,
        table.c.reversed,
        table.c.server_child,
        table.c.protocol,
        table.c.action,
        table.c.name,
        table.c.outcome,
    )
    times = func.sum(table.c.count + table.c.unpaired).label("n")
    rows = connection.execute(select(*what, times).where(*changing).group_by(*what)).all()
    counts: Counter[tuple[str, str, str, str, str]] = Counter()
    refused: Counter[tuple[str, str, str, str, str]] = Counter()
    names: dict[tuple[str, str, str, str, str], set[str]] = {}
    for row in rows:
        if not is_industrial(row.protocol) or row.connection not in parties:
            continue
        client, server = parties[row.connection]
        if row.reversed and row.name not in ASKED_BY_CONTROLLER:
            client, server = server, client
        key = client, server, row.server_child, row.protocol, row.action
        counts[key] += row.n
        names.setdefault(key, set()).add(row.name)
        if row.outcome == "error":
            refused[key] += row.n
    grave = {name: at for at, name in enumerate(reversed(CHANGING))}
    order = sorted(counts, key=lambda key: (grave[key[4]], -counts[key], key))[: 2 * MOST]
    refs = refs_of_addresses(store, connection, {side for key in order for side in key[:2]})
    return [
        Writer(
            client=key[0],
            client_device=refs.get(key[0]),
            server=key[1],
            server_device=refs.get(key[1]),
            server_child=key[2] or None,
            protocol=protocol(key[3]).title,
            action=key[4],
            names=sorted(names[key]),
            count=counts[key],
            refused=refused[key],
        )
        for key in order
    ]


def _coverage(store: Store, connection: Connection) -> Coverage:
    table, talks, epochs = tables.positions, tables.connections, tables.epochs
    packed = connection.scalar(select(table.c.coverage).where(store.own(table)))
    totals = Totals() if packed is None else _totals(packed)
    replaced = select(tables.corrections.c.old).where(store.own(tables.corrections))
    one_way = connection.scalar(
        select(func.count()).where(
            store.own(talks),
            talks.c.transport == "tcp",
            talks.c.id.not_in(replaced),
            2 * talks.c.one_way > talks.c.forward_packets + talks.c.reverse_packets,
        )
    )
    jumps = connection.scalar(select(func.count()).select_from(epochs).where(store.own(epochs)))
    causes = [
        *(Cause("not-decoded", name, count) for name, count in sorted(totals.by_cause.items())),
        *(
            Cause("link-type", name, count)
            for name, count in sorted(totals.undecoded_link_types.items())
        ),
        *(Cause("copies", name, count) for name, count in sorted(totals.copies.items())),
        *(Cause("capped", name, count) for name, count in sorted(totals.capped.items())),
        Cause("truncated", "", totals.truncated),
        Cause("out-of-order", "", totals.out_of_order),
        Cause("one-way", "", one_way or 0),
        Cause("clock-jumps", "", jumps or 0),
    ]
    return Coverage(
        grade=grade(store, connection),
        frames=totals.frames,
        bytes=totals.bytes,
        causes=[cause for cause in causes if cause.count],
    )
