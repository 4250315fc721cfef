"""Connections and operations: who talks to whom, and what about."""

from __future__ import annotations

from typing import Any, Literal

import msgspec
from sqlalchemy import ColumnElement, Connection, Select, func, or_, select

from otic.coverage.grades import Unseen
from otic.coverage.mirror import is_one_way
from otic.inventory.protocols import protocol as protocol_row
from otic.store import tables
from otic.store.queries.common import (
    Cited,
    Page,
    Ref,
    Store,
    cited,
    cut,
    refs_of_endpoints,
    total_of,
)
from otic.store.queries.devices import Reach, reach_of
from otic.store.queries.grades import Grade
from otic.times import iso

ConnectionSort = Literal["bytes", "packets", "first_seen", "last_seen", "protocol"]
OperationSort = Literal["count", "name", "first_seen", "last_seen", "protocol"]

_stacks = msgspec.msgpack.Decoder(list[list[int]]).decode


class Party(msgspec.Struct, frozen=True):
    """One side of a conversation: its address, the child behind it, its device, its role."""

    address: str
    child: str | None
    device: Ref | None
    role: str


class ConnectionRow(msgspec.Struct, frozen=True, kw_only=True):
    """One long-lived relation of a client to a server."""

    id: str
    client: Party
    server: Party
    transport: str
    port: int | None
    protocol: str
    protocol_title: str
    industrial: bool
    vlans: list[int]
    packets: int
    bytes: int
    first_seen: str
    last_seen: str
    one_way: bool
    coverage: Grade
    space: str
    evidence: Cited


class OperationRow(msgspec.Struct, frozen=True, kw_only=True):
    """What a connection does: the client is who asked."""

    id: str
    client: Party
    server: Party
    protocol: str
    protocol_title: str
    code: int | None
    name: str
    action: str
    object: str | None
    outcome: str
    count: int
    unpaired: int
    first_seen: str
    last_seen: str
    space: str
    evidence: Cited


def connections(
    store: Store,
    *,
    device: str | None = None,
    protocol: str | None = None,
    q: str | None = None,
    sort: ConnectionSort = "bytes",
    descending: bool = True,
    offset: int = 0,
    limit: int = 100,
) -> Page[ConnectionRow]:
    """One page of the connections asked for; corrected ones count with what replaced them."""
    table = tables.connections
    with store.reading() as connection:
        corrected = store.corrected(connection)
        replaced = select(tables.corrections.c.old).where(store.own(tables.corrections))
        where = [store.own(table), *_talk_filter(store, connection, device, protocol, q)]
        if corrected:
            where.append(table.c.id.not_in(replaced))
        column: ColumnElement[Any] = {
            "bytes": table.c.bytes,
            "packets": table.c.forward_packets + table.c.reverse_packets,
            "first_seen": table.c.first_ns,
            "last_seen": table.c.last_ns,
            "protocol": table.c.protocol,
        }[sort]
        total = connection.scalar(select(func.count()).select_from(table).where(*where)) or 0
        rows = connection.execute(
            cut(
                select(table)
                .where(*where)
                .order_by(column.desc() if descending else column.asc(), table.c.id),
                offset,
                limit,
            )
        ).all()
        more = _replaced_counts(store, connection, corrected, {row.id for row in rows})
        refs = refs_of_endpoints(
            store, connection, {id_ for row in rows for id_ in (row.client_id, row.server_id)}
        )
        vlans = _vlans(store, connection, {row.id for row in rows})
        files = store.files(connection)
        items = []
        for row in rows:
            forward, reverse, size, *unseen, last = more.get(row.id, (0,) * 7)
            forward += row.forward_packets
            reverse += row.reverse_packets
            missing, truncated, one_way = (
                earlier + now
                for earlier, now in zip(
                    unseen, (row.missing, row.truncated, row.one_way), strict=True
                )
            )
            seen = Unseen(forward + reverse, missing, truncated, one_way)
            words = protocol_row(row.protocol)
            items.append(
                ConnectionRow(
                    id=row.id.hex(),
                    client=_party(row.client, row.client_child, refs.get(row.client_id), words, 0),
                    server=_party(row.server, row.server_child, refs.get(row.server_id), words, 1),
                    transport=row.transport,
                    port=row.port,
                    protocol=row.protocol,
                    protocol_title=words.title,
                    industrial=words.industrial,
                    vlans=vlans.get(row.id, []),
                    packets=forward + reverse,
                    bytes=row.bytes + size,
                    first_seen=iso(row.first_ns),
                    last_seen=iso(max(row.last_ns, last)),
                    one_way=is_one_way(row.transport, forward, reverse, one_way),
                    coverage=Grade(seen.grade(), seen.shares()),
                    space=row.space,
                    evidence=cited(row.spans, "derived", files),
                )
            )
        return Page(items, total, offset, limit)


