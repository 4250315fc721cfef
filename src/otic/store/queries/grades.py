"""How much was seen of single devices and of those an alert names."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec
from sqlalchemy import Connection, func, select

from otic.coverage.grades import Unseen, worst
from otic.journal.keep import batched
from otic.store import tables
from otic.store.keep import ASKED_AT_ONCE, chunks
from otic.store.queries.common import Store


class Grade(msgspec.Struct, frozen=True):
    """A grade, `A` to `D` or `-` where too little was seen to say, and what was not seen.

    `unseen` is the share of frames by cause: `missing`, `truncated`, `one-way`.
    """

    grade: str
    unseen: dict[str, float]


def of_devices(
    store: Store, connection: Connection, devices: Iterable[bytes]
) -> dict[bytes, Grade]:
    """The grades of these devices."""
    wanted = set(devices)
    table = tables.memberships
    endpoints: dict[bytes, bytes] = {}
    for some in chunks(wanted):
        where = [table.c.device.in_(some), table.c.valid_to.is_(None), store.own(table)]
        rows = connection.execute(select(table.c.endpoint, table.c.device).where(*where))
        endpoints |= {row.endpoint: row.device for row in rows}
    sums: dict[bytes, Unseen] = {id_: Unseen() for id_ in wanted}
    for endpoint, unseen in _unseen(store, connection, endpoints).items():
        own = sums[endpoints[endpoint]]
        own.add(unseen.packets, unseen.missing, unseen.truncated, unseen.one_way)
    return {id_: Grade(one.grade(), one.shares()) for id_, one in sums.items()}


def of_addresses(
    store: Store, connection: Connection, space: str, addresses: Iterable[str]
) -> dict[str, str]:
    """The grade of what was seen of each address of this space, its children's included."""
    table = tables.endpoints
    found: dict[bytes, str] = {}
    for some in batched(set(addresses), ASKED_AT_ONCE):
        where = [table.c.address.in_(some), table.c.space == space, store.own(table)]
        rows = connection.execute(select(table.c.id, table.c.address).where(*where))
        found |= {row.id: row.address for row in rows}
    grades: dict[str, list[str]] = {}
    for id_, unseen in _unseen(store, connection, found).items():
        grades.setdefault(found[id_], []).append(unseen.grade())
    return {address: worst(some) for address, some in grades.items()}


def _unseen(
    store: Store, connection: Connection, endpoints: Iterable[bytes]
) -> dict[bytes, Unseen]:
    """What was seen and what was not of the connections of these endpoints."""
    table = tables.connections
    columns = [
        func.sum(table.c.forward_packets + table.c.reverse_packets),
        func.sum(table.c.missing),
        func.sum(table.c.truncated),
        func.sum(table.c.one_way),
    ]
    found: dict[bytes, Unseen] = {}
    wanted = set(endpoints)
    for side, other in (
        (table.c.client_id, table.c.server_id),
        (table.c.server_id, table.c.client_id),
    ):
        for some in chunks(wanted):
            where = [side.in_(some), side != other, store.own(table)]
            query = select(side, *columns).where(*where).group_by(side)
            for id_, *counts in connection.execute(query):
                found.setdefault(id_, Unseen()).add(*counts)
    return found
