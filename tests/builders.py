"""Hand-made facts and batches, and a source that yields them like the core does."""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Iterator
from typing import Any

import msgspec

from otic.facts import (
    SCHEMA,
    Batch,
    Binding,
    Capture,
    Claim,
    Connection,
    Coverage,
    Endpoint,
    Event,
    Evidence,
    Operation,
    Sighting,
    Spans,
    Tallies,
    encode,
    pack_spans,
)

START_NS = 1_700_000_000_000_000_000
SECOND_NS = 1_000_000_000


def id_of(*key: object) -> bytes:
    return hashlib.blake2b(encode(list(key)), digest_size=16).digest()


def at(seconds: float) -> int:
    return START_NS + int(seconds * SECOND_NS)


def span(frame: int, offset: int = 0, length: int = 4) -> Spans:
    return pack_spans([(0, frame, offset, length)])


def endpoint(
    address: str, *, child: str = "", spoke: bool = True, s: float = 0, space: str = "default"
) -> Endpoint:
    id_ = id_of("endpoint", space, address, child)
    return Endpoint(id_, space, address, child, spoke, at(s), span(1 + int(s)))


def sighting(
    mac: str,
    ip: str,
    *,
    hops: int = 64,
    s: float = 0,
    vlans: tuple[int, ...] = (),
    interface: str = "",
    space: str = "default",
) -> Sighting:
    return Sighting(
        id_of("endpoint", space, mac, ""),
        id_of("endpoint", space, ip, ""),
        list(vlans),
        interface,
        hops,
        at(s),
        span(1 + int(s), 6, 6),
    )


def binding(
    first: str,
    second: str,
    *,
    protocol: str = "arp",
    message: str = "request",
    s: float = 0,
    space: str = "default",
) -> Binding:
    return Binding(
        id_of("endpoint", space, first, ""),
        id_of("endpoint", space, second, ""),
        protocol,
        message,
        at(s),
        span(1 + int(s), 22, 10),
    )


def connection(
    client: str,
    server: str,
    *,
    protocol: str = "modbus",
    transport: str = "tcp",
    port: int | None = 502,
    client_child: str = "",
    server_child: str = "",
    s: float = 0,
    space: str = "default",
) -> Connection:
    key = (space, client, client_child, server, server_child, transport, port, protocol)
    return Connection(
        id_of("connection", *key),
        id_of("endpoint", space, client, client_child),
        id_of("endpoint", space, server, server_child),
        space,
        client,
        server,
        client_child,
        server_child,
        transport,
        port,
        protocol,
        at(s),
        span(1 + int(s), 54, 12),
    )


def operation(
    on: Connection,
    *,
    code: int | None = 3,
    name: str = "read-holding-registers",
    action: str = "read",
    object: str = "holding-register 0-9",  # noqa: A002
    outcome: str = "ok",
    reversed: bool = False,  # noqa: A002
    protocol: str | None = None,
    s: float = 0,
) -> Operation:
    protocol = protocol or on.protocol
    key = (on.id, protocol, reversed, code, name, action, object, outcome)
    return Operation(
        id_of("operation", *key),
        on.id,
        protocol,
        reversed,
        code,
        name,
        action,
        object,
        outcome,
        on.server_child if reversed else on.client_child,
        on.client_child if reversed else on.server_child,
        at(s),
        span(1 + int(s), 60, 2),
    )


def claim(
    about: Endpoint,
    attribute: str,
    value: str,
    *,
    protocol: str = "modbus",
    message: str = "read-device-identification",
    confidence: str = "high",
    s: float = 0,
) -> Claim:
    return Claim(
        id_of("claim", about.id, attribute, value, protocol, message),
        about.id,
        attribute,
        value,
        protocol,
        message,
        confidence,
        at(s),
        Evidence(span(1 + int(s), 70, len(value)), "ascii"),
    )


def event(
    kind: str,
    client: str,
    server: str,
    *,
    protocol: str = "modbus",
    values: dict[str, str] | None = None,
    s: float = 0,
    space: str = "default",
) -> Event:
    values = values or {}
    return Event(
        id_of("event", kind, space, client, server, protocol, sorted(values.items())),
        kind,
        space,
        id_of("endpoint", space, client, ""),
        id_of("endpoint", space, server, ""),
        client,
        server,
        protocol,
        values,
        at(s),
        span(1 + int(s), 60, 3),
    )


def tallies(
    connections: list[tuple[bytes, int, int, int, int]] = (),  # type: ignore[assignment]
    operations: list[tuple[bytes, int, int, int]] = (),  # type: ignore[assignment]
    occurrences: list[tuple[bytes, int, int]] = (),  # type: ignore[assignment]
) -> Tallies:
    """Packed columns of (id, numbers…) rows."""

    def packed(rows: Any, width: int) -> list[bytes]:
        ids = b"".join(row[0] for row in rows)
        columns = [array("q", (row[at] for row in rows)).tobytes() for at in range(1, width)]
        return [ids, *columns]

    return Tallies(*packed(connections, 5), *packed(operations, 4), *packed(occurrences, 3))


def batch(
    number: int, *facts: Any, counts: Tallies | None = None, s: float = 0, **more: Any
) -> Batch:
    """One batch of any facts, each put into its list by its type."""
    lists: dict[str, list[Any]] = {}
    names = {
        "Endpoint": "endpoints",
        "Sighting": "sightings",
        "Binding": "bindings",
        "Connection": "connections",
        "Operation": "operations",
        "Claim": "claims",
        "Change": "changes",
        "Event": "events",
        "Violation": "violations",
        "Payload": "payloads",
        "Attempts": "attempts",
        "Correction": "corrections",
        "Epoch": "epochs",
        "Observation": "observations",
    }
    for fact in facts:
        lists.setdefault(names[type(fact).__name__], []).append(fact)
    return Batch(
        SCHEMA,
        number,
        at(s),
        at(s + 1),
        **lists,
        tallies=counts or Tallies(),
        coverage=more.pop("coverage", Coverage(frames=1, bytes=60)),
        **more,
    )


class Source:
    """Yields batches like the core's `Replay`."""

    def __init__(self, batches: list[Batch], files: tuple[str, ...] = ("made.pcap",)) -> None:
        self._batches = iter(batches)
        self._files = files

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        return encode(next(self._batches))

    def captures(self) -> bytes:
        rows = [Capture(f, 1, 60, ["ethernet"], START_NS, START_NS, None) for f in self._files]
        return msgspec.msgpack.encode(rows)

    def progress(self) -> tuple[int, int]:
        return 1, 1