def operations(
    store: Store,
    *,
    device: str | None = None,
    protocol: str | None = None,
    action: list[str] | None = None,
    q: str | None = None,
    sort: OperationSort = "count",
    descending: bool = True,
    offset: int = 0,
    limit: int = 100,
) -> Page[OperationRow]:
    """One page of the operations asked for."""
    table, talks = tables.operations, tables.connections
    with store.reading() as connection:
        where = [store.own(table)]
        if device is not None:
            where.append(_operations_about(reach_of(store, connection, device), store))
        if protocol:
            where.append(table.c.protocol == protocol)
        if action:
            where.append(table.c.action.in_(action))
        for word in (q or "").lower().split()[:10]:
            between = select(talks.c.id).where(
                store.own(talks),
                or_(
                    talks.c.client.contains(word, autoescape=True),
                    talks.c.server.contains(word, autoescape=True),
                ),
            )
            told = (table.c.name, table.c.object, table.c.protocol)
            where.append(
                or_(
                    *(func.lower(column).contains(word, autoescape=True) for column in told),
                    table.c.connection.in_(between),
                )
            )
        column: ColumnElement[Any] = {
            "count": table.c.count + table.c.unpaired,
            "name": table.c.name,
            "first_seen": table.c.first_ns,
            "last_seen": table.c.last_ns,
            "protocol": table.c.protocol,
        }[sort]
        total = total_of(connection, table, where)
        some = cut(
            select(table.c.id)
            .where(*where)
            .order_by(column.desc() if descending else column.asc(), table.c.id),
            offset,
            limit,
        ).subquery()
        rows: Any = connection.execute(
            select(
                table,
                talks.c.client,
                talks.c.server,
                talks.c.client_id,
                talks.c.server_id,
                talks.c.space,
            )
            .select_from(
                some.join(table, table.c.id == some.c.id).join(
                    talks, talks.c.id == table.c.connection
                )
            )
            .where(store.own(table), store.own(talks))
            .order_by(column.desc() if descending else column.asc(), table.c.id)
        ).all()
        refs = refs_of_endpoints(
            store, connection, {id_ for row in rows for id_ in (row.client_id, row.server_id)}
        )
        files = store.files(connection)
        items = []
        for row in rows:
            words = protocol_row(row.protocol)
            client, server = (row.client, row.client_id), (row.server, row.server_id)
            if row.reversed:
                client, server = server, client
            items.append(
                OperationRow(
                    id=row.id.hex(),
                    client=_party(client[0], row.client_child, refs.get(client[1]), words, 0),
                    server=_party(server[0], row.server_child, refs.get(server[1]), words, 1),
                    protocol=row.protocol,
                    protocol_title=words.title,
                    code=row.code,
                    name=row.name,
                    action=row.action,
                    object=row.object or None,
                    outcome=row.outcome,
                    count=row._mapping["count"],
                    unpaired=row.unpaired,
                    first_seen=iso(row.first_ns),
                    last_seen=iso(max(row.first_ns, row.last_ns)),
                    space=row.space,
                    evidence=cited(row.spans, "derived", files),
                )
            )
        return Page(items, total, offset, limit)


def _operations_about(reach: Reach, store: Store) -> ColumnElement[bool]:
    table = tables.operations
    about: ColumnElement[bool] = table.c.connection.in_(_between(reach.own, store))
    if reach.child:
        named = or_(table.c.server_child == reach.child, table.c.client_child == reach.child)
        about = about | (table.c.connection.in_(_between(reach.machine, store)) & named)
    return about


def _between(ends: set[bytes], store: Store) -> Select[tuple[bytes]]:
    """The connections that one of these endpoints is a side of."""
    talks = tables.connections
    return select(talks.c.id).where(
        store.own(talks), or_(talks.c.client_id.in_(ends), talks.c.server_id.in_(ends))
    )


def _talk_filter(
    store: Store, connection: Connection, device: str | None, protocol: str | None, q: str | None
) -> list[ColumnElement[bool]]:
    table = tables.connections
    where: list[ColumnElement[bool]] = []
    if device is not None:
        reach = reach_of(store, connection, device)
        about = or_(table.c.client_id.in_(reach.own), table.c.server_id.in_(reach.own))
        if reach.child:
            operations_ = tables.operations
            used = select(operations_.c.connection).where(
                store.own(operations_),
                or_(
                    operations_.c.server_child == reach.child,
                    operations_.c.client_child == reach.child,
                ),
            )
            of_machine = or_(
                table.c.client_id.in_(reach.machine), table.c.server_id.in_(reach.machine)
            )
            about = about | (of_machine & table.c.id.in_(used))
        where.append(about)
    if protocol:
        where.append(table.c.protocol == protocol)
    for word in (q or "").lower().split()[:10]:
        columns = (table.c.client, table.c.server, table.c.protocol, table.c.transport)
        where.append(or_(*(column.contains(word, autoescape=True) for column in columns)))
    return where


def _party(address: str, child: str, device: Ref | None, words: Any, side: int) -> Party:
    role = words.roles[side] if len(words.roles) > side else ("client", "server")[side]
    return Party(address, child or None, device, role)


def _replaced_counts(
    store: Store,
    connection: Connection,
    corrected: dict[bytes, tuple[bytes, bool]],
    ids: set[bytes],
) -> dict[bytes, tuple[int, ...]]:
    """Counts of corrected connections, by what stands for them.

    Forward, reverse, bytes, missing, truncated, seen in one direction only, last time.
    """
    table = tables.connections
    olds = {old for old, (new, _) in corrected.items() if new in ids}
    found: dict[bytes, tuple[int, ...]] = {}
    for row in connection.execute(select(table).where(table.c.id.in_(olds), store.own(table))):
        new, exchanged = corrected[row.id]
        forward, reverse = row.forward_packets, row.reverse_packets
        if exchanged:
            forward, reverse = reverse, forward
        counts = (forward, reverse, row.bytes, row.missing, row.truncated, row.one_way)
        *known, last = found.get(new, (0,) * 7)
        sums = (one + other for one, other in zip(known, counts, strict=True))
        found[new] = (*sums, max(last, row.last_ns))
    return found


def _vlans(store: Store, connection: Connection, ids: set[bytes]) -> dict[bytes, list[int]]:
    table = tables.observations
    return {
        row.connection: sorted({vlan for stack in _stacks(row.vlans) for vlan in stack})
        for row in connection.execute(
            select(table).where(table.c.connection.in_(ids), store.own(table))
        )
    }
