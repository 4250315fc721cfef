"""The state that a sensor's batches fold into, and what each batch changed in it.

Folding is order-independent and idempotent for everything but counts: a fact sent again changes
nothing (contracts.md §1). All else (devices, alerts, documents) is computed from this state.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, MutableMapping, Sequence
from typing import Any, TypeVar

import msgspec

from otic.facts import (
    Attempts,
    Batch,
    Binding,
    Blind,
    Change,
    Claim,
    Connection,
    Correction,
    Coverage,
    Endpoint,
    Epoch,
    Event,
    Operation,
    Payload,
    Sighting,
    Spans,
    Tallies,
    Tick,
    Violation,
    unpack_ids,
    unpack_numbers,
)
from otic.journal.keep import COUNTS_OF, KEPT, ON_CONNECTIONS, Counts, InMemory, Keep, batched
from otic.journal.lanes import LaneKey, Lanes

AT_ONCE = 2000
"""Facts brought to hand at once."""

BUCKET_NS = 10_000_000_000
"""Width of the buckets in which occurrences and attempts are counted."""

MINUTE_NS = 60_000_000_000

FIRST_NS, LAST_NS = -(2**63), 2**63 - 1
"""The times between which all others are."""

BUCKETS_PER_EVENT = 4096
"""Buckets kept per event; later ones are dropped and counted as capped."""

_First = TypeVar("_First", Connection, Operation, Claim, Event, Violation, Payload, Binding)
_Key = TypeVar("_Key")


_TEXTS: dict[type, tuple[str, ...]] = {
    Endpoint: ("space", "address", "child"),
    Connection: (
        "space",
        "client",
        "server",
        "client_child",
        "server_child",
        "transport",
        "protocol",
    ),
    Binding: ("protocol", "message"),
    Operation: (
        "protocol",
        "name",
        "action",
        "object",
        "outcome",
        "client_child",
        "server_child",
    ),
}
"""Texts that many facts of a kind have in common: one object each, to save memory."""


class Sight(msgspec.Struct, gc=False):
    """All sightings of one MAC sending one IP (or, with `ip` none, layer-2 frames)."""

    mac: bytes
    ip: bytes | None
    first_ns: int
    last_ns: int
    vlans: frozenset[tuple[int, ...]]
    interfaces: frozenset[str]
    hop_limits: frozenset[int]
    spans: Spans


class Observed(msgspec.Struct, frozen=True, gc=False):
    """VLANs and interfaces seen on one connection."""

    vlans: frozenset[tuple[int, ...]]
    interfaces: frozenset[str]


class Interface(msgspec.Struct):
    """One monitored interface: its last second and the sums of all seconds.

    `up_ns` is its last second with a link; none while it never had one.
    """

    first_ns: int
    last: Tick
    up_ns: int | None = None
    frames: int = 0
    bytes: int = 0
    drops: dict[str, int] = msgspec.field(default_factory=dict)


class Minute(msgspec.Struct):
    """What one interface read and lost in one minute."""

    frames: int = 0
    bytes: int = 0
    drops: dict[str, int] = msgspec.field(default_factory=dict)


class Novelty(msgspec.Struct):
    """Keys of the facts one batch added or altered, by kind; counts alone are no novelty.

    `answered` are connections whose server was seen to send for the first time, `links` interfaces
    whose link came or went.
    """

    endpoints: set[bytes] = msgspec.field(default_factory=set)
    sightings: set[tuple[bytes, bytes | None]] = msgspec.field(default_factory=set)
    bindings: set[tuple[bytes, bytes, str, str]] = msgspec.field(default_factory=set)
    connections: set[bytes] = msgspec.field(default_factory=set)
    operations: set[bytes] = msgspec.field(default_factory=set)
    claims: set[bytes] = msgspec.field(default_factory=set)
    changes: set[bytes] = msgspec.field(default_factory=set)
    events: set[bytes] = msgspec.field(default_factory=set)
    violations: set[bytes] = msgspec.field(default_factory=set)
    payloads: set[bytes] = msgspec.field(default_factory=set)
    attempts: set[tuple[bytes, str, int]] = msgspec.field(default_factory=set)
    corrections: set[bytes] = msgspec.field(default_factory=set)
    epochs: set[tuple[int, int, str]] = msgspec.field(default_factory=set)
    observations: set[bytes] = msgspec.field(default_factory=set)
    answered: set[bytes] = msgspec.field(default_factory=set)
    interfaces: set[str] = msgspec.field(default_factory=set)
    minutes: set[tuple[str, int]] = msgspec.field(default_factory=set)
    links: set[str] = msgspec.field(default_factory=set)
    blinds: set[tuple[str, int]] = msgspec.field(default_factory=set)
    buckets: set[tuple[bytes, int]] = msgspec.field(default_factory=set)
    lanes: set[LaneKey] = msgspec.field(default_factory=set)
    coverage: bool = False

    def add(self, more: Novelty) -> None:
        """Takes in what another batch changed."""
        for name in self.__struct_fields__:
            if name != "coverage":
                getattr(self, name).update(getattr(more, name))
        self.coverage |= more.coverage


class Totals(msgspec.Struct):
    """Coverage of everything read so far."""

    frames: int = 0
    bytes: int = 0
    truncated: int = 0
    out_of_order: int = 0
    undecoded_link_types: dict[str, int] = msgspec.field(default_factory=dict)
    copies: dict[str, int] = msgspec.field(default_factory=dict)
    by_cause: dict[str, int] = msgspec.field(default_factory=dict)
    capped: dict[str, int] = msgspec.field(default_factory=dict)

    def add(self, more: Coverage) -> bool:
        """Adds one batch's coverage; whether anything changed."""
        self.frames += more.frames
        self.bytes += more.bytes
        self.truncated += more.truncated
        self.out_of_order += more.out_of_order
        for mine, its in (
            (self.undecoded_link_types, more.undecoded_link_types),
            (self.copies, more.copies),
            (self.by_cause, more.by_cause),
            (self.capped, more.capped),
        ):
            for name, count in its.items():
                mine[name] = mine.get(name, 0) + count
        return bool(more.frames)


