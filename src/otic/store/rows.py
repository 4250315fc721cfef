"""Facts as rows and back."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from typing import Any

import msgspec

from otic.facts import (
    Attempts,
    Binding,
    Blind,
    Change,
    Claim,
    Connection,
    Correction,
    Endpoint,
    Epoch,
    Event,
    Evidence,
    Operation,
    Payload,
    Tick,
    Value,
    Violation,
)
from otic.journal.fold import Interface, Minute, Observed, Sight, State
from otic.journal.lanes import LaneCounts, LaneKey

Row = dict[str, Any]

_same = sys.intern
"""One object for equal texts, which many facts hold."""

_pack = msgspec.msgpack.Encoder().encode
_stacks = msgspec.msgpack.Decoder(list[tuple[int, ...]]).decode
_texts = msgspec.msgpack.Decoder(list[str]).decode
_numbers = msgspec.msgpack.Decoder(list[int]).decode
_details = msgspec.msgpack.Decoder(dict[str, str]).decode
_value = msgspec.msgpack.Decoder(Value | None).decode
_sums = msgspec.msgpack.Decoder(dict[str, int]).decode
_tick = msgspec.msgpack.Decoder(Tick).decode
_vlans = msgspec.msgpack.Decoder(tuple[int, ...]).decode
_lane_counts = msgspec.msgpack.Decoder(LaneCounts).decode
_attempts = msgspec.msgpack.Decoder(Attempts).decode

SINGLE = {"vendor", "vendor_id", "model", "order_number", "firmware", "hardware", "serial"}
"""Attributes a device has one of: a later value of the same message ends the earlier one."""


def _endpoint(state: State, id_: bytes) -> Row:
    fact = state.endpoints[id_]
    return {
        "id": id_,
        "space": fact.space,
        "address": fact.address,
        "child": fact.child,
        "spoke": fact.spoke,
        "first_ns": fact.ts_ns,
        "spans": fact.spans,
    }


def _sighting(state: State, key: tuple[bytes, bytes | None]) -> Row:
    sight = state.sightings[key]
    return {
        "mac": sight.mac,
        "ip": sight.ip or b"",
        "first_ns": sight.first_ns,
        "last_ns": sight.last_ns,
        "vlans": _pack(sorted(sight.vlans)),
        "interfaces": _pack(sorted(sight.interfaces)),
        "hop_limits": _pack(sorted(sight.hop_limits)),
        "spans": sight.spans,
    }


def _binding(state: State, key: tuple[bytes, bytes, str, str]) -> Row:
    fact = state.bindings[key]
    return {
        "first": fact.first,
        "second": fact.second,
        "protocol": fact.protocol,
        "message": fact.message,
        "first_ns": fact.ts_ns,
        "spans": fact.spans,
    }


def _connection(state: State, id_: bytes) -> Row:
    fact = state.connections[id_]
    return {
        "id": id_,
        "client_id": fact.client_id,
        "server_id": fact.server_id,
        "space": fact.space,
        "client": fact.client,
        "server": fact.server,
        "client_child": fact.client_child,
        "server_child": fact.server_child,
        "transport": fact.transport,
        "port": fact.port,
        "protocol": fact.protocol,
        "first_ns": fact.ts_ns,
        "spans": fact.spans,
        "forward_packets": 0,
        "reverse_packets": 0,
        "missing": 0,
        "truncated": 0,
        "one_way": 0,
        "bytes": 0,
        "last_ns": fact.ts_ns,
    }


def _operation(state: State, id_: bytes) -> Row:
    fact = state.operations[id_]
    return {
        "id": id_,
        "connection": fact.connection,
        "protocol": fact.protocol,
        "reversed": fact.reversed,
        "code": fact.code,
        "name": fact.name,
        "action": fact.action,
        "object": fact.object,
        "outcome": fact.outcome,
        "client_child": fact.client_child,
        "server_child": fact.server_child,
        "first_ns": fact.ts_ns,
        "spans": fact.spans,
        "count": 0,
        "unpaired": 0,
        "last_ns": fact.ts_ns,
    }


def _claim(state: State, id_: bytes) -> Row:
    fact = state.claims[id_]
    return {
        "id": id_,
        "endpoint": fact.endpoint,
        "attribute": fact.attribute,
        "value": fact.value,
        "protocol": fact.protocol,
        "message": fact.message,
        "confidence": fact.confidence,
        "valid_from": fact.ts_ns,
        "valid_to": None,
        "spans": fact.evidence.spans,
        "decode": fact.evidence.decode,
    }


def _change(state: State, id_: bytes) -> Row:
    fact = state.changes[id_]
    return {
        "id": id_,
        "connection": fact.connection,
        "protocol": fact.protocol,
        "reversed": fact.reversed,
        "object": fact.object,
        "old": _pack(fact.old),
        "new": _pack(fact.new),
        "min": fact.min,
        "max": fact.max,
        "count": fact.count,
        "last_ns": fact.ts_ns,
        "spans": fact.evidence.spans,
        "decode": fact.evidence.decode,
    }


def _event(state: State, id_: bytes) -> Row:
    fact = state.events[id_]
    return {
        "id": id_,
        "kind": fact.kind,
        "space": fact.space,
        "client_id": fact.client_id,
        "server_id": fact.server_id,
        "client": fact.client,
        "server": fact.server,
        "protocol": fact.protocol,
        "details": _pack(fact.values),
        "first_ns": fact.ts_ns,
        "spans": fact.spans,
        "count": 0,
        "last_ns": fact.ts_ns,
    }


def _violation(state: State, id_: bytes) -> Row:
    fact = state.violations[id_]
    return {
        "id": id_,
        "connection": fact.connection,
        "reversed": fact.reversed,
        "rule": fact.rule,
        "protocol": fact.protocol,
        "details": _pack(fact.values),
        "first_ns": fact.ts_ns,
        "spans": fact.spans,
        "count": 0,
        "last_ns": fact.ts_ns,
    }


def _payload(state: State, id_: bytes) -> Row:
    fact = state.payloads[id_]
    return {
        "id": id_,
        "connection": fact.connection,
        "reversed": fact.reversed,
        "protocol": fact.protocol,
        "kind": fact.kind,
        "content": fact.bytes,
        "first_ns": fact.ts_ns,
        "spans": fact.spans,
    }


def _attempt(state: State, key: tuple[bytes, str, int]) -> Row:
    body = _pack(state.attempts[key])
    return {"source": key[0], "transport": key[1], "start_ns": key[2], "body": body}


def _correction(state: State, id_: bytes) -> Row:
    fact = state.corrections[id_]
    return {"old": fact.old, "new": fact.new, "ts_ns": fact.ts_ns}


def _epoch(state: State, key: tuple[int, int, str]) -> Row:
    spans = state.epochs[key].spans
    return {"before_ns": key[0], "after_ns": key[1], "cause": key[2], "spans": spans}


def _observation(state: State, id_: bytes) -> Row:
    seen = state.observations[id_]
    return {
        "connection": id_,
        "vlans": _pack(sorted(seen.vlans)),
        "interfaces": _pack(sorted(seen.interfaces)),
    }


def _bucket(state: State, key: tuple[bytes, int]) -> Row:
    return {"id": key[0], "start_ns": key[1], "count": state.buckets[key[0]].get(key[1], 0)}


def _interface(state: State, name: str) -> Row:
    interface = state.interfaces[name]
    return {
        "name": name,
        "first_ns": interface.first_ns,
        "last_ns": interface.last.wall_ns,
        "up": interface.last.up,
        "up_ns": interface.up_ns,
        "frames": interface.frames,
        "bytes": interface.bytes,
        "drops": _pack(interface.drops),
        "last": _pack(interface.last),
    }


def _minute(state: State, key: tuple[str, int]) -> Row:
    minute = state.minutes[key]
    return {
        "interface": key[0],
        "start_ns": key[1],
        "frames": minute.frames,
        "bytes": minute.bytes,
        "drops": _pack(minute.drops),
    }


def _blind(state: State, key: tuple[str, int]) -> Row:
    blind = state.blinds[key]
    return {
        "interface": blind.interface,
        "start_ns": blind.start_ns,
        "end_ns": blind.end_ns,
        "cause": blind.cause,
    }


def _lane(state: State, key: LaneKey) -> Row:
    return {
        "interface": key[0],
        "vlans": _pack(key[1]),
        "start_ns": key[2],
        "body": _pack(state.lanes[key]),
    }


MAKERS: dict[str, Callable[[State, Any], Row]] = {
    "endpoints": _endpoint,
    "sightings": _sighting,
    "bindings": _binding,
    "connections": _connection,
    "operations": _operation,
    "claims": _claim,
    "changes": _change,
    "events": _event,
    "violations": _violation,
    "payloads": _payload,
    "attempts": _attempt,
    "corrections": _correction,
    "epochs": _epoch,
    "observations": _observation,
    "interfaces": _interface,
    "minutes": _minute,
    "blinds": _blind,
    "buckets": _bucket,
    "lanes": _lane,
}
"""How a fact of each table becomes a row, given the state and its key."""

COUNTED = {
    "connections": (
        "forward_packets",
        "reverse_packets",
        "bytes",
        "missing",
        "truncated",
        "one_way",
        "last_ns",
    ),
    "operations": ("count", "unpaired", "last_ns"),
    "events": ("count", "last_ns"),
    "violations": ("count", "last_ns"),
}
"""Columns that only checkpoints write; a fact told again leaves them alone."""


def read(state: State, name: str, rows: Iterable[Any]) -> None:
    """Puts the rows of one table into the state, with the counts they hold."""
    if name == "buckets":
        for row in rows:
            state.buckets.setdefault(row.id, {})[row.start_ns] = row.count
        return
    fact_of = FACTS[name]
    counted = COUNTED.get(name)
    counts = state.counts_of(name) if counted else None
    for row in rows:
        key, fact = fact_of(row)
        if name == "claims":
            state.keep_claim(fact)
        elif name == "sightings":
            state.keep_sighting(fact)
        else:
            getattr(state, name)[key] = fact
        if counted and counts is not None:
            *amounts, last = (getattr(row, column) for column in counted)
            if any(amounts):
                counts.add(key, amounts, last)


def _endpoint_of(row: Any) -> tuple[bytes, Endpoint]:
    spans = row.spans
    space, address, child = map(_same, (row.space, row.address, row.child))
    fact = Endpoint(row.id, space, address, child, row.spoke, row.first_ns, spans)
    return row.id, fact


def _sighting_of(row: Any) -> tuple[tuple[bytes, bytes | None], Sight]:
    ip = row.ip or None
    return (row.mac, ip), Sight(
        row.mac,
        ip,
        row.first_ns,
        row.last_ns,
        frozenset(_stacks(row.vlans)),
        frozenset(_texts(row.interfaces)),
        frozenset(_numbers(row.hop_limits)),
        row.spans,
    )


def _binding_of(row: Any) -> tuple[tuple[bytes, bytes, str, str], Binding]:
    key = (row.first, row.second, row.protocol, row.message)
    return key, Binding(*key, row.first_ns, row.spans)


def _connection_of(row: Any) -> tuple[bytes, Connection]:
    return row.id, Connection(
        row.id,
        row.client_id,
        row.server_id,
        _same(row.space),
        _same(row.client),
        _same(row.server),
        _same(row.client_child),
        _same(row.server_child),
        _same(row.transport),
        row.port,
        _same(row.protocol),
        row.first_ns,
        row.spans,
    )


def _operation_of(row: Any) -> tuple[bytes, Operation]:
    return row.id, Operation(
        row.id,
        row.connection,
        _same(row.protocol),
        row.reversed,
        row.code,
        _same(row.name),
        _same(row.action),
        _same(row.object),
        _same(row.outcome),
        _same(row.client_child),
        _same(row.server_child),
        row.first_ns,
        row.spans,
    )


def _claim_of(row: Any) -> tuple[bytes, Claim]:
    return row.id, Claim(
        row.id,
        row.endpoint,
        row.attribute,
        row.value,
        row.protocol,
        row.message,
        row.confidence,
        row.valid_from,
        Evidence(row.spans, row.decode),
    )


def _change_of(row: Any) -> tuple[bytes, Change]:
    new = _value(row.new)
    return row.id, Change(
        row.id,
        row.connection,
        row.protocol,
        row.reversed,
        row.object,
        _value(row.old),
        "" if new is None else new,
        row.min,
        row.max,
        row.count,
        row.last_ns,
        Evidence(row.spans, row.decode),
    )


def _event_of(row: Any) -> tuple[bytes, Event]:
    return row.id, Event(
        row.id,
        row.kind,
        row.space,
        row.client_id,
        row.server_id,
        row.client,
        row.server,
        row.protocol,
        _details(row.details),
        row.first_ns,
        row.spans,
    )


def _violation_of(row: Any) -> tuple[bytes, Violation]:
    return row.id, Violation(
        row.id,
        row.connection,
        row.reversed,
        row.rule,
        row.protocol,
        _details(row.details),
        row.first_ns,
        row.spans,
    )


def _payload_of(row: Any) -> tuple[bytes, Payload]:
    return row.id, Payload(
        row.id,
        row.connection,
        row.reversed,
        row.protocol,
        row.kind,
        row.content,
        row.first_ns,
        row.spans,
    )


def _attempt_of(row: Any) -> tuple[tuple[bytes, str, int], Attempts]:
    return (row.source, row.transport, row.start_ns), _attempts(row.body)


def _correction_of(row: Any) -> tuple[bytes, Correction]:
    return row.old, Correction(row.old, row.new, row.ts_ns)


def _epoch_of(row: Any) -> tuple[tuple[int, int, str], Epoch]:
    key = row.before_ns, row.after_ns, row.cause
    return key, Epoch(*key, row.spans)


def _observation_of(row: Any) -> tuple[bytes, Observed]:
    seen = Observed(frozenset(_stacks(row.vlans)), frozenset(_texts(row.interfaces)))
    return row.connection, seen


def _interface_of(row: Any) -> tuple[str, Interface]:
    return row.name, Interface(
        row.first_ns, _tick(row.last), row.up_ns, row.frames, row.bytes, _sums(row.drops)
    )


def _minute_of(row: Any) -> tuple[tuple[str, int], Minute]:
    return (row.interface, row.start_ns), Minute(row.frames, row.bytes, _sums(row.drops))


def _blind_of(row: Any) -> tuple[tuple[str, int], Blind]:
    blind = Blind(row.interface, row.start_ns, row.end_ns, row.cause)
    return (row.interface, row.start_ns), blind


def _lane_of(row: Any) -> tuple[LaneKey, LaneCounts]:
    return (row.interface, _vlans(row.vlans), row.start_ns), _lane_counts(row.body)


FACTS: dict[str, Callable[[Any], tuple[Any, Any]]] = {
    "endpoints": _endpoint_of,
    "sightings": _sighting_of,
    "bindings": _binding_of,
    "connections": _connection_of,
    "operations": _operation_of,
    "claims": _claim_of,
    "changes": _change_of,
    "events": _event_of,
    "violations": _violation_of,
    "payloads": _payload_of,
    "attempts": _attempt_of,
    "corrections": _correction_of,
    "epochs": _epoch_of,
    "observations": _observation_of,
    "interfaces": _interface_of,
    "minutes": _minute_of,
    "blinds": _blind_of,
    "lanes": _lane_of,
}
"""Key and fact that a row of each table holds."""
