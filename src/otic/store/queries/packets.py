"""Which frames of the packet ring belong to a device, a connection or an alert."""

from __future__ import annotations

import time
from collections import defaultdict

import msgspec
from sqlalchemy import Connection, select

from otic.errors import EvidenceError
from otic.sensor.slices import Wanted
from otic.store import tables
from otic.store.queries.common import Store, id_of
from otic.store.queries.devices import Body
from otic.store.results import AlertBody

AROUND_NS = 30_000_000_000
"""Time around an alert whose frames belong to it, where no time is asked for."""

MOST_ALERTS = 1000
"""Alerts whose cited frames get a comment in one slice."""

_device = msgspec.msgpack.Decoder(Body).decode
_alert = msgspec.msgpack.Decoder(AlertBody).decode


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """What someone asks for; what is none narrows nothing. Ids are in hexadecimal, times in ns."""

    start_ns: int | None = None
    end_ns: int | None = None
    hosts: list[str] = []
    port: int | None = None
    device: str | None = None
    connection: str | None = None
    alert: str | None = None


def wanted(store: Store, asked: Asked) -> Wanted:
    """The frames that are meant.

    Two hosts mean what they said to each other; one, or more than two, all that they sent and got.

    Raises:
        EvidenceError: there is no such device, connection or alert.
    """
    start_ns, end_ns, port = asked.start_ns, asked.end_ns, asked.port
    pairs: list[tuple[str, str]] = []
    hosts: list[str] = []
    why = []
    if len(asked.hosts) == 2:
        pairs = [(asked.hosts[0], asked.hosts[1])]
        why.append(f"between {asked.hosts[0]} and {asked.hosts[1]}")
    elif asked.hosts:
        hosts = list(asked.hosts)
        why.append(f"of {', '.join(hosts)}")
    with store.reading() as connection:
        if asked.device is not None:
            name, own = _of_device(store, connection, asked.device)
            hosts += own
            why.append(f"of device {name}")
        if asked.connection is not None:
            pair, of_it = _of_connection(store, connection, asked.connection)
            pairs.append(pair)
            port = of_it if port is None else port
            why.append(f"of the connection {pair[0]} to {pair[1]}")
        if asked.alert is not None:
            title, sides, first_ns, last_ns = _of_alert(store, connection, asked.alert)
            if sides[0] and sides[1]:
                pairs += [(a, b) for a in sides[0] for b in sides[1]]
            else:
                hosts += sides[0] + sides[1]
            start_ns = first_ns - AROUND_NS if start_ns is None else start_ns
            end_ns = last_ns + AROUND_NS if end_ns is None else end_ns
            why.append(f"around the alert {title!r}")
        if port is not None:
            why.append(f"port {port}")
        start_ns = 0 if start_ns is None else start_ns
        end_ns = time.time_ns() if end_ns is None else end_ns
        evidence = _evidence(store, connection, start_ns, end_ns)
    return Wanted(
        start_ns=start_ns,
        end_ns=end_ns,
        why="frames " + (", ".join(why) or "of all"),
        hosts=hosts,
        pairs=pairs,
        port=port,
        evidence=evidence,
    )


def _of_device(store: Store, connection: Connection, id_: str) -> tuple[str, list[str]]:
    table = tables.devices
    row = connection.execute(
        select(table.c.name, table.c.body).where(table.c.id == id_of(id_), store.own(table))
    ).first()
    if row is None:
        raise EvidenceError(f"there is no device {id_}")
    body = _device(row.body)
    addresses = body.ips + body.macs
    if not addresses:
        raise EvidenceError(f"the device {row.name} has no address of its own")
    return row.name, addresses


def _of_connection(
    store: Store, connection: Connection, id_: str
) -> tuple[tuple[str, str], int | None]:
    table = tables.connections
    row = connection.execute(
        select(table.c.client, table.c.server, table.c.port, table.c.transport).where(
            table.c.id == id_of(id_), store.own(table)
        )
    ).first()
    if row is None:
        raise EvidenceError(f"there is no connection {id_}")
    return (row.client, row.server), row.port if row.transport in ("tcp", "udp") else None


def _of_alert(
    store: Store, connection: Connection, id_: str
) -> tuple[str, tuple[list[str], list[str]], int, int]:
    table = tables.alerts
    row = connection.execute(
        select(table.c.title, table.c.body, table.c.first_ns, table.c.last_ns).where(
            table.c.id == id_of(id_), store.own(table)
        )
    ).first()
    if row is None:
        raise EvidenceError(f"there is no alert {id_}")
    body = _alert(row.body)
    # A child address may follow behind a blank: frames know the machine.
    first, second = (
        list(dict.fromkeys(text.split(" ")[0] for text in side))
        for side in (body.sources, body.destinations)
    )
    if not first and not second:
        raise EvidenceError(f"the alert {id_} is not about traffic")
    return row.title, (first, second), row.first_ns, row.last_ns


def _evidence(
    store: Store, connection: Connection, start_ns: int, end_ns: int
) -> dict[tuple[int, int], list[str]]:
    table = tables.alerts
    rows = connection.execute(
        select(table.c.title, table.c.body)
        .where(
            table.c.first_ns <= end_ns,
            table.c.last_ns >= start_ns,
            table.c.policy.is_(False),
            store.own(table),
        )
        .order_by(table.c.first_ns, table.c.id)
        .limit(MOST_ALERTS)
    )
    found: dict[tuple[int, int], list[str]] = defaultdict(list)
    for row in rows:
        for place in dict.fromkeys(span[:2] for span in _alert(row.body).spans):
            found[place].append(row.title)
    return dict(found)