class State:
    """Everything the facts so far say.

    Addresses and what is known of them is in memory; what there is much of is where `keep` says.
    """

    def __init__(self, keep: Keep | None = None) -> None:
        self.keep = keep = keep or InMemory()
        self.endpoints: dict[bytes, Endpoint] = {}
        self.sightings: dict[tuple[bytes, bytes | None], Sight] = {}
        self.bindings: dict[tuple[bytes, bytes, str, str], Binding] = {}
        self.connections: MutableMapping[bytes, Connection] = keep.facts("connections")
        self.operations: MutableMapping[bytes, Operation] = keep.facts("operations")
        self.claims: dict[bytes, Claim] = {}
        self._claims_of: dict[bytes, list[bytes]] = {}
        self.changes: MutableMapping[bytes, Change] = keep.facts("changes")
        self.events: MutableMapping[bytes, Event] = keep.facts("events")
        self.violations: MutableMapping[bytes, Violation] = keep.facts("violations")
        self.payloads: MutableMapping[bytes, Payload] = keep.facts("payloads")
        self.attempts: MutableMapping[tuple[bytes, str, int], Attempts] = keep.facts("attempts")
        self.corrections: dict[bytes, Correction] = {}
        self.epochs: dict[tuple[int, int, str], Epoch] = {}
        self.observations: MutableMapping[bytes, Observed] = keep.facts("observations")
        self.interfaces: dict[str, Interface] = {}
        self.minutes: dict[tuple[str, int], Minute] = {}
        self.blinds: dict[tuple[str, int], Blind] = {}
        self.buckets: dict[bytes, dict[int, int]] = {}
        self.lanes = Lanes()
        self._counts = {name: keep.counts(name) for name in set(COUNTS_OF.values())}
        self.one_way: set[bytes] = set()
        self.unpaired: set[bytes] = set()
        self.coverage = Totals()
        self.clock_ns = 0
        self._set_back: bool | None = None
        self._in_future_ns = sys.maxsize
        self.batches = 0
        self._same: dict[Any, Any] = {}

    def everything(self) -> Novelty:
        """All that is known, as if one batch had brought it; attempts are asked for by source."""
        return Novelty(
            endpoints=set(self.endpoints),
            sightings=set(self.sightings),
            bindings=set(self.bindings),
            connections=set(self.connections),
            operations=set(self.operations),
            claims=set(self.claims),
            changes=set(self.changes),
            events=set(self.events),
            violations=set(self.violations),
            payloads=set(self.payloads),
            corrections=set(self.corrections),
            epochs=set(self.epochs),
            observations=set(self.observations),
            answered=set(self.connections) - self.one_way,
            interfaces=set(self.interfaces),
            blinds=set(self.blinds),
            buckets={(id_, 0) for id_ in self.buckets},
            lanes=set(self.lanes),
        )

    def _share(self, fact: Any, ids: tuple[str, ...] = (), known: Any = ()) -> None:
        """Makes texts and the named ids of a fact the objects that earlier facts hold."""
        for name in _TEXTS[type(fact)]:
            msgspec.structs.force_setattr(fact, name, sys.intern(getattr(fact, name)))
        for name in ids:
            earlier = known.get(getattr(fact, name))
            if earlier is not None:
                msgspec.structs.force_setattr(fact, name, earlier.id)

    def _alike(self, value: _Key) -> _Key:
        """The first equal value, so that equal small sets are one object."""
        kept: _Key = self._same.setdefault(value, value)
        return kept

    def counts_of(self, name: str) -> Counts:
        """Counts of the facts of this name.

        connections: packets forward, packets back, bytes, and of these packets missing, truncated,
        seen in one direction only; operations: messages, responses without
        request; events and violations: occurrences.
        """
        return self._counts[COUNTS_OF[name]]

    def count(self, name: str, id_: bytes) -> Sequence[int] | None:
        """The counts of one fact and its last time; none where nothing was counted."""
        return self.counts_of(name).get(id_)

    def in_turn(self, name: str, ids: Iterable[_Key]) -> Iterator[_Key]:
        """These ids one by one, each with its fact (and the connection that names) at hand."""
        for some in batched(ids, AT_ONCE):
            if name in KEPT:
                self.keep.expect(name, some)
            if name == "connections":
                self.keep.expect("observations", some)
            if name in ON_CONNECTIONS:
                facts = getattr(self, name)
                named = {facts[id_].connection for id_ in some}
                self.keep.expect("connections", {self.stands_for(id_)[0] for id_ in named})
            yield from some

    def counted(self, name: str) -> Iterator[tuple[bytes, Any, Sequence[int] | None]]:
        """All facts of this name with their ids and counts."""
        for some in batched(list(getattr(self, name)), AT_ONCE):
            counts = self.counts_of(name).several(some)
            for id_ in self.in_turn(name, some):
                yield id_, getattr(self, name)[id_], counts.get(id_)

    def connections_of(self, endpoints: set[bytes]) -> list[Connection]:
        """The connections with one of these endpoints."""
        return self.keep.connections_of(endpoints)

    def facts_on(self, connections: set[bytes]) -> list[tuple[str, bytes]]:
        """Name and id of operations, changes and violations that name one of these connections."""
        return self.keep.facts_on(connections)

    def attempts_of(
        self,
        sources: Iterable[bytes],
        transport: str | None = None,
        first_ns: int = FIRST_NS,
        last_ns: int = LAST_NS,
    ) -> Iterator[Attempts]:
        """Attempts of these sources (over one transport) whose buckets start from first to last.

        Those of one source and transport come one after the other, in time order.
        """
        return self.keep.attempts_of(sources, transport, first_ns, last_ns)

    def apply(self, batch: Batch) -> Novelty:
        """Folds one batch in and says what it changed."""
        new = Novelty()
        self._expect(batch)
        self._watch_clock(batch)
        for endpoint in batch.endpoints:
            self._share(endpoint)
            self._endpoint(endpoint, new)
        for sighting in batch.sightings:
            self._sighting(sighting, new)
        for binding in batch.bindings:
            self._share(binding, ("first", "second"), self.endpoints)
            key = (binding.first, binding.second, binding.protocol, binding.message)
            self._first(self.bindings, key, binding, new.bindings)
        for connection in batch.connections:
            self._share(connection, ("client_id", "server_id"), self.endpoints)
            if self._first(self.connections, connection.id, connection, new.connections):
                counted = self.counts_of("connections").recent.get(connection.id)
                if counted is None or not counted[1]:
                    self.one_way.add(connection.id)
        for operation in batch.operations:
            self._share(operation, ("connection",), self.connections)
            self._first(self.operations, operation.id, operation, new.operations)
        for claim in batch.claims:
            self.keep_claim(claim, new)
        for change in batch.changes:
            self._change(change, new)
        for event in batch.events:
            self._first(self.events, event.id, event, new.events)
        for violation in batch.violations:
            self._first(self.violations, violation.id, violation, new.violations)
        for payload in batch.payloads:
            self._first(self.payloads, payload.id, payload, new.payloads)
        for attempts in batch.attempts:
            bucket = (attempts.source, attempts.transport, attempts.start_ns)
            known = self.attempts.get(bucket)
            if known is None or _extent(attempts) > _extent(known):
                self.attempts[bucket] = attempts
                new.attempts.add(bucket)
        for correction in batch.corrections:
            if correction.old not in self.corrections:
                self.corrections[correction.old] = correction
                new.corrections.add(correction.old)
        for epoch in batch.epochs:
            jump = (epoch.before_ns, epoch.after_ns, epoch.cause)
            if jump not in self.epochs:
                self.epochs[jump] = epoch
                new.epochs.add(jump)
        for observation in batch.observations:
            seen = self.observations.get(observation.connection) or _NOTHING_OBSERVED
            more = self._alike(
                Observed(
                    seen.vlans | ({tuple(observation.vlans)} if observation.vlans else set()),
                    seen.interfaces | ({observation.interface} if observation.interface else set()),
                )
            )
            if more != seen:
                owner = self.connections.get(observation.connection)
                id_ = observation.connection if owner is None else owner.id
                self.observations[id_] = more
                new.observations.add(id_)
        for tick in batch.ticks:
            self._tick(tick, new)
        for blind in batch.blinds:
            self.blinds[blind.interface, blind.start_ns] = blind
            new.blinds.add((blind.interface, blind.start_ns))
        new.lanes = self.lanes.add(batch.lanes, batch.ticks, batch.end_ns)
        self.tally(batch.tallies, new)
        new.coverage = self.coverage.add(batch.coverage)
        self.clock_ns = batch.end_ns
        self.batches = batch.number + 1
        return new

    def _expect(self, batch: Batch) -> None:
        """Announces the facts that folding this batch will ask for."""
        expect = self.keep.expect
        named = {
            *(fact.connection for fact in batch.operations),
            *(fact.connection for fact in batch.observations),
        }
        expect("connections", {*(fact.id for fact in batch.connections), *named})
        expect("observations", {fact.connection for fact in batch.observations})
        for name in ("operations", "changes", "events", "violations", "payloads"):
            expect(name, {fact.id for fact in getattr(batch, name)})
        expect(
            "attempts", {(fact.source, fact.transport, fact.start_ns) for fact in batch.attempts}
        )

    def tally(self, tallies: Tallies, new: Novelty | None = None) -> None:
        """Adds the counts of one batch."""
        new = new or Novelty()
        if tallies.connection_ids:
            add = self.counts_of("connections").add
            nothing = bytes(len(tallies.connection_last))
            for id_, forward, reverse, size, last, *unseen in zip(
                unpack_ids(tallies.connection_ids),
                unpack_numbers(tallies.forward_packets),
                unpack_numbers(tallies.reverse_packets),
                unpack_numbers(tallies.connection_bytes),
                unpack_numbers(tallies.connection_last, signed=True),
                unpack_numbers(tallies.connection_missing or nothing),
                unpack_numbers(tallies.connection_truncated or nothing),
                unpack_numbers(tallies.connection_one_way or nothing),
                strict=True,
            ):
                if reverse and id_ in self.one_way:
                    self.one_way.discard(id_)
                    new.answered.add(id_)
                add(id_, (forward, reverse, size, *unseen), last)
        if tallies.operation_ids:
            add = self.counts_of("operations").add
            for id_, count, unpaired, last in zip(
                unpack_ids(tallies.operation_ids),
                unpack_numbers(tallies.operation_counts),
                unpack_numbers(tallies.operation_unpaired),
                unpack_numbers(tallies.operation_last, signed=True),
                strict=True,
            ):
                if unpaired and id_ not in self.unpaired:
                    self.unpaired.add(id_)
                    if id_ in self.operations:
                        new.operations.add(id_)
                add(id_, (count, unpaired), last)
        if tallies.occurrence_ids:
            add = self.counts_of("events").add
            for id_, count, last in zip(
                unpack_ids(tallies.occurrence_ids),
                unpack_numbers(tallies.occurrence_counts),
                unpack_numbers(tallies.occurrence_last, signed=True),
                strict=True,
            ):
                add(id_, (count,), last)
                self._bucket(id_, count, last, new)

    def resolve(self, connection: bytes) -> tuple[Connection | None, bool]:
        """The connection that now stands for this id, and whether its roles were exchanged."""
        id_, exchanged = self.stands_for(connection)
        return self.connections.get(id_), exchanged

    def stands_for(self, connection: bytes) -> tuple[bytes, bool]:
        """Id of the connection that now stands for this one, and whether roles were exchanged."""
        exchanged = False
        seen = {connection}
        while (correction := self.corrections.get(connection)) is not None:
            if correction.new in seen:
                break
            seen.add(correction.new)
            connection = correction.new
            exchanged = not exchanged
        return connection, exchanged

    def keep_claim(self, claim: Claim, new: Novelty | None = None) -> None:
        """Keeps a claim, the earliest telling of it."""
        if claim.id not in self.claims:
            self._claims_of.setdefault(claim.endpoint, []).append(claim.id)
        self._first(self.claims, claim.id, claim, set() if new is None else new.claims)

    def keep_sighting(self, sight: Sight) -> None:
        """Keeps a sighting as it was before."""
        sight.mac = self._known_id(sight.mac)
        sight.ip = None if sight.ip is None else self._known_id(sight.ip)
        for name in ("vlans", "interfaces", "hop_limits"):
            setattr(sight, name, self._alike(getattr(sight, name)))
        self.sightings[sight.mac, sight.ip] = sight

    def claims_of(self, endpoint: bytes) -> list[Claim]:
        """All claims about one endpoint."""
        return [self.claims[id_] for id_ in self._claims_of.get(endpoint, ())]

    def _known_id(self, endpoint: bytes) -> bytes:
        """The id as the object that the endpoint itself holds."""
        known = self.endpoints.get(endpoint)
        return endpoint if known is None else known.id

    def _watch_clock(self, batch: Batch) -> None:
        """Notes from which time on facts must have been told before the clock was set back.

        They are the earlier ones, although what is told again has an earlier time.
        """
        if not self._set_back:
            epochs = [*batch.epochs, *(self.epochs.values() if self._set_back is None else ())]
            self._set_back = any(epoch.after_ns < epoch.before_ns for epoch in epochs)
        if self._set_back:
            self._in_future_ns = batch.end_ns

    def _first(self, facts: Any, key: _Key, fact: _First, new: set[Any]) -> bool:
        """Keeps the earliest telling of a fact; whether it was altered."""
        known = facts.get(key)
        if known is not None and (
            known.ts_ns > self._in_future_ns
            or (known.ts_ns, _spans(known)) <= (fact.ts_ns, _spans(fact))
        ):
            return False
        facts[key] = fact
        new.add(key)
        return True

    def _endpoint(self, endpoint: Endpoint, new: Novelty) -> None:
        known = self.endpoints.get(endpoint.id)
        if known is not None:
            earlier = min(known, endpoint, key=lambda fact: (fact.ts_ns, fact.spans))
            if known.ts_ns > self._in_future_ns:
                earlier = known
            spoke = known.spoke or endpoint.spoke
            if earlier is known and spoke == known.spoke:
                return
            endpoint = msgspec.structs.replace(earlier, spoke=spoke)
        self.endpoints[endpoint.id] = endpoint
        new.endpoints.add(endpoint.id)

    def _sighting(self, fact: Sighting, new: Novelty) -> None:
        key = (self._known_id(fact.mac), None if fact.ip is None else self._known_id(fact.ip))
        sight = self.sightings.get(key)
        if sight is None:
            nothing: frozenset[Any] = frozenset()
            sight = Sight(*key, fact.ts_ns, fact.ts_ns, nothing, nothing, nothing, fact.spans)
            self.sightings[key] = sight
            new.sightings.add(key)
        before = msgspec.structs.astuple(sight)
        earlier = (fact.ts_ns, fact.spans) < (sight.first_ns, sight.spans)
        if earlier and sight.first_ns <= self._in_future_ns:
            sight.first_ns, sight.spans = fact.ts_ns, fact.spans
        if fact.ts_ns > sight.last_ns:
            sight.last_ns = fact.ts_ns
        if fact.vlans and (stack := tuple(fact.vlans)) not in sight.vlans:
            sight.vlans = self._alike(sight.vlans | {stack})
        if fact.interface and fact.interface not in sight.interfaces:
            sight.interfaces = self._alike(sight.interfaces | {fact.interface})
        if fact.hop_limit and fact.hop_limit not in sight.hop_limits:
            sight.hop_limits = self._alike(sight.hop_limits | {fact.hop_limit})
        if before != msgspec.structs.astuple(sight):
            new.sightings.add(key)

    def _tick(self, tick: Tick, new: Novelty) -> None:
        known = self.interfaces.get(tick.interface)
        if known is None:
            known = self.interfaces[tick.interface] = Interface(tick.wall_ns, tick)
            new.links.add(tick.interface)
        elif known.last.up != tick.up:
            new.links.add(tick.interface)
        minute_ns = tick.wall_ns // MINUTE_NS * MINUTE_NS
        minute = self.minutes.get((tick.interface, minute_ns))
        if minute is None:
            for key in [key for key in self.minutes if key[1] < minute_ns - MINUTE_NS]:
                del self.minutes[key]
            minute = self.minutes[tick.interface, minute_ns] = Minute()
        known.last = tick
        if tick.up:
            known.up_ns = tick.wall_ns
        for sums in (known, minute):
            sums.frames += tick.frames
            sums.bytes += tick.bytes
            for cause, count in tick.drops.items():
                sums.drops[cause] = sums.drops.get(cause, 0) + count
        new.interfaces.add(tick.interface)
        new.minutes.add((tick.interface, minute_ns))

    def _change(self, change: Change, new: Novelty) -> None:
        known = self.changes.get(change.id)
        if known is not None:
            last = max(known, change, key=lambda fact: (fact.ts_ns, fact.evidence.spans))
            if known.ts_ns > self._in_future_ns:
                last = change
            change = msgspec.structs.replace(
                last,
                count=known.count + change.count,
                min=_bound(min, known.min, change.min),
                max=_bound(max, known.max, change.max),
            )
        self.changes[change.id] = change
        new.changes.add(change.id)

    def _bucket(self, id_: bytes, count: int, last_ns: int, new: Novelty) -> None:
        if id_ in self.violations:
            return
        buckets = self.buckets.setdefault(id_, {})
        start = last_ns // BUCKET_NS * BUCKET_NS
        if start not in buckets and len(buckets) >= BUCKETS_PER_EVENT:
            self.coverage.capped["event-buckets"] = self.coverage.capped.get("event-buckets", 0) + 1
            return
        buckets[start] = buckets.get(start, 0) + count
        new.buckets.add((id_, start))


_NOTHING_OBSERVED = Observed(frozenset(), frozenset())


def _spans(fact: Any) -> Spans:
    spans: Spans = fact.evidence.spans if isinstance(fact, Claim) else fact.spans
    return spans


def _extent(attempts: Attempts) -> tuple[int, int, int, int]:
    return attempts.attempts, attempts.targets, attempts.hosts, attempts.failed


def _bound(choose: Any, one: float | None, other: float | None) -> float | None:
    if one is None or other is None:
        return one if other is None else other
    bound: float = choose(one, other)
    return bound
