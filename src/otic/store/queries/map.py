"""The device map: who is on which Purdue level, and who talks to whom.

`graph` reads the whole plant once; `view` cuts out of it what is asked for, small enough to draw.
"""

from __future__ import annotations

from collections.abc import Iterator
from operator import attrgetter
from typing import Literal

import msgspec
from sqlalchemy import Connection, select

from otic.inventory.protocols import is_industrial, protocol
from otic.store import tables
from otic.store.queries.alerts import SEVERITIES
from otic.store.queries.common import Store
from otic.store.queries.talks import Layer, Said, Talks
from otic.times import iso

INTERNET = "internet"
"""Node of all public addresses together, and in the inventory, as `Internet`, the type of one."""

MOST_NODES = 400
"""Devices drawn one by one: of a plant with more, and of an opened group, the rest is counted."""

MOST_EDGES = 2000
"""Lines drawn; the busiest of them, industrial ones first."""

MOST_ADDRESSES = 4
"""Addresses named for one device."""

Pair = tuple[str, str]


class MapNode(msgspec.Struct, frozen=True, kw_only=True):
    """One thing on the map: a device, all public addresses, or a group of devices.

    `devices` is how many devices it stands for, `addresses` how many addresses these have, `named`
    the first of them. `alerts` counts open ones by severity. A `peer` does not match the words that
    were searched but talks to a device that does.
    """

    id: str
    kind: Literal["device", "internet", "group"]
    name: str
    type: str
    vendor: str | None
    level: int | None
    devices: int
    addresses: int
    named: list[str]
    alerts: dict[str, int]
    peer: bool = False


class MapEdge(msgspec.Struct, frozen=True, kw_only=True):
    """Two nodes that talk, `first` and `second` in the order of their ids.

    `packets` sums their connections; of the layers of one conversation the largest counts. `member`
    is a redundancy group and one of its members, whether they talk or not (then nothing is counted,
    and there is no last time).
    """

    first: str
    second: str
    protocols: list[str]
    industrial: bool
    packets: int
    last_seen: str | None
    member: bool = False


class MapProtocol(msgspec.Struct, frozen=True, kw_only=True):
    """A protocol that can be asked for."""

    protocol: str
    title: str
    industrial: bool


class DeviceMap(msgspec.Struct, frozen=True, kw_only=True):
    """What is drawn, and how much of it is left out.

    `devices` counts the top-level devices that match; with `grouped` they are drawn as groups by
    level and type, but for the groups asked to be open.
    """

    nodes: list[MapNode]
    edges: list[MapEdge]
    protocols: list[MapProtocol]
    devices: int
    grouped: bool
    nodes_left_out: int
    edges_left_out: int


