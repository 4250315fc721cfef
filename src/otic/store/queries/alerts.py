"""Alerts: lists to filter, and one with everything that explains and proves it."""

from __future__ import annotations

from functools import cache
from typing import Any, Literal

import msgspec
from sqlalchemy import ColumnElement, Connection, Integer, case, cast, func, select

from otic.coverage.grades import UNKNOWN, worst
from otic.detect.messages import render
from otic.detect.rules import Rule, techniques
from otic.detect.rules import load as load_rules
from otic.store import tables
from otic.store.queries.common import (
    Cited,
    Count,
    Ref,
    Store,
    cited,
    containing,
    id_of,
    refs_of_addresses,
    total_of,
    whole_rows,
)
from otic.store.queries.devices import Body
from otic.store.queries.grades import of_addresses
from otic.store.results import AlertBody
from otic.times import iso

Sort = Literal["severity", "last_seen", "first_seen", "title", "count"]
SEVERITIES = ("critical", "major", "minor", "warning")

_body = msgspec.msgpack.Decoder(AlertBody).decode
_device = msgspec.msgpack.Decoder(Body).decode


class Side(msgspec.Struct, frozen=True):
    """An address that takes part in an alert, and the device that holds it."""

    address: str
    device: Ref | None


class Technique(msgspec.Struct, frozen=True):
    """An ATT&CK for ICS technique."""

    id: str
    name: str


class AlertRow(msgspec.Struct, frozen=True, kw_only=True):
    """One alert in a list; `policy` ones would be alerts if the fact were unknown.

    `grade` says how much was seen of those it names: the worst of theirs.
    """

    id: str
    rule: str
    title: str
    text: str
    engine: str
    severity: str
    category: str
    attack: list[Technique]
    sources: list[Side]
    destinations: list[Side]
    first_seen: str
    last_seen: str
    count: int
    policy: bool
    state: str
    space: str
    grade: str


class AlertDetail(msgspec.Struct, frozen=True, kw_only=True):
    """One alert with what explains it and what proves it."""

    alert: AlertRow
    explanation: str
    false_positives: str
    remediation: str
    source: str
    values: dict[str, str]
    evidence: Cited


class AlertFacets(msgspec.Struct, frozen=True, kw_only=True):
    """How many alerts there are of each severity and engine."""

    severities: list[Count]
    engines: list[Count]


class AlertPage(msgspec.Struct, frozen=True, kw_only=True):
    """One page of alerts, and what could be filtered by."""

    items: list[AlertRow]
    total: int
    offset: int
    limit: int
    facets: AlertFacets


class AlertFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Which alerts are asked for."""

    q: str | None = None
    severity: list[str] | None = None
    engine: list[str] | None = None
    title: str | None = None
    device: str | None = None
    policy: bool = False


@cache
def _rules() -> dict[str, Rule]:
    return {compiled.rule.id: compiled.rule for compiled in load_rules([], {})}


def page(
    store: Store,
    asked: AlertFilter,
    *,
    sort: Sort = "severity",
    descending: bool = True,
    offset: int = 0,
    limit: int = 100,
) -> AlertPage:
    """One page of the alerts asked for; facets count what the other filters leave."""
    table = tables.alerts
    with store.reading() as connection:
        base = [
            store.own(table),
            _kind(asked),
            *containing(table.c.search, asked.q),
        ]
        if asked.device is not None:
            base.append(_about(store, connection, asked.device))
        if asked.title:
            base.append(table.c.title == asked.title)
        severity = [table.c.severity.in_(asked.severity)] if asked.severity else []
        engine = [table.c.engine.in_(asked.engine)] if asked.engine else []
        where = [*base, *severity, *engine]
        rank = case(
            {name: len(SEVERITIES) - at for at, name in enumerate(SEVERITIES)},
            value=table.c.severity,
            else_=0,
        )
        column: ColumnElement[Any] = {
            "severity": rank,
            "last_seen": table.c.last_ns,
            "first_seen": table.c.first_ns,
            "title": table.c.title,
            "count": table.c.count,
        }[sort]
        order = [
            column.desc() if descending else column.asc(),
            table.c.last_ns.desc(),
            table.c.id,
        ]
        rows = whole_rows(connection, table, where, order, offset, limit)
        return AlertPage(
            items=_rows(store, connection, rows),
            total=total_of(connection, table, where),
            offset=offset,
            limit=limit,
            facets=AlertFacets(
                severities=_facet(connection, table.c.severity, [*base, *engine]),
                engines=_facet(connection, table.c.engine, [*base, *severity]),
            ),
        )


def _kind(asked: AlertFilter) -> ColumnElement[bool]:
    """Alerts or would-be ones. A search reads every row: by the index that would take longer."""
    policy = tables.alerts.c.policy
    return cast(policy, Integer) == int(asked.policy) if asked.q else policy.is_(asked.policy)


def _facet(
    connection: Connection, column: ColumnElement[Any], where: list[ColumnElement[bool]]
) -> list[Count]:
    rows = connection.execute(
        select(column, func.count()).where(*where).group_by(column).order_by(column)
    )
    return [Count(value, count) for value, count in rows]


def _about(store: Store, connection: Connection, device: str) -> ColumnElement[bool]:
    """Alerts with an address of this device, or of one of its children's machine, on a side."""
    devices, parties = tables.devices, tables.alert_parties
    row = connection.execute(
        select(devices).where(devices.c.id == id_of(device), store.own(devices))
    ).first()
    addresses: list[str] = []
    child = ""
    if row is not None:
        child = row.child_address
        while row.parent is not None:
            above = connection.execute(
                select(devices).where(devices.c.id == row.parent, store.own(devices))
            ).first()
            if above is None:
                break
            row = above
        body = _device(row.body)
        addresses = [*body.ips, *body.macs]
    named = select(parties.c.alert).where(parties.c.address.in_(addresses), store.own(parties))
    alerts = tables.alerts
    about = alerts.c.id.in_(named) & (alerts.c.space == (row.space if row is not None else ""))
    if child:
        line = "\n" + alerts.c.search + "\n"
        about = about & line.contains(f"\n{child.lower()}\n", autoescape=True)
    return about


