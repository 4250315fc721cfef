"""Devices and alerts in their tables: only what changed is written."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterable
from itertools import chain
from pathlib import Path
from typing import Any

import msgspec
import sqlalchemy
from sqlalchemy import Connection, Table, delete, select
from sqlalchemy.exc import DatabaseError

from otic.detect.alerts import Alert
from otic.errors import StoreError
from otic.facts import Span
from otic.inventory.devices import Device, Inventory
from otic.inventory.several import Several
from otic.journal.fold import State
from otic.journal.keep import batched
from otic.store import tables
from otic.store.engine import open_engine
from otic.store.keep import chunks

ENDPOINTS_AT_ONCE = 1000
"""Endpoints whose memberships are written together."""

PARTY = ("address", "alert", "role")

Upsert = Callable[[str, Iterable[dict[str, Any]]], None]


class Results:
    """The devices, memberships and alerts of one sensor."""

    def __init__(
        self, transaction: Connection, own: Callable[[Table], list[Any]], upsert: Upsert
    ) -> None:
        self._transaction = transaction
        self._own = own
        self._upsert = upsert
        self._members: dict[bytes, bytes] = {}
        self._members_of: Several[bytes, bytes] = Several()
        for row in self._all(tables.memberships, tables.memberships.c.valid_to.is_(None)):
            self._member(row.endpoint, row.device)
        transaction.rollback()

    def devices(self, state: State, inventory: Inventory, changed: Iterable[bytes]) -> None:
        """Writes these devices and who belongs to them; those not in the inventory are gone."""
        changed = set(changed)
        present = [inventory.devices[id_] for id_ in changed & inventory.devices.keys()]
        self._upsert("devices", map(_device_row, present))
        self._delete(tables.devices, changed - inventory.devices.keys())
        endpoints = set(chain.from_iterable(device.endpoints for device in present))
        for id_ in changed:
            endpoints.update(self._members_of[id_])
        for some in batched(sorted(endpoints), ENDPOINTS_AT_ONCE):
            self._memberships(state, inventory, some)

    def whole_inventory(self, state: State, inventory: Inventory) -> None:
        """Makes the tables hold exactly these devices."""
        stored = set(self._transaction.scalars(self._ids(tables.devices)))
        self.devices(state, inventory, {*stored, *inventory.devices, *self._members_of})

    def alerts(self, changed: list[Alert], gone: Iterable[bytes]) -> None:
        """Writes these alerts with their parties, and takes away those that are gone."""
        gone = list(gone)
        self._upsert("alerts", map(_alert_row, changed))
        self._delete(tables.alerts, gone)
        self._parties(changed, gone)
        self._open([alert for alert in changed if not alert.policy])

    def all_alerts(self, alerts: list[Alert]) -> None:
        """Makes the tables hold exactly these alerts."""
        stored = set(self._transaction.scalars(self._ids(tables.alerts)))
        self.alerts(alerts, stored - {alert.id for alert in alerts})

    def _all(self, table: Table, *where: Any) -> Iterable[Any]:
        return self._transaction.execute(select(table).where(*where, *self._own(table)))

    def _ids(self, table: Table) -> Any:
        return select(table.c.id).where(*self._own(table))

    def _delete(self, table: Table, ids: Iterable[bytes]) -> None:
        for some in chunks(ids):
            self._transaction.execute(delete(table).where(table.c.id.in_(some), *self._own(table)))

    def _member(self, endpoint: bytes, device: bytes | None) -> None:
        before = self._members.pop(endpoint, None)
        if before is not None:
            self._members_of.discard(before, endpoint)
        if device is not None:
            self._members[endpoint] = device
            self._members_of.add(device, endpoint)

    def _memberships(self, state: State, inventory: Inventory, endpoints: list[bytes]) -> None:
        """Opens and closes the memberships of these endpoints at the clock of this look.

        One that goes on says the best reason known, not the one known when somebody looked first.
        """
        table = tables.memberships
        opened, closed, going_on = [], [], []
        for endpoint in endpoints:
            before = self._members.get(endpoint)
            device = inventory.device(endpoint)
            if before == (None if device is None else device.id):
                if device is not None:
                    reason = device.basis.get(endpoint, "own address")
                    going_on.append({"b_endpoint": endpoint, "b_reason": reason})
                continue
            if before is not None:
                closed.append({"b_endpoint": endpoint})
            self._member(endpoint, None if device is None else device.id)
            if device is None:
                continue
            start = state.endpoints[endpoint].ts_ns if before is None else state.clock_ns
            opened.append(
                {
                    "endpoint": endpoint,
                    "valid_from": start,
                    "device": device.id,
                    "reason": device.basis.get(endpoint, "own address"),
                    "valid_to": None,
                }
            )
        if closed:
            self._transaction.execute(
                sqlalchemy.update(table)
                .where(
                    table.c.endpoint == sqlalchemy.bindparam("b_endpoint"),
                    table.c.valid_to.is_(None),
                    *self._own(table),
                )
                .values(valid_to=state.clock_ns),
                closed,
            )
        if going_on:
            said: Any = sqlalchemy.bindparam("b_reason")
            self._transaction.execute(
                sqlalchemy.update(table)
                .where(
                    table.c.endpoint == sqlalchemy.bindparam("b_endpoint"),
                    table.c.valid_to.is_(None),
                    table.c.reason != said,
                    *self._own(table),
                )
                .values(reason=said),
                going_on,
            )
        self._upsert("memberships", opened)

    def _open(self, alerts: list[Alert]) -> None:
        """Alerts without a state are open."""
        table = tables.alert_states
        known: set[bytes] = set()
        for some in chunks(alert.id for alert in alerts):
            known.update(
                self._transaction.scalars(
                    select(table.c.alert).where(table.c.alert.in_(some), *self._own(table))
                )
            )
        self._upsert(
            "alert_states",
            [
                {
                    "alert": alert.id,
                    "valid_from": alert.first_ns,
                    "state": "open",
                    "person": "",
                    "reason": "",
                    "valid_to": None,
                }
                for alert in alerts
                if alert.id not in known
            ],
        )

    def _parties(self, changed: list[Alert], gone: list[bytes]) -> None:
        """Makes the sources and destinations of these alerts findable by address."""
        table = tables.alert_parties
        wanted = {
            (address, alert.id, role)
            for alert in changed
            for role, addresses in (
                ("source", alert.sources),
                ("destination", alert.destinations),
            )
            for address in addresses
        }
        known: set[tuple[str, bytes, str]] = set()
        for some in chunks([*(alert.id for alert in changed), *gone]):
            rows = self._all(table, table.c.alert.in_(some))
            known |= {(row.address, row.alert, row.role) for row in rows}
        if left := known - wanted:
            self._transaction.execute(
                delete(table).where(
                    *(table.c[name] == sqlalchemy.bindparam(f"b_{name}") for name in PARTY),
                    *self._own(table),
                ),
                [
                    {f"b_{name}": value for name, value in zip(PARTY, key, strict=True)}
                    for key in left
                ],
            )
        new = sorted(wanted - known)
        self._upsert("alert_parties", [dict(zip(PARTY, key, strict=True)) for key in new])


def _device_row(device: Device) -> dict[str, Any]:
    values = device.attributes
    body = {
        "macs": device.macs,
        "ips": device.ips,
        "vlans": sorted(device.activity.vlans),
        "protocols": sorted(device.activity.protocols),
        "roles": device.roles,
        "attributes": values,
        "reasons": device.reasons,
        "members": device.members,
        "contested": device.contested,
    }
    return {
        "id": device.id,
        "space": device.space,
        "parent": device.parent,
        "child_address": device.child_address,
        "name": device.name,
        "type": device.type,
        "vendor": values.get("vendor"),
        "model": values.get("model"),
        "firmware": values.get("firmware"),
        "serial": values.get("serial"),
        "os": values.get("os"),
        "purdue_level": device.level,
        "first_ns": device.first_ns,
        "body": msgspec.msgpack.Encoder(order="deterministic").encode(body),
        "search": searchable(
            device.name,
            device.type,
            *values.values(),
            *device.ips,
            *device.macs,
            *sorted(device.activity.protocols),
            device.child_address,
            device.space,
            device.id.hex(),
        ),
        "address": _sortable(device),
    }


def searchable(*texts: str) -> str:
    """The text in which a search looks: lower case, each part once, one a line."""
    return "\n".join(dict.fromkeys(text.lower() for text in texts if text))


def _sortable(device: Device) -> str:
    """A text that sorts addresses as numbers: IPv4, then IPv6, then MAC; children after parents."""
    if device.ips:
        address = ipaddress.ip_address(device.ips[0])
        return f"{address.version}{address.packed.hex()} {device.child_address}"
    return f"9{(device.macs or [''])[0]} {device.child_address}"


class AlertBody(msgspec.Struct):
    """What of an alert is not searched for."""

    attack: list[str]
    sources: list[str]
    destinations: list[str]
    values: dict[str, str]
    spans: list[Span]


def _alert_row(alert: Alert) -> dict[str, Any]:
    body = AlertBody(alert.attack, alert.sources, alert.destinations, alert.values, alert.spans)
    return {
        "id": alert.id,
        "rule": alert.rule,
        "title": alert.title,
        "engine": alert.engine,
        "severity": alert.severity,
        "category": alert.category,
        "space": alert.space,
        "policy": alert.policy,
        "first_ns": alert.first_ns,
        "last_ns": alert.last_ns,
        "count": alert.count,
        "message": alert.key,
        "body": msgspec.msgpack.Encoder(order="deterministic").encode(body),
        "search": searchable(
            alert.title,
            alert.rule,
            alert.category,
            *alert.sources,
            *alert.destinations,
            *alert.attack,
            *alert.values.values(),
            alert.id.hex(),
        ),
    }


class StoredAlert(msgspec.Struct):
    """An alert read back, its evidence with file names."""

    title: str
    severity: str
    rule: str
    key: str
    values: dict[str, str]
    places: list[tuple[str, int, int, int]]


def read_alert(path: Path, id_: str) -> StoredAlert:
    """The alert whose id starts with this hexadecimal text.

    Raises:
        StoreError: no such database or alert, or the id fits several.
    """
    if not path.is_file():
        raise StoreError(f"{path}: no such database")
    engine = open_engine(path)
    try:
        with engine.connect() as connection:
            names = [row.file for row in connection.execute(select(tables.captures))]
            found = [
                row
                for row in connection.execute(select(tables.alerts))
                if row.id.hex().startswith(id_.lower())
            ]
    except DatabaseError as error:
        raise StoreError(f"{path.name}: {error.orig}") from None
    finally:
        engine.dispose()
    if len(found) != 1:
        raise StoreError(f"{path.name}: {len(found) or 'no'} alerts have an id like {id_}")
    row = found[0]
    body = msgspec.msgpack.decode(row.body, type=AlertBody)
    return StoredAlert(
        row.title,
        row.severity,
        row.rule,
        row.message,
        body.values,
        [(names[file], frame, offset, length) for file, frame, offset, length in body.spans],
    )
