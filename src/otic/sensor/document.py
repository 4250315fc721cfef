"""The JSON document of `otic replay --format json` (contracts.md §10)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from functools import cached_property
from itertools import chain, groupby, islice
from typing import Any

import msgspec

from otic.coverage.grades import Unseen, worst
from otic.coverage.ledger import Finding
from otic.coverage.mirror import is_one_way, ledger_of
from otic.coverage.words import told
from otic.detect.alerts import Alert
from otic.facts import Capture, Event, Evidence, Spans, pack_spans, unpack_spans
from otic.inventory.devices import Device, Inventory
from otic.journal.fold import State
from otic.times import iso

SCHEMA = 1

Row = dict[str, Any]


class Document:
    """Builds the document's parts; each list is sorted by its fields from left to right."""

    def __init__(
        self,
        state: State,
        inventory: Inventory,
        captures: list[Capture],
        alerts: list[Alert],
        notices: list[Event],
    ) -> None:
        self.state = state
        self.inventory = inventory
        self.captures = captures
        self.all_alerts = alerts
        self.notices = notices
        self.files = [capture.file for capture in captures]
        self._unseen: dict[bytes, Unseen] = {}

    def build(self) -> Row:
        """The whole document."""
        connections = self.connections()  # Before the devices: it sums up what was not seen.
        return {
            "schema": SCHEMA,
            "captures": self.capture_rows(),
            "devices": self.devices(),
            "connections": connections,
            "operations": self.operations(),
            "changes": self.changes(),
            "events": self.events(),
            "violations": self.violations(),
            "alerts": self.alerts(policy=False),
            "vulnerabilities": [],
            "would_alert": self.alerts(policy=True),
            "coverage": self.coverage(connections),
        }

    def capture_rows(self) -> list[Row]:
        """The captures in the order of the arguments."""
        return [
            {
                "file": capture.file,
                "frames": capture.frames,
                "bytes": capture.bytes,
                "link_types": sorted(capture.link_types),
                "first_seen": None if capture.first_seen is None else iso(capture.first_seen),
                "last_seen": None if capture.last_seen is None else iso(capture.last_seen),
                "cut_off": capture.cut_off,
            }
            for capture in self.captures
        ]

    def evidence(self, spans: Spans, decode: str = "derived") -> Row:
        """Spans with file names, and the decoding that gives the value."""
        return {
            "spans": [
                {
                    "file": self.files[file] if file < len(self.files) else str(file),
                    "frame": frame,
                    "offset": offset,
                    "length": length,
                }
                for file, frame, offset, length in unpack_spans(spans)
            ],
            "decode": decode,
        }

    def told(self, evidence: Evidence) -> Row:
        """The evidence of a claim or change."""
        return self.evidence(evidence.spans, evidence.decode)

    def devices(self) -> list[Row]:
        """All devices with their claims."""
        return _sorted([self._device(device) for device in self.inventory.devices.values()])

    def _device(self, device: Device) -> Row:
        values = device.attributes
        row: Row = {"id": device.id.hex(), "name": values["name"], "type": device.type}
        for attribute in (
            "vendor",
            "model",
            "firmware",
            "hardware",
            "serial",
            "order_number",
            "os",
        ):
            row[attribute] = values.get(attribute)
        row |= {
            "macs": device.macs,
            "ips": device.ips,
            "vlans": sorted(device.activity.vlans),
            "protocols": sorted(device.activity.protocols),
            "roles": device.roles,
            "parent": device.parent.hex() if device.parent is not None else None,
            "child_address": device.child_address or None,
            "purdue_level": device.level,
            "reasons": device.reasons,
            "claims": self._claims(device),
            "space": device.space,
            "coverage": self._coverage_of(device.endpoints),
        }
        if device.members:
            row["members"] = [member.hex() for member in device.members]
        return row

    def _coverage_of(self, endpoints: Iterable[bytes]) -> Row:
        """The grade of what was seen of these endpoints, and what was not, by cause."""
        sums = Unseen()
        for endpoint in endpoints:
            part = self._unseen.get(endpoint, Unseen())
            sums.add(part.packets, part.missing, part.truncated, part.one_way)
        return {"grade": sums.grade(), "unseen": sums.shares()}

    def _grade_of_alert(self, alert: Alert) -> str:
        """The worst grade of the devices an alert names."""
        named = {*alert.sources, *alert.destinations}
        return worst(grade for address in named for grade in self._grades.get(address, ()))

    @cached_property
    def _grades(self) -> dict[str, list[str]]:
        """Grades of the devices at each address."""
        found: dict[str, list[str]] = {}
        for device in self.inventory.devices.values():
            grade = self._coverage_of(device.endpoints)["grade"]
            for address in (*device.ips, *device.macs):
                found.setdefault(address, []).append(grade)
        return found

    def _claims(self, device: Device) -> list[Row]:
        rows = []
        for claim in device.claims:
            owner = self.state.endpoints[claim.endpoint]
            rows.append(
                {
                    "attribute": claim.attribute,
                    "value": claim.value,
                    "protocol": claim.protocol,
                    "message": claim.message,
                    "confidence": claim.confidence,
                    "endpoint": f"{owner.address} {owner.child}".rstrip(),
                    "evidence": self.told(claim.evidence),
                    "space": owner.space,
                }
            )
        return _sorted(rows)

    def connections(self) -> list[Row]:
        """All connections; counts of corrected ones are with those that replaced them."""
        counted: dict[bytes, list[int]] = {}
        seen: dict[bytes, tuple[set[int], int]] = {}
        for id_, connection, counts in self.state.counted("connections"):
            now, exchanged = self.state.resolve(id_)
            if now is None:
                continue
            forward, reverse, size, missing, truncated, one_way, last = counts or (0,) * 7
            if exchanged:
                forward, reverse = reverse, forward
            row = counted.setdefault(now.id, [0, 0, 0, 0, 0, 0, 0])
            row[0] += forward
            row[1] += reverse
            row[2] += size
            row[3] += missing
            row[4] += truncated
            row[5] += one_way
            row[6] = max(row[6], last, connection.ts_ns)
            observed = self.state.observations.get(id_)
            vlans, first = seen.get(now.id, (set(), connection.ts_ns))
            if observed is not None:
                vlans |= {vlan for stack in observed.vlans for vlan in stack}
            seen[now.id] = vlans, min(first, connection.ts_ns)
        rows = []
        for id_ in self.state.in_turn("connections", counted):
            forward, reverse, size, missing, truncated, one_way, last = counted[id_]
            connection = self.state.connections[id_]
            for endpoint in {connection.client_id, connection.server_id}:
                unseen = self._unseen.setdefault(endpoint, Unseen())
                unseen.add(forward + reverse, missing, truncated, one_way)
            vlans, first = seen[id_]
            rows.append(
                {
                    "client": connection.client,
                    "server": connection.server,
                    "client_child": connection.client_child or None,
                    "server_child": connection.server_child or None,
                    "transport": connection.transport,
                    "port": connection.port,
                    "protocol": connection.protocol,
                    "vlans": sorted(vlans),
                    "packets": forward + reverse,
                    "bytes": size,
                    "first_seen": iso(first),
                    "last_seen": iso(last),
                    "one_way": is_one_way(connection.transport, forward, reverse, one_way),
                    "space": connection.space,
                }
            )
        return _sorted(rows)

    def operations(self) -> list[Row]:
        """All operations; those of corrected connections joined with their equals."""
        joined: dict[tuple[Any, ...], tuple[Row, list[int], list[tuple[int, Spans]]]] = {}
        for _, operation, counts in self.state.counted("operations"):
            connection, exchanged = self.state.resolve(operation.connection)
            if connection is None:
                continue
            client, server = connection.client, connection.server
            if operation.reversed != exchanged:
                client, server = server, client
            count, unpaired, last = counts or (0, 0, operation.ts_ns)
            row: Row = {
                "client": client,
                "server": server,
                "client_child": operation.client_child or None,
                "server_child": operation.server_child or None,
                "transport": connection.transport,
                "port": connection.port,
                "protocol": operation.protocol,
                "code": operation.code,
                "name": operation.name,
                "action": operation.action,
                "object": operation.object or None,
                "outcome": operation.outcome,
            }
            key = (connection.space, connection.protocol, *row.values())
            known = joined.get(key)
            if known is None:
                row["space"] = connection.space
                joined[key] = row, [count, unpaired, last], [(operation.ts_ns, operation.spans)]
            else:
                known[1][0] += count
                known[1][1] += unpaired
                known[1][2] = max(known[1][2], last)
                known[2].append((operation.ts_ns, operation.spans))
        rows = []
        for row, (count, unpaired, last), tellings in joined.values():
            first, spans = min(tellings)
            space = row.pop("space")
            rows.append(
                row
                | {
                    "count": count,
                    "unpaired": unpaired,
                    "first_seen": iso(first),
                    "last_seen": iso(max(first, last)),
                    "evidence": self.evidence(spans),
                    "space": space,
                }
            )
        return _sorted(rows)

    def changes(self) -> list[Row]:
        """Last write to each object with old and new value, and the range of values."""
        rows = []
        for id_ in self.state.in_turn("changes", list(self.state.changes)):
            change = self.state.changes[id_]
            parties = self._parties(change.connection, change.reversed)
            if parties is not None:
                rows.append(
                    parties[0]
                    | {
                        "protocol": change.protocol,
                        "object": change.object,
                        "old": change.old,
                        "new": change.new,
                        "min": change.min,
                        "max": change.max,
                        "count": change.count,
                        "last_seen": iso(change.ts_ns),
                        "evidence": self.told(change.evidence),
                        "space": parties[1],
                    }
                )
        return _sorted(rows)

    def events(self) -> list[Row]:
        """What the core saw happen, and what only the whole inventory shows."""
        rows = []
        derived = ((event.id, event, None) for event in self.notices)
        for _, event, counts in chain(self.state.counted("events"), derived):
            count = counts[0] if counts else 1
            rows.append(
                {
                    "kind": event.kind,
                    "client": event.client,
                    "server": event.server,
                    "protocol": event.protocol,
                    "values": event.values,
                    "time": iso(event.ts_ns),
                    "count": count,
                    "evidence": self.evidence(event.spans),
                    "space": event.space,
                }
            )
        rows += [
            {
                "kind": "clock-jump",
                "client": "",
                "server": "",
                "protocol": "",
                "values": {
                    "cause": epoch.cause,
                    "before": iso(epoch.before_ns),
                    "after": iso(epoch.after_ns),
                },
                "time": iso(epoch.after_ns),
                "count": 1,
                "evidence": self.evidence(epoch.spans),
                "space": "default",
            }
            for epoch in self.state.epochs.values()
        ]
        return _sorted(rows)

    def violations(self) -> list[Row]:
        """Broken rules of protocols; `client` is who sent the bytes."""
        rows = []
        for _, violation, counts in self.state.counted("violations"):
            parties = self._parties(violation.connection, violation.reversed)
            if parties is not None:
                count = counts[0] if counts else 1
                rows.append(
                    {"rule": violation.rule}
                    | parties[0]
                    | {
                        "protocol": violation.protocol,
                        "values": violation.values,
                        "count": count,
                        "evidence": self.evidence(violation.spans),
                        "space": parties[1],
                    }
                )
        return _sorted(rows)

    def _parties(self, connection: bytes, reversed_: bool) -> tuple[Row, str] | None:
        fact, exchanged = self.state.resolve(connection)
        if fact is None:
            return None
        if reversed_ != exchanged:
            return {"client": fact.server, "server": fact.client}, fact.space
        return {"client": fact.client, "server": fact.server}, fact.space

    def alerts(self, *, policy: bool) -> list[Row]:
        """Alerts, or what would be alerts if it were unknown."""
        return _sorted(
            [
                {
                    "id": alert.id.hex(),
                    "rule": alert.rule,
                    "title": alert.title,
                    "engine": alert.engine,
                    "severity": alert.severity,
                    "category": alert.category,
                    "attack": alert.attack,
                    "sources": alert.sources,
                    "destinations": alert.destinations,
                    "first_seen": iso(alert.first_ns),
                    "last_seen": iso(alert.last_ns),
                    "count": alert.count,
                    "message": {"key": alert.key, "values": alert.values},
                    "evidence": self.evidence(pack_spans(alert.spans)),
                    "grade": self._grade_of_alert(alert),
                }
                for alert in self.all_alerts
                if alert.policy == policy
            ]
        )

    def coverage(self, connections: list[Row]) -> Row:
        """What could not be seen, by cause."""
        totals = self.state.coverage
        mirror = ledger_of(self.state)
        expected = [row for row in connections if row["transport"] in ("tcp", "udp")]
        return {
            "frames": totals.frames,
            "bytes": totals.bytes,
            "by_cause": totals.by_cause,
            "undecoded_link_types": totals.undecoded_link_types,
            "one_way": sum(row["one_way"] and row["transport"] == "tcp" for row in expected),
            "copies": totals.copies,
            "truncated": totals.truncated,
            "out_of_order": totals.out_of_order,
            "capped": totals.capped,
            "epochs": len(self.state.epochs),
            "grade": mirror.grade,
            "findings": [_finding(finding) for finding in mirror.findings],
            "lanes": [msgspec.to_builtins(lane) for lane in mirror.lanes],
            "counters": {
                name: {"seen": seen, "missing": missing}
                for name, (seen, missing) in mirror.counters.items()
            },
        }


