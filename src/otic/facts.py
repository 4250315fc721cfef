"""The facts the core sends, batch by batch; equal to `core/engine/src/facts.rs` field by field.

Each type is a MessagePack array of its fields in the order they stand here; a test compares names
and order with the Rust side. Ids are 16 bytes. Times are nanoseconds since 1970 UTC.
"""

from __future__ import annotations

import hashlib
import struct
from array import array
from collections.abc import Iterable, Iterator

import msgspec

SCHEMA = 1
"""Version of this schema; a reader refuses a newer one."""

Span = tuple[int, int, int, int]
"""A run of bytes of one captured frame: (file ordinal, frame number from 1, offset, length)."""

Spans = bytes
"""Runs of bytes in reading order, packed: 20 bytes each, big-endian (`unpack_spans`)."""

Id = bytes
"""A fact's id, 16 bytes."""

Raw = bytes
"""Bytes as they were on the wire, or a packed column."""

Value = int | float | str
"""A value in a change: a whole number, a real number, or text (hexadecimal for raw bytes)."""


class Fact(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """Base of all facts: how they are written, nothing else."""


class Evidence(Fact, frozen=True):
    """Frame bytes and how they give a value (`otic.evidence`)."""

    spans: Spans
    decode: str


class Endpoint(Fact, frozen=True):
    """An address that speaks or is spoken to, or a child address behind it."""

    id: Id
    space: str
    address: str
    child: str
    spoke: bool
    ts_ns: int
    spans: Spans


class Sighting(Fact, frozen=True):
    """Frame headers showed that a MAC sends an IP; proves nothing about whose IP it is."""

    mac: Id
    ip: Id | None
    vlans: list[int]
    interface: str
    hop_limit: int
    ts_ns: int
    spans: Spans


class Binding(Fact, frozen=True):
    """Proof that two endpoints are interfaces of one machine."""

    first: Id
    second: Id
    protocol: str
    message: str
    ts_ns: int
    spans: Spans


class Connection(Fact, frozen=True):
    """A long-lived relation client endpoint to server endpoint over transport, port, protocol."""

    id: Id
    client_id: Id
    server_id: Id
    space: str
    client: str
    server: str
    client_child: str
    server_child: str
    transport: str
    port: int | None
    protocol: str
    ts_ns: int
    spans: Spans


class Operation(Fact, frozen=True):
    """What a connection does."""

    id: Id
    connection: Id
    protocol: str
    reversed: bool
    code: int | None
    name: str
    action: str
    object: str
    outcome: str
    client_child: str
    server_child: str
    ts_ns: int
    spans: Spans


class Claim(Fact, frozen=True):
    """An attribute of an endpoint told by one message."""

    id: Id
    endpoint: Id
    attribute: str
    value: str
    protocol: str
    message: str
    confidence: str
    ts_ns: int
    evidence: Evidence


class Change(Fact, frozen=True):
    """Writes of one connection to one object since the last batch."""

    id: Id
    connection: Id
    protocol: str
    reversed: bool
    object: str
    old: Value | None
    new: Value
    min: float | None
    max: float | None
    count: int
    ts_ns: int
    evidence: Evidence


class Event(Fact, frozen=True):
    """Something that happened between two endpoints."""

    id: Id
    kind: str
    space: str
    client_id: Id
    server_id: Id
    client: str
    server: str
    protocol: str
    values: dict[str, str]
    ts_ns: int
    spans: Spans


class Violation(Fact, frozen=True):
    """Bytes or order that break the protocol's specification."""

    id: Id
    connection: Id
    reversed: bool
    rule: str
    protocol: str
    values: dict[str, str]
    ts_ns: int
    spans: Spans


class Payload(Fact, frozen=True):
    """Bytes of a rare, rich message, at most 64 KiB."""

    id: Id
    connection: Id
    reversed: bool
    protocol: str
    kind: str
    bytes: Raw
    ts_ns: int
    spans: Spans


class Attempts(Fact, frozen=True):
    """Attempts of one source in one 10 s bucket that became no connection."""

    source: Id
    transport: str
    start_ns: int
    hosts: int
    targets: int
    ports: int
    attempts: int
    failed: int
    more: bool
    samples: list[tuple[str, int]]
    addresses: list[str]
    spans: Spans


class Correction(Fact, frozen=True):
    """A connection's roles were decided wrongly: counts of `old` belong to `new`."""

    old: Id
    new: Id
    ts_ns: int


class Epoch(Fact, frozen=True):
    """The clock jumped: windows restart, only observed time counts."""

    before_ns: int
    after_ns: int
    cause: str
    spans: Spans


class Observation(Fact, frozen=True):
    """A VLAN stack or interface seen on a connection."""

    connection: Id
    vlans: list[int]
    interface: str


class Tick(Fact, frozen=True):
    """One second of one monitored interface; files have none.

    `frames` and `bytes` were read since the tick before, `drops` were not, by cause.
    """

    interface: str
    wall_ns: int
    monotonic_ns: int
    up: bool
    frames: int
    bytes: int
    drops: dict[str, int]


class Blind(Fact, frozen=True):
    """A time in which frames could not be seen at all, on one interface or (empty name) on all."""

    interface: str
    start_ns: int
    end_ns: int
    cause: str


class Canary(Fact, frozen=True):
    """A made frame that a live sensor lets walk the way of captured ones; it counts nowhere.

    `run_ns` names the run of capture that made it, `sequence` counts from 1 in it.
    """

    run_ns: int
    sequence: int


class Tallies(Fact, frozen=True):
    """Counts of one batch as packed columns: ids of 16 bytes, numbers of 8 bytes little-endian."""

    connection_ids: Raw = b""
    forward_packets: Raw = b""
    reverse_packets: Raw = b""
    connection_bytes: Raw = b""
    connection_last: Raw = b""
    operation_ids: Raw = b""
    operation_counts: Raw = b""
    operation_unpaired: Raw = b""
    operation_last: Raw = b""
    occurrence_ids: Raw = b""
    occurrence_counts: Raw = b""
    occurrence_last: Raw = b""
    connection_missing: Raw = b""
    connection_truncated: Raw = b""
    connection_one_way: Raw = b""


class Coverage(Fact, frozen=True):
    """What one batch could not see, or saw twice."""

    frames: int = 0
    bytes: int = 0
    truncated: int = 0
    out_of_order: int = 0
    undecoded_link_types: dict[str, int] = {}
    copies: dict[str, int] = {}
    by_cause: dict[str, int] = {}
    capped: dict[str, int] = {}


COUNTERS = ("tcp", "goose", "sampled-values", "cip-io", "profinet-rt")
"""Counters by which missing frames are noticed, in the order of a lane's numbers."""


class Lane(Fact, frozen=True):
    """Frames of one VLAN on one interface in one batch, by what they say of the mirror.

    `numbered` and `missing` are by `COUNTERS`: messages seen, and messages missing between them.
    """

    interface: str
    vlans: list[int]
    frames: int
    bytes: int
    unicast: int
    flooded: int
    truncated: int
    joined: int
    jumbo: int
    filled: int
    filled_short: int
    checkable: int
    mirror_copies: int
    routed_copies: int
    mixed_untagged: int
    mixed_tagged: int
    tcp: int
    tcp_one_way: int
    numbered: list[int]
    missing: list[int]


class Batch(Fact, frozen=True):
    """Everything new of one batch, in data-time order within each list, and the counts."""

    schema: int
    number: int
    start_ns: int
    end_ns: int
    endpoints: list[Endpoint] = []
    sightings: list[Sighting] = []
    bindings: list[Binding] = []
    connections: list[Connection] = []
    operations: list[Operation] = []
    claims: list[Claim] = []
    changes: list[Change] = []
    events: list[Event] = []
    violations: list[Violation] = []
    payloads: list[Payload] = []
    attempts: list[Attempts] = []
    corrections: list[Correction] = []
    epochs: list[Epoch] = []
    observations: list[Observation] = []
    ticks: list[Tick] = []
    blinds: list[Blind] = []
    tallies: Tallies = Tallies()
    coverage: Coverage = Coverage()
    lanes: list[Lane] = []
    canaries: list[Canary] = []


class Capture(Fact, frozen=True):
    """One capture file after reading it."""

    file: str
    frames: int
    bytes: int
    link_types: list[str]
    first_seen: int | None
    last_seen: int | None
    cut_off: str | None


_SPAN = struct.Struct(">IQII")
_batch_decoder = msgspec.msgpack.Decoder(Batch)
_captures_decoder = msgspec.msgpack.Decoder(list[Capture])
_encoder = msgspec.msgpack.Encoder()


def decode_batch(data: bytes) -> Batch:
    """The batch in these MessagePack bytes.

    Raises:
        msgspec.ValidationError: the bytes are no batch, or of a newer schema.
    """
    batch = _batch_decoder.decode(data)
    if batch.schema > SCHEMA:
        raise msgspec.ValidationError(
            f"facts of schema {batch.schema}; this program reads up to {SCHEMA}"
        )
    return batch


def decode_captures(data: bytes) -> list[Capture]:
    """The captures in these MessagePack bytes."""
    return _captures_decoder.decode(data)


def encode(fact: object) -> bytes:
    """A fact or batch as MessagePack, the way the core writes it."""
    return _encoder.encode(fact)


def derived_id(*key: object) -> Id:
    """Id of what only analysis knows, over a key that names it; the core hashes its own."""
    return hashlib.blake2b(encode(key), digest_size=16).digest()


def own_event(kind: str, key: Iterable[object], values: dict[str, str], ts_ns: int) -> Event:
    """Something that happened to the sensor itself: between nobody, in no frame."""
    id_ = derived_id("event", kind, *key)
    return Event(id_, kind, "", b"", b"", "", "", "", values, ts_ns, b"")


def unpack_spans(spans: Spans) -> list[Span]:
    """The runs of bytes in packed spans."""
    return list(_SPAN.iter_unpack(spans))


def pack_spans(spans: Iterable[Span]) -> Spans:
    """Runs of bytes the way facts hold them; packed ones compare as the runs do."""
    return b"".join(_SPAN.pack(*span) for span in spans)


def unpack_ids(column: bytes) -> Iterator[bytes]:
    """The 16-byte ids of a packed column."""
    return (column[start : start + 16] for start in range(0, len(column), 16))


def unpack_numbers(column: bytes, *, signed: bool = False) -> array[int]:
    """The 8-byte numbers of a packed column; times are signed."""
    numbers: array[int] = array("q" if signed else "Q")
    numbers.frombytes(column)
    return numbers
