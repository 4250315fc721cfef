"""Facts as rows and back."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import msgspec

from otic.facts import (
    Attempts,
    Binding,
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
    Value,
    Violation,
)
from otic.journal.fold import Observed, Sight, State

Row = dict[str, Any]

_pack = msgspec.msgpack.Encoder().encode
_stacks = msgspec.msgpack.Decoder(list[tuple[int, ...]]).decode
_texts = msgspec.msgpack.Decoder(list[str]).decode
_numbers = msgspec.msgpack.Decoder(list[int]).decode
_details = msgspec.msgpack.Decoder(dict[str, str]).decode
_value = msgspec.msgpack.Decoder(Value | None).decode
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
    "buckets": _bucket,
}
"""How a fact of each table becomes a row, given the state and its key."""

COUNTED = {
    "connections": ("forward_packets", "reverse_packets", "bytes", "last_ns"),
    "operations": ("count", "unpaired", "last_ns"),
    "events": ("count", "last_ns"),
    "violations": ("count", "last_ns"),
}
"""Columns that only checkpoints write; a fact told again leaves them alone."""


def read(state: State, name: str, rows: Iterable[Any]) -> None:
    """Puts the rows of one table into the state, with the counts they hold."""
    for row in rows:
        _READERS[name](state, row)


def _read_endpoint(state: State, row: Any) -> None:
    state.endpoints[row.id] = Endpoint(
        row.id, row.space, row.address, row.child, row.spoke, row.first_ns, row.spans
    )


def _read_sighting(state: State, row: Any) -> None:
    ip = row.ip or None
    state.sightings[row.mac, ip] = Sight(
        row.mac,
        ip,
        row.first_ns,
        row.last_ns,
        frozenset(_stacks(row.vlans)),
        frozenset(_texts(row.interfaces)),
        frozenset(_numbers(row.hop_limits)),
        row.spans,
    )


def _read_binding(state: State, row: Any) -> None:
    state.bindings[row.first, row.second, row.protocol, row.message] = Binding(
        row.first, row.second, row.protocol, row.message, row.first_ns, row.spans
    )


def _read_connection(state: State, row: Any) -> None:
    state.connections[row.id] = Connection(
        row.id,
        row.client_id,
        row.server_id,
        row.space,
        row.client,
        row.server,
        row.client_child,
        row.server_child,
        row.transport,
        row.port,
        row.protocol,
        row.first_ns,
        row.spans,
    )
    if row.forward_packets or row.reverse_packets:
        counts = [row.forward_packets, row.reverse_packets, row.bytes, row.last_ns]
        state.connection_counts[row.id] = counts


def _read_operation(state: State, row: Any) -> None:
    state.operations[row.id] = Operation(
        row.id,
        row.connection,
        row.protocol,
        row.reversed,
        row.code,
        row.name,
        row.action,
        row.object,
        row.outcome,
        row.client_child,
        row.server_child,
        row.first_ns,
        row.spans,
    )
    if row.count or row.unpaired:
        state.operation_counts[row.id] = [row.count, row.unpaired, row.last_ns]


def _read_claim(state: State, row: Any) -> None:
    state.keep_claim(
        Claim(
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
    )


def _read_change(state: State, row: Any) -> None:
    new = _value(row.new)
    state.changes[row.id] = Change(
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


def _read_event(state: State, row: Any) -> None:
    state.events[row.id] = Event(
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
    if row.count:
        state.occurrence_counts[row.id] = [row.count, row.last_ns]


def _read_violation(state: State, row: Any) -> None:
    state.violations[row.id] = Violation(
        row.id,
        row.connection,
        row.reversed,
        row.rule,
        row.protocol,
        _details(row.details),
        row.first_ns,
        row.spans,
    )
    if row.count:
        state.occurrence_counts[row.id] = [row.count, row.last_ns]


def _read_payload(state: State, row: Any) -> None:
    state.payloads[row.id] = Payload(
        row.id,
        row.connection,
        row.reversed,
        row.protocol,
        row.kind,
        row.content,
        row.first_ns,
        row.spans,
    )


def _read_attempt(state: State, row: Any) -> None:
    state.attempts[row.source, row.transport, row.start_ns] = _attempts(row.body)


def _read_correction(state: State, row: Any) -> None:
    state.corrections[row.old] = Correction(row.old, row.new, row.ts_ns)


def _read_epoch(state: State, row: Any) -> None:
    key = row.before_ns, row.after_ns, row.cause
    state.epochs[key] = Epoch(*key, row.spans)


def _read_observation(state: State, row: Any) -> None:
    seen = Observed(frozenset(_stacks(row.vlans)), frozenset(_texts(row.interfaces)))
    state.observations[row.connection] = seen


def _read_bucket(state: State, row: Any) -> None:
    state.buckets.setdefault(row.id, {})[row.start_ns] = row.count


_READERS: dict[str, Callable[[State, Any], None]] = {
    "endpoints": _read_endpoint,
    "sightings": _read_sighting,
    "bindings": _read_binding,
    "connections": _read_connection,
    "operations": _read_operation,
    "claims": _read_claim,
    "changes": _read_change,
    "events": _read_event,
    "violations": _read_violation,
    "payloads": _read_payload,
    "attempts": _read_attempt,
    "corrections": _read_correction,
    "epochs": _read_epoch,
    "observations": _read_observation,
    "buckets": _read_bucket,
}