def _finding(finding: Finding) -> Row:
    words = told(finding)
    return {
        "title": words.title,
        "text": words.text,
        "fix": words.fix,
        "kind": finding.kind,
        "interface": finding.interface,
        "vlans": list(finding.vlans),
        "rate": round(finding.rate, 4),
        "of": finding.of,
        "values": finding.values,
    }


def encode(document: Row) -> bytes:
    """The document as JSON with sorted keys, one row a line, the same bytes for the same facts."""
    encoder = msgspec.json.Encoder(order="deterministic")
    parts = []
    for name in sorted(document):
        value = document[name]
        if isinstance(value, list) and value:
            text = b"[\n" + b",\n".join(map(encoder.encode, value)) + b"\n]"
        else:
            text = encoder.encode(value)
        parts.append(encoder.encode(name) + b":" + text)
    return b"{" + b",\n".join(parts) + b"}\n"


_RANKS: dict[type, int] = defaultdict(
    lambda: 5, {type(None): 0, bool: 1, int: 1, float: 1, str: 2, list: 3, dict: 4}
)


def _order(value: Any) -> tuple[Any, ...]:
    rank = _RANKS[type(value)]
    if rank == 0:
        return (0,)
    if rank == 3:
        return 3, tuple(map(_order, value))
    if rank == 4:
        return 4, tuple((name, _order(value[name])) for name in sorted(value))
    return rank, value


def _sorted(rows: list[Row]) -> list[Row]:
    """The rows by their fields from left to right.

    The plain fields in front tell nearly all rows apart: only rows that are equal in them are
    compared as a whole.
    """
    plain = 0
    for column in zip(*(row.values() for row in rows), strict=False):
        if any(type(value) in (list, dict) for value in column):
            break
        plain += 1

    def front(row: Row) -> tuple[Any, ...]:
        return tuple(
            (0,) if value is None else (_RANKS[type(value)], value)
            for value in islice(row.values(), plain)
        )

    def whole(row: Row) -> tuple[Any, ...]:
        return tuple(map(_order, row.values()))

    ordered: list[Row] = []
    for _, group in groupby(sorted(rows, key=front), key=front):
        equal = list(group)
        ordered += sorted(equal, key=whole) if len(equal) > 1 else equal
    return ordered
