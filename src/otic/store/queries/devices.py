"""Devices: lists to search in, and everything known about one."""

from __future__ import annotations

from typing import Any, Literal

import msgspec
from sqlalchemy import ColumnElement, Connection, case, func, or_, select

from otic.facts import Claim
from otic.inventory.attributes import rank
from otic.inventory.attributes import source as source_of
from otic.inventory.payloads import PayloadReader
from otic.journal.fold import State
from otic.store import tables
from otic.store.queries.common import (
    Cited,
    Page,
    Ref,
    Store,
    cited,
    containing,
    id_of,
    refs_of_endpoints,
    total_of,
    whole_rows,
)
from otic.store.queries.grades import Grade, of_devices
from otic.store.rows import read
from otic.times import iso

Sort = Literal["name", "type", "vendor", "model", "firmware", "address", "level", "first_seen"]
Standing = Literal["used", "agrees", "contradicts", "other"]


class Body(msgspec.Struct):
    """What of a device the tables keep packed."""

    macs: list[str]
    ips: list[str]
    vlans: list[int]
    protocols: list[str]
    roles: list[str]
    attributes: dict[str, str]
    reasons: dict[str, Any]
    members: list[bytes]
    contested: list[str]


_body = msgspec.msgpack.Decoder(Body).decode


class DeviceRow(msgspec.Struct, frozen=True, kw_only=True):
    """One device in a list; `alerts` counts open ones by severity."""

    id: str
    name: str
    type: str
    vendor: str | None
    model: str | None
    firmware: str | None
    serial: str | None
    os: str | None
    ips: list[str]
    macs: list[str]
    protocols: list[str]
    purdue_level: int | None
    parent: Ref | None
    child_address: str | None
    space: str
    first_seen: str
    last_seen: str
    alerts: dict[str, int]
    coverage: Grade


class ClaimRow(msgspec.Struct, frozen=True, kw_only=True):
    """What one message told, and how it stands to the resolved value."""

    attribute: str
    value: str
    protocol: str
    message: str
    confidence: str
    endpoint: str
    standing: Standing
    seen: str
    ended: str | None
    evidence: Cited


class Attribute(msgspec.Struct, frozen=True, kw_only=True):
    """One attribute: the resolved value, why it counts, and all that was told about it."""

    attribute: str
    value: str | None
    rule: str
    reason: dict[str, str]
    contradicted: bool
    claims: list[ClaimRow]


class Address(msgspec.Struct, frozen=True):
    """One address, and why it is this machine's."""

    address: str
    kind: Literal["ip", "mac"]
    reason: str


class DeviceDetail(msgspec.Struct, frozen=True, kw_only=True):
    """Everything known about one device, apart from its traffic and alerts.

    A redundancy group has `members`; `groups` are those that the device is a member of.
    """

    device: DeviceRow
    roles: list[str]
    vlans: list[int]
    addresses: list[Address]
    contested: list[str]
    attributes: list[Attribute]
    children: list[DeviceRow]
    members: list[Ref]
    groups: list[Ref]


class DeviceFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Which devices are asked for; an empty text in a list of values means not known."""

    q: str | None = None
    type: list[str] | None = None
    vendor: list[str] | None = None
    level: list[int] | None = None
    protocol: str | None = None
    space: str | None = None


def page(
    store: Store,
    asked: DeviceFilter,
    *,
    sort: Sort = "name",
    descending: bool = False,
    offset: int = 0,
    limit: int = 100,
) -> Page[DeviceRow]:
    """One page of the devices asked for."""
    table = tables.devices
    where = [store.own(table), *containing(table.c.search, asked.q)]
    if asked.type:
        where.append(table.c.type.in_(asked.type))
    if asked.vendor:
        where.append(func.coalesce(table.c.vendor, "").in_(asked.vendor))
    if asked.level:
        where.append(table.c.purdue_level.in_(asked.level))
    if asked.protocol:
        line = "\n" + table.c.search + "\n"
        where.append(line.contains(f"\n{asked.protocol.lower()}\n", autoescape=True))
    if asked.space:
        where.append(table.c.space == asked.space)
    with store.reading() as connection:
        total = total_of(connection, table, where)
        order = [*_order(sort, descending), table.c.id]
        rows = whole_rows(connection, table, where, order, offset, limit)
        return Page(_rows(store, connection, rows), total, offset, limit)


def _order(sort: Sort, descending: bool) -> list[ColumnElement[Any]]:
    table = tables.devices
    column: ColumnElement[Any] = {
        "name": func.lower(table.c.name),
        "type": table.c.type,
        "vendor": func.lower(table.c.vendor),
        "model": func.lower(table.c.model),
        "firmware": func.lower(table.c.firmware),
        "address": table.c.address,
        "level": table.c.purdue_level,
        "first_seen": table.c.first_ns,
    }[sort]
    unknown = case((column.is_(None), 1), else_=0)
    return [unknown, column.desc() if descending else column.asc()]


def _rows(store: Store, connection: Connection, rows: Any) -> list[DeviceRow]:
    bodies = {row.id: _body(row.body) for row in rows}
    parents = _refs(store, connection, {row.parent for row in rows if row.parent is not None})
    last = _last_seen(store, connection, set(bodies))
    addresses = {
        (row.space, address): row.id
        for row in rows
        for address in (*bodies[row.id].ips, *bodies[row.id].macs)
    }
    alerts = _alerts(store, connection, addresses)
    grades = of_devices(store, connection, bodies)
    return [
        DeviceRow(
            id=row.id.hex(),
            name=row.name,
            type=row.type,
            vendor=row.vendor,
            model=row.model,
            firmware=row.firmware,
            serial=row.serial,
            os=row.os,
            ips=bodies[row.id].ips,
            macs=bodies[row.id].macs,
            protocols=bodies[row.id].protocols,
            purdue_level=row.purdue_level,
            parent=parents.get(row.parent),
            child_address=row.child_address or None,
            space=row.space,
            first_seen=iso(row.first_ns),
            last_seen=iso(max(row.first_ns, last.get(row.id, 0))),
            alerts=alerts.get(row.id, {}),
            coverage=grades[row.id],
        )
        for row in rows
    ]


def _refs(store: Store, connection: Connection, ids: set[bytes]) -> dict[bytes, Ref]:
    table = tables.devices
    rows = connection.execute(
        select(table.c.id, table.c.name, table.c.type).where(table.c.id.in_(ids), store.own(table))
    )
    return {row.id: Ref(row.id.hex(), row.name, row.type) for row in rows}


def _last_seen(store: Store, connection: Connection, ids: set[bytes]) -> dict[bytes, int]:
    members, talks = tables.memberships, tables.connections
    found: dict[bytes, int] = {}
    for side in (talks.c.client_id, talks.c.server_id):
        rows = connection.execute(
            select(members.c.device, func.max(talks.c.last_ns).label("last_ns"))
            .join(talks, side == members.c.endpoint)
            .where(
                members.c.device.in_(ids),
                members.c.valid_to.is_(None),
                store.own(members),
                store.own(talks),
            )
            .group_by(members.c.device)
        )
        for row in rows:
            found[row.device] = max(found.get(row.device, 0), row.last_ns)
    return found


def _alerts(
    store: Store, connection: Connection, addresses: dict[tuple[str, str], bytes]
) -> dict[bytes, dict[str, int]]:
    parties, alerts = tables.alert_parties, tables.alerts
    rows = connection.execute(
        select(parties.c.address, alerts.c.space, alerts.c.severity, alerts.c.id)
        .join(alerts, alerts.c.id == parties.c.alert)
        .where(
            parties.c.address.in_({address for _, address in addresses}),
            alerts.c.policy.is_(False),
            store.own(parties),
            store.own(alerts),
        )
    )
    seen: dict[bytes, dict[bytes, str]] = {}
    for row in rows:
        device = addresses.get((row.space, row.address))
        if device is not None:
            seen.setdefault(device, {})[row.id] = row.severity
    counted: dict[bytes, dict[str, int]] = {}
    for device, severities in seen.items():
        counts = counted.setdefault(device, {})
        for severity in severities.values():
            counts[severity] = counts.get(severity, 0) + 1
    return counted


def detail(store: Store, id_: str) -> DeviceDetail | None:
    """Everything known about this device; nothing when there is no such device."""
    table = tables.devices
    with store.reading() as connection:
        row = connection.execute(
            select(table).where(table.c.id == id_of(id_), store.own(table))
        ).first()
        if row is None:
            return None
        body = _body(row.body)
        below = connection.execute(
            select(table)
            .where(table.c.parent == row.id, store.own(table))
            .order_by(table.c.address)
        ).all()
        return DeviceDetail(
            device=_rows(store, connection, [row])[0],
            roles=body.roles,
            vlans=body.vlans,
            addresses=_addresses(body),
            contested=body.contested,
            attributes=_attributes(body, row, _claims(store, connection, row.id)),
            children=_rows(store, connection, below),
            members=sorted(
                _refs(store, connection, set(body.members)).values(), key=lambda ref: ref.name
            ),
            groups=_groups(store, connection, row.id),
        )


def _groups(store: Store, connection: Connection, device: bytes) -> list[Ref]:
    """The redundancy groups that this device is a member of."""
    table = tables.devices
    rows = connection.execute(
        select(table.c.id, table.c.body).where(table.c.type == "Group", store.own(table))
    )
    found = {row.id for row in rows if device in _body(row.body).members}
    return sorted(_refs(store, connection, found).values(), key=lambda ref: ref.name)


def _addresses(body: Body) -> list[Address]:
    found: list[Address] = []
    for kind, values in (("ip", body.ips), ("mac", body.macs)):
        why = body.reasons.get(f"{kind}s", {}).get("by", {})
        found += [
            Address(value, "ip" if kind == "ip" else "mac", why.get(value, "own address"))
            for value in values
        ]
    return found


def _attributes(body: Body, row: Any, claims: list[tuple[Claim, ClaimRow]]) -> list[Attribute]:
    """Resolved attributes first, in the order people ask for them, then all others told."""
    resolved = {"type": row.type, **body.attributes}
    told: dict[str, list[tuple[Claim, ClaimRow]]] = {}
    for claim, line in claims:
        told.setdefault(claim.attribute, []).append((claim, line))
    order = [name for name in SHOWN_FIRST if name in resolved or name in told]
    order += sorted((set(resolved) | set(told)) - set(order))
    rows = []
    for name in order:
        value = resolved.get(name)
        reason = body.reasons.get(name, {})
        if name in ONE_VALUED and value is None:
            best = max((claim for claim, _ in told[name]), key=rank)
            value, reason = best.value, {"rule": "claim"} | source_of(best)
        source = reason.get("attribute", name)
        lines: list[ClaimRow] = []
        contradicted = False
        for claim, line in told.get(name, []):
            standing = _standing(claim, name, value, source, reason)
            contradicted |= standing == "contradicts"
            lines.append(msgspec.structs.replace(line, standing=standing))
        if source != name:
            lines += [
                msgspec.structs.replace(line, standing="used")
                for claim, line in told.get(source, [])
                if claim.value == reason.get("value")
                and claim.protocol == reason.get("protocol")
                and claim.message == reason.get("message")
            ]
        lines.sort(key=lambda line: (STANDINGS.index(line.standing), line.protocol, line.value))
        rows.append(
            Attribute(
                attribute=name,
                value=value,
                rule=str(reason.get("rule", "told")),
                reason={
                    key: str(text)
                    for key, text in reason.items()
                    if key != "rule" and isinstance(text, str | int)
                },
                contradicted=contradicted,
                claims=lines,
            )
        )
    return rows


SHOWN_FIRST = (
    "name",
    "type",
    "safety_class",
    "vendor",
    "model",
    "order_number",
    "firmware",
    "hardware",
    "serial",
    "os",
    "os_version",
    "description",
    "location",
)
ONE_VALUED = frozenset({"device_type_id", "product_code", "vendor_id"})
"""Attributes that are not resolved, but of which a device has one: others contradict."""

STANDINGS: tuple[Standing, ...] = ("used", "agrees", "contradicts", "other")


def _standing(
    claim: Claim, name: str, value: str | None, source: str, reason: dict[str, Any]
) -> Standing:
    if value is None:
        return "other"
    if claim.value != value:
        return "contradicts"
    used = source == name and all(
        reason.get(key) == getattr(claim, key) for key in ("protocol", "message")
    )
    return "used" if used else "agrees"


def _claims(store: Store, connection: Connection, device: bytes) -> list[tuple[Claim, ClaimRow]]:
    members, table, endpoints = tables.memberships, tables.claims, tables.endpoints
    files = store.files(connection)
    owners = {
        row.id: f"{row.address} {row.child}".rstrip()
        for row in connection.execute(
            select(endpoints.c.id, endpoints.c.address, endpoints.c.child)
            .join(members, members.c.endpoint == endpoints.c.id)
            .where(
                members.c.device == device,
                members.c.valid_to.is_(None),
                store.own(members),
                store.own(endpoints),
            )
        )
    }
    state = State()
    rows = connection.execute(
        select(table).where(table.c.endpoint.in_(owners), store.own(table))
    ).all()
    ended = {row.id: row.valid_to for row in rows}
    read(state, "claims", rows)
    claims = [*state.claims.values(), *_from_payloads(store, connection, set(owners))]
    return [
        (
            claim,
            ClaimRow(
                attribute=claim.attribute,
                value=claim.value,
                protocol=claim.protocol,
                message=claim.message,
                confidence=claim.confidence,
                endpoint=owners[claim.endpoint],
                standing="other",
                seen=iso(claim.ts_ns),
                ended=iso(until) if (until := ended.get(claim.id)) is not None else None,
                evidence=cited(claim.evidence.spans, claim.evidence.decode, files),
            ),
        )
        for claim in claims
    ]


def _from_payloads(store: Store, connection: Connection, owners: set[bytes]) -> list[Claim]:
    """Claims read from certificates and descriptions that these endpoints sent."""
    payloads, talks = tables.payloads, tables.connections
    kept = connection.execute(
        select(payloads)
        .join(talks, talks.c.id == payloads.c.connection)
        .where(
            or_(talks.c.client_id.in_(owners), talks.c.server_id.in_(owners)),
            store.own(payloads),
            store.own(talks),
        )
        .limit(1000)
    ).all()
    if not kept:
        return []
    state = State()
    read(state, "payloads", kept)
    corrections = tables.corrections
    wanted = {row.connection for row in kept}
    for _ in range(8):
        turned = connection.execute(
            select(corrections).where(corrections.c.old.in_(wanted), store.own(corrections))
        ).all()
        read(state, "corrections", turned)
        if not (more := {row.new for row in turned} - wanted):
            break
        wanted |= more
    read(
        state,
        "connections",
        connection.execute(select(talks).where(talks.c.id.in_(wanted), store.own(talks))),
    )
    reader = PayloadReader()
    reader.update(state, state.everything())
    return [claim for owner in owners for claim in reader.of(owner)]


class Reach(msgspec.Struct, frozen=True):
    """The endpoints of a device and of its children; for a child also those of its machine."""

    own: set[bytes]
    machine: set[bytes]
    child: str


def reach_of(store: Store, connection: Connection, device: str) -> Reach:
    """The endpoints whose traffic is this device's."""
    table = tables.devices
    start = id_of(device)
    family, level = {start}, {start}
    while level and len(family) < MOST_FAMILY:
        below = connection.scalars(
            select(table.c.id).where(table.c.parent.in_(level), store.own(table))
        )
        level = set(below) - family
        family |= level
    top, child = start, ""
    for _ in range(DEEPEST):
        row = connection.execute(
            select(table.c.parent, table.c.child_address).where(table.c.id == top, store.own(table))
        ).first()
        if row is None or row.parent is None:
            break
        top, child = row.parent, child or row.child_address
    machine = _endpoints(store, connection, {top}) if child else set()
    return Reach(_endpoints(store, connection, family), machine, child)


MOST_FAMILY = 2000
"""Children at all depths whose traffic is shown with their machine's."""

DEEPEST = 16
"""Levels of children above which nobody looks."""


def _endpoints(store: Store, connection: Connection, devices: set[bytes]) -> set[bytes]:
    members = tables.memberships
    return set(
        connection.scalars(
            select(members.c.endpoint).where(
                members.c.device.in_(devices), members.c.valid_to.is_(None), store.own(members)
            )
        )
    )


__all__ = [
    "Address",
    "Attribute",
    "ClaimRow",
    "DeviceDetail",
    "DeviceFilter",
    "DeviceRow",
    "detail",
    "page",
    "reach_of",
    "refs_of_endpoints",
]