class MapFilter(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked for; `open` are ids of groups whose devices are drawn one by one."""

    q: str | None = None
    protocol: str | None = None
    industrial: bool = False
    open: list[str] | None = None


class Graph(msgspec.Struct, frozen=True, kw_only=True):
    """The whole plant: nodes with the text that a search looks in, what they say to each other,
    redundancy groups with their members.
    """

    nodes: dict[str, MapNode]
    search: dict[str, str]
    talks: Talks
    members: set[Pair] = set()


class _Addresses(msgspec.Struct):
    """Of a device's packed body only the addresses and, of a redundancy group, the members."""

    ips: list[str]
    macs: list[str]
    members: list[bytes] = []


class _Row(msgspec.Struct, kw_only=True):
    """What the map needs of one device."""

    id: bytes
    parent: bytes | None
    space: str
    name: str
    type: str
    vendor: str | None
    level: int | None
    addresses: list[str]
    members: list[bytes]
    search: str


AT_ONCE = 2000
"""Rows read at once."""

_addresses = msgspec.msgpack.Decoder(_Addresses).decode


def stamp(store: Store) -> tuple[tuple[str, int], ...]:
    """Changes whenever the store does."""
    table = tables.positions
    with store.reading() as connection:
        rows = connection.execute(
            select(table.c.stream, table.c.batch).where(store.own(table)).order_by(table.c.stream)
        )
        return tuple((stream, batch) for stream, batch in rows)


def graph(store: Store) -> Graph:
    """All top-level devices, public addresses as one, with all that they said to each other."""
    with store.reading() as connection:
        connection = connection.execution_options(yield_per=AT_ONCE)
        rows = {row.id: row for row in _devices(store, connection)}
        tops = _tops(rows)
        alerts = _alerts(store, connection, rows, tops)
        talks = Talks(_said(store, connection, tops))
    nodes: dict[str, MapNode] = {}
    search: dict[str, str] = {}
    public: list[str] = []
    for row in rows.values():
        if row.parent is not None:
            continue
        if tops[row.id] == INTERNET:
            public += row.addresses
            search[INTERNET] = search.get(INTERNET, INTERNET) + "\n" + row.search
            continue
        id_ = tops[row.id]
        search[id_] = row.search
        nodes[id_] = MapNode(
            id=id_,
            kind="device",
            name=row.name,
            type=row.type,
            vendor=row.vendor,
            level=row.level,
            devices=1,
            addresses=len(row.addresses),
            named=row.addresses[:MOST_ADDRESSES],
            alerts=alerts.get(id_, {}),
        )
    if public:
        nodes[INTERNET] = MapNode(
            id=INTERNET,
            kind="internet",
            name="Internet",
            type="Internet",
            vendor=None,
            level=None,
            devices=len(public),
            addresses=len(public),
            named=sorted(public)[:MOST_ADDRESSES],
            alerts=alerts.get(INTERNET, {}),
        )
    members = {
        _pair(tops[row.id], tops[member])
        for row in rows.values()
        for member in row.members
        if member in tops and tops[member] != tops[row.id]
    }
    return Graph(nodes=nodes, search=search, talks=talks, members=members)


def _devices(store: Store, connection: Connection) -> Iterator[_Row]:
    table = tables.devices
    columns = (
        table.c.id,
        table.c.parent,
        table.c.space,
        table.c.name,
        table.c.type,
        table.c.vendor,
        table.c.purdue_level,
        table.c.body,
        table.c.search,
    )
    for row in connection.execute(select(*columns).where(store.own(table))):
        told = _addresses(row.body)
        yield _Row(
            id=row.id,
            parent=row.parent,
            space=row.space,
            name=row.name,
            type=row.type,
            vendor=row.vendor,
            level=row.purdue_level,
            addresses=[*told.ips, *told.macs],
            members=told.members,
            search=row.search,
        )


def _pair(one: str, other: str) -> Pair:
    return (one, other) if one < other else (other, one)


def _tops(rows: dict[bytes, _Row]) -> dict[bytes, str]:
    """The node of each device: a child is part of the machine it sits in."""
    tops = {}
    for id_, row in rows.items():
        top, passed = row, {id_}
        while top.parent in rows and top.parent not in passed:
            passed.add(top.parent)
            top = rows[top.parent]
        tops[id_] = INTERNET if top.type == "Internet" else top.id.hex()
    return tops


def _alerts(
    store: Store, connection: Connection, rows: dict[bytes, _Row], tops: dict[bytes, str]
) -> dict[str, dict[str, int]]:
    """Open alerts of each node by severity; one that names several of its addresses is one."""
    holders = {
        (row.space, address): tops[row.id]
        for row in rows.values()
        if row.parent is None
        for address in row.addresses
    }
    parties, alerts = tables.alert_parties, tables.alerts
    told = connection.execute(
        select(alerts.c.space, parties.c.address, alerts.c.severity, alerts.c.id)
        .join(parties, alerts.c.id == parties.c.alert)
        .where(alerts.c.policy.is_(False), store.own(alerts), store.own(parties))
    )
    seen = {
        (node, severity, id_)
        for space, address, severity, id_ in told
        if (node := holders.get((space, address))) is not None
    }
    counted: dict[str, dict[str, int]] = {}
    for node, severity, _ in seen:
        counts = counted.setdefault(node, {})
        counts[severity] = counts.get(severity, 0) + 1
    return counted


def _said(store: Store, connection: Connection, tops: dict[bytes, str]) -> Iterator[Said]:
    """What nodes said to each other, connection by connection."""
    members, table = tables.memberships, tables.connections
    nodes = {
        endpoint: tops[device]
        for endpoint, device in connection.execute(
            select(members.c.endpoint, members.c.device).where(
                members.c.valid_to.is_(None), store.own(members)
            )
        )
        if device in tops
    }
    rows = connection.execute(
        select(
            table.c.client_id,
            table.c.server_id,
            table.c.protocol,
            table.c.transport,
            table.c.port,
            table.c.forward_packets + table.c.reverse_packets,
            table.c.last_ns,
        ).where(store.own(table))
    )
    for client, server, protocol_, transport, port, packets, last_ns in rows:
        one, other = nodes.get(client), nodes.get(server)
        if one is not None and other is not None:
            yield Said(one, other, Layer(protocol_, transport, port), packets, last_ns)


def view(whole: Graph, asked: MapFilter) -> DeviceMap:
    """What is asked for, small enough to draw."""
    layers = whole.talks.numbers(lambda name: _is_asked(name, asked))
    shown, peers = _asked_nodes(whole, asked, layers)
    drawn = {id_: whole.nodes[id_] for id_ in (*shown, *peers)}
    devices = sum(whole.nodes[id_].kind == "device" for id_ in shown)
    grouped = len(drawn) > MOST_NODES
    into, nodes, left_out = (
        _grouped(drawn, peers, set(asked.open or ()))
        if grouped
        else (
            {id_: id_ for id_ in drawn},
            [
                msgspec.structs.replace(node, peer=True) if id_ in peers else node
                for id_, node in drawn.items()
            ],
            0,
        )
    )
    edges = _edges(whole, layers, into, peers)
    edges.sort(key=lambda edge: (not edge.industrial, -edge.packets, edge.first, edge.second))
    names = {layer.protocol for layer in whole.talks.layers}
    return DeviceMap(
        nodes=sorted(nodes, key=attrgetter("id")),
        edges=edges[:MOST_EDGES],
        protocols=sorted(
            (
                MapProtocol(
                    protocol=name, title=protocol(name).title, industrial=is_industrial(name)
                )
                for name in names
            ),
            key=lambda row: (row.title.lower(), row.protocol),
        ),
        devices=devices,
        grouped=grouped,
        nodes_left_out=left_out,
        edges_left_out=max(0, len(edges) - MOST_EDGES),
    )


def _is_asked(name: str, asked: MapFilter) -> bool:
    return (not asked.protocol or name == asked.protocol) and (
        not asked.industrial or is_industrial(name)
    )


def _asked_nodes(whole: Graph, asked: MapFilter, layers: set[int]) -> tuple[set[str], set[str]]:
    """The nodes that match, and the others they talk to where words are searched."""
    shown = set(whole.nodes)
    if asked.protocol or asked.industrial:
        shown = {id_ for pair in whole.talks.pairs(layers) for id_ in pair}
    words = (asked.q or "").lower().split()[:10]
    if not words:
        return shown, set()
    shown = {id_ for id_ in shown if all(word in whole.search[id_] for word in words)}
    pairs = whole.talks.pairs(layers)
    near = {id_ for pair in pairs if shown.intersection(pair) for id_ in pair}
    return shown, near - shown


def _grouped(
    drawn: dict[str, MapNode], peers: set[str], opened: set[str]
) -> tuple[dict[str, str], list[MapNode], int]:
    """Groups by level and type in place of devices: who is drawn as what, and who is left out."""
    groups: dict[str, list[MapNode]] = {}
    into: dict[str, str] = {}
    nodes: list[MapNode] = []
    left_out = 0
    for id_, node in drawn.items():
        if node.kind == "internet":
            into[id_] = id_
            nodes.append(msgspec.structs.replace(node, peer=id_ in peers))
        else:
            level = "-" if node.level is None else node.level
            groups.setdefault(f"{level}:{node.type}", []).append(node)
    for key, members in groups.items():
        if key in opened:
            members.sort(key=lambda node: (_gravity(node), node.name.lower(), node.id))
            for node in members[:MOST_NODES]:
                into[node.id] = node.id
                nodes.append(msgspec.structs.replace(node, peer=node.id in peers))
            left_out += max(0, len(members) - MOST_NODES)
            continue
        into.update((node.id, key) for node in members)
        alerts = {
            severity: count
            for severity in SEVERITIES
            if (count := sum(node.alerts.get(severity, 0) for node in members))
        }
        nodes.append(
            MapNode(
                id=key,
                kind="group",
                name=members[0].type,
                type=members[0].type,
                vendor=None,
                level=members[0].level,
                devices=len(members),
                addresses=sum(node.addresses for node in members),
                named=[],
                alerts=alerts,
                peer=all(node.id in peers for node in members),
            )
        )
    return into, nodes, left_out


def _gravity(node: MapNode) -> int:
    """Place of the gravest open alert among the severities; behind them where there is none."""
    return next(
        (at for at, severity in enumerate(SEVERITIES) if node.alerts.get(severity)),
        len(SEVERITIES),
    )


def _edges(whole: Graph, layers: set[int], into: dict[str, str], peers: set[str]) -> list[MapEdge]:
    lines = whole.talks.lines(layers, into, peers)
    belong = {
        _pair(into[one], into[other])
        for one, other in whole.members
        if one in into and other in into and into[one] != into[other]
    }
    apart = [
        MapEdge(
            first=first,
            second=second,
            protocols=[],
            industrial=False,
            packets=0,
            last_seen=None,
            member=True,
        )
        for first, second in belong - lines.keys()
    ]
    return apart + [
        MapEdge(
            first=first,
            second=second,
            protocols=(names := sorted({whole.talks.layers[at].protocol for at in line.layers})),
            industrial=any(map(is_industrial, names)),
            packets=line.packets,
            last_seen=iso(line.last_ns),
            member=(first, second) in belong,
        )
        for (first, second), line in lines.items()
    ]