def _rows(store: Store, connection: Connection, rows: Any) -> list[AlertRow]:
    bodies = {row.id: _body(row.body) for row in rows}
    states = tables.alert_states
    state = {
        row.alert: row.state
        for row in connection.execute(
            select(states.c.alert, states.c.state).where(
                states.c.alert.in_(bodies), states.c.valid_to.is_(None), store.own(states)
            )
        )
    }
    by_space: dict[str, set[str]] = {}
    for row in rows:
        body = bodies[row.id]
        by_space.setdefault(row.space, set()).update(body.sources, body.destinations)
    refs = {
        (space, address): ref
        for space, addresses in by_space.items()
        for address, ref in refs_of_addresses(store, connection, addresses, space).items()
    }
    grades = {
        space: of_addresses(store, connection, space, addresses)
        for space, addresses in by_space.items()
    }
    names = techniques()

    def sides(space: str, addresses: list[str]) -> list[Side]:
        return [Side(address, refs.get((space, address))) for address in addresses]

    return [
        AlertRow(
            id=row.id.hex(),
            rule=row.rule,
            title=row.title,
            text=render(row.message, bodies[row.id].values),
            engine=row.engine,
            severity=row.severity,
            category=row.category,
            attack=[Technique(id_, names.get(id_, id_)) for id_ in bodies[row.id].attack],
            sources=sides(row.space, bodies[row.id].sources),
            destinations=sides(row.space, bodies[row.id].destinations),
            first_seen=iso(row.first_ns),
            last_seen=iso(row.last_ns),
            count=row.count,
            policy=row.policy,
            state=state.get(row.id, "learnable" if row.policy else "open"),
            space=row.space,
            grade=worst(
                grades[row.space].get(address, UNKNOWN)
                for address in (*bodies[row.id].sources, *bodies[row.id].destinations)
            ),
        )
        for row in rows
    ]


def detail(store: Store, id_: str) -> AlertDetail | None:
    """One alert in full; nothing when there is no such alert."""
    table = tables.alerts
    with store.reading() as connection:
        row = connection.execute(
            select(table).where(table.c.id == id_of(id_), store.own(table))
        ).first()
        if row is None:
            return None
        body = _body(row.body)
        rule = _rules().get(row.rule)
        return AlertDetail(
            alert=_rows(store, connection, [row])[0],
            explanation=rule.explanation if rule else "",
            false_positives=rule.false_positives if rule else "",
            remediation=rule.remediation if rule else "",
            source=rule.source if rule else "",
            values=body.values,
            evidence=cited(body.spans, "derived", store.files(connection)),
        )


def evidence(store: Store, *, alert: str | None = None, device: str | None = None) -> Cited | None:
    """The bytes that prove an alert, or that a device's attributes and alerts rest on."""
    with store.reading() as connection:
        files = store.files(connection)
        alerts, claims, members = tables.alerts, tables.claims, tables.memberships
        if alert is not None:
            body = connection.scalar(
                select(alerts.c.body).where(alerts.c.id == id_of(alert), store.own(alerts))
            )
            return None if body is None else cited(_body(body).spans, "derived", files)
        devices = tables.devices
        known = connection.scalar(
            select(devices.c.id).where(devices.c.id == id_of(device or ""), store.own(devices))
        )
        if known is None:
            return None
        told = connection.execute(
            select(claims.c.spans)
            .join(members, members.c.endpoint == claims.c.endpoint)
            .where(
                members.c.device == known,
                members.c.valid_to.is_(None),
                store.own(claims),
                store.own(members),
            )
        ).all()
        about = connection.execute(
            select(alerts.c.body).where(
                _about(store, connection, known.hex()),
                alerts.c.policy.is_(False),
                store.own(alerts),
            )
        ).all()
        spans = [span for row in told for span in cited(row.spans, "derived", files).spans]
        spans += [
            span for row in about for span in cited(_body(row.body).spans, "derived", files).spans
        ]
        return Cited(spans, "derived")
