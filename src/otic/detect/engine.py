"""Rules on facts: incremental, and equal for the same facts in any order.

Membership (which fact made which rule fire for whom) is found when a fact is new; times and counts
are read from the state when alerts are asked for, so a tally never touches a rule.
"""

from __future__ import annotations

import ipaddress
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import chain, groupby
from typing import Any

import msgspec

from otic.baseline.baseline import Baseline, row_of
from otic.baseline.fields import FieldMaker
from otic.detect.alerts import (
    Alert,
    Found,
    Happened,
    alert_of,
    recounted,
    without_yielding,
)
from otic.detect.matches import Key, Match, Matches, parties_of
from otic.detect.rules import Compiled
from otic.facts import Attempts, Endpoint, Event, Spans
from otic.journal.fold import BUCKET_NS, FIRST_NS, LAST_NS, Novelty, State
from otic.journal.keep import batched

SECOND_NS = 1_000_000_000

# fmt: off
INDUSTRIAL_PORTS = frozenset((
    102, 502, 789, 1089, 1090, 1091, 1911, 1962, 2222, 2404, 4000, 4840, 4911, 5006,
    5007, 5094, 9600, 18245, 18246, 20000, 20547, 34962, 34963, 34964, 44818, 47808, 48898, 55000,
))
# fmt: on
"""Ports that industrial protocols are registered or documented for (IANA, makers' manuals)."""


RECOUNTED_AT_ONCE = 500
"""Alerts whose counts are asked for together."""

ITEMS = 65536
"""Distinct targets counted in one alert of attempts; further ones are left out."""

BUCKETS_AT_ONCE = 256
"""Buckets of one source's attempts looked at together, beside those that share a window."""

TELLING = {
    "operation": "connection_protocol",
    "connection": "connection_protocol",
    "change": "connection_protocol",
    "violation": "connection_protocol",
    "event": "kind",
    "claim": "attribute",
}
"""The field of each kind of fact that most rules ask for: its value picks the rules to try."""


class Detector:
    """All rules at work on one state.

    Without a baseline, what the `new` rules would say is kept apart (`policy`).
    """

    def __init__(
        self,
        rules: Iterable[Compiled],
        fields: FieldMaker,
        baseline: Baseline | None = None,
        learned_until_ns: int | None = None,
    ) -> None:
        self.rules = list(rules)
        self.fields = fields
        self.baseline = baseline
        self.learned_until_ns = learned_until_ns
        self.matches = Matches()
        self._by_fact: dict[str, list[Compiled]] = defaultdict(list)
        self._policy: dict[str, list[Compiled]] = defaultdict(list)
        self._picked: dict[tuple[str, bool, Any], list[Compiled]] = {}
        self._windows: dict[str, list[Compiled]] = defaultdict(list)
        self._changed = [c for c in self.rules if c.rule.trigger.kind == "changed"]
        self._with_sides = [c for c in self.rules if c.rule.trigger.along]
        self._sequences = [c for c in self.rules if c.rule.trigger.kind == "sequence"]
        for compiled in self.rules:
            trigger = compiled.rule.trigger
            if trigger.kind == "new" and baseline is None:
                self._policy[trigger.fact].append(compiled)
            elif trigger.kind in ("new", "occurs"):
                self._by_fact[trigger.fact].append(compiled)
            elif trigger.kind == "threshold":
                self._windows[trigger.fact].append(compiled)
        self._compiled = {compiled.rule.id: compiled for compiled in self.rules}
        self._rules = {compiled.rule.id: compiled.rule for compiled in self.rules}
        self._along: dict[Key, dict[Any, int]] = defaultdict(dict)
        self._derived: dict[bytes, Key] = {}
        self._shown: dict[Key, tuple[Alert, frozenset[Any]]] = {}
        self._retold: dict[tuple[bytes, str, str, str], set[bytes]] = defaultdict(set)
        self._waiting: set[tuple[str, bytes]] = set()
        self._early_claims: set[bytes] = set()
        self._alike: dict[Key, set[bytes]] = defaultdict(set)
        self._scans: dict[tuple[Key, Any], _Scan] = {}
        self._widest_ns = SECOND_NS * max(
            (compiled.rule.trigger.within_s for compiled in self._windows["attempts"]), default=0
        )
        self._steps: dict[str, dict[Any, tuple[dict[Any, Match], dict[Any, Match]]]] = {}

    def guarded(self, kind: str, fields: dict[str, Any]) -> bool:
        """Whether a guarded rule watches for this fact, so that it is never learned silently."""
        return any(
            compiled.rule.guarded and compiled.fits(fields)
            for compiled in (*self._by_fact[kind], *self._policy[kind])
        )

    def update(self, state: State, new: Novelty) -> None:
        """Looks at what one batch added."""
        if new.corrections:
            self._correct(state, new)
        for kind in ("endpoint", "connection", "operation", "change", "event", "violation"):
            if self._by_fact[kind] or self._sequences:
                for id_ in state.in_turn(f"{kind}s", getattr(new, f"{kind}s")):
                    self._look(state, kind, id_)
        waiting, self._waiting = self._waiting, set()
        for kind, id_ in waiting:
            self._look(state, kind, id_)
        for id_ in new.claims | self._early_claims:
            self._claim(state, id_)
        self._look_at_attempts(state, new)
        for id_ in {id_ for id_, _ in new.buckets}:
            self._occurrences(state, id_)

    def everything(self, state: State) -> None:
        """Looks at a whole state, as after a restart; roles are corrected in it already."""
        known = state.everything()
        known.corrections.clear()
        self.update(state, known)

    def alerts(
        self,
        state: State,
        derived: Iterable[Event] = (),
        spoken_for: Callable[[bytes], bool] = lambda endpoint: False,
        *,
        policy: bool = True,
    ) -> list[Alert]:
        """All alerts so far, sorted by id.

        `derived` are events that analysis itself found. An endpoint that is `spoken_for` by a
        better address of its machine makes no alert of its own. Without a baseline, what the `new`
        rules would say is worked out here, from all facts, and only when `policy` asks for it.
        """
        self._derive(derived)
        found = self._found(state, self.matches.by_key, spoken_for)
        if policy:
            found |= self._found(state, self._would(state), spoken_for)
        left = without_yielding(self._rules, found)
        happened = Happened(state, chain.from_iterable(left.values()))
        alerts = [
            alert_of(happened, self._rules[key[0]], key, matches, policy=self._is_policy(key))
            for key, matches in left.items()
        ]
        return sorted(alerts, key=lambda alert: alert.id)

    def refresh(
        self, state: State, derived: Iterable[Event], spoken_for: Callable[[bytes], bool]
    ) -> tuple[list[Alert], list[bytes]]:
        """Alerts that are new or look different since the last call, and ids of those gone.

        The same as in `alerts` (without what would alert if it were unknown), worked out only where
        something changed. Counts of facts known before wait for `recount`.
        """
        self._derive(derived)
        changed, self.matches.changed = self.matches.changed, set()
        rules = {rule for rule, _ in changed}
        affected = changed | {
            key
            for key in self.matches.near(changed)
            if not rules.isdisjoint(self._rules[key[0]].yields_to)
        }
        asked = {rule for key in affected for rule in self._rules[key[0]].yields_to}
        others = {key for key in self.matches.near(affected) if key[0] in asked}
        members = {key: self.matches.by_key.get(key, {}) for key in affected | others}
        left = without_yielding(self._rules, self._found(state, members, spoken_for))
        happened = Happened(state, chain.from_iterable(left[key] for key in affected & left.keys()))
        alerts, gone = [], []
        for key in affected:
            before, _ = self._shown.pop(key, (None, None))
            if key in left:
                alert = alert_of(happened, self._rules[key[0]], key, left[key], policy=False)
                kept = frozenset(match.id for match in left[key] if not match.side)
                self._shown[key] = alert, kept
                if alert != before:
                    alerts.append(alert)
            elif before is not None:
                gone.append(before.id)
        return sorted(alerts, key=lambda alert: alert.id), sorted(gone)

    def recount(self, state: State) -> list[Alert]:
        """Alerts whose facts happened again since they were last looked at."""
        again = []
        for some in batched(self._shown, RECOUNTED_AT_ONCE):
            matches = {key: list(self._counted(key)) for key in some}
            happened = Happened(state, chain.from_iterable(matches.values()))
            for key in some:
                alert, kept = self._shown[key]
                now = recounted(happened, alert, matches[key])
                if now != alert:
                    self._shown[key] = now, kept
                    again.append(now)
        return again

    def _counted(self, key: Key) -> Iterator[Match]:
        """The matches that an alert counts, without what it shows of them."""
        alert, kept = self._shown[key]
        members = self.matches.by_key.get(key, {})
        for id_ in kept & members.keys():
            match = members[id_]
            yield Match(match, id_, {}, alert.first_ns, b"") if isinstance(match, str) else match

    def _is_policy(self, key: Key) -> bool:
        return self.baseline is None and self._rules[key[0]].trigger.kind == "new"

    def _found(
        self,
        state: State,
        members: Mapping[Key, Mapping[Any, Match | str]],
        spoken_for: Callable[[bytes], bool],
    ) -> Found:
        """Whole matches of these alerts, with what the same two did along with them."""
        plain: dict[str, set[Any]] = defaultdict(set)
        for ids in members.values():
            for id_, match in ids.items():
                if isinstance(match, str):
                    plain[match].add(id_)
        wholes = {
            (kind, id_): self._whole(state, kind, id_)
            for kind, some in plain.items()
            for id_ in state.in_turn(f"{kind}s", some)
        }
        found: Found = {}
        for key, ids in members.items():
            matches = [
                msgspec.structs.replace(wholes[match, id_]) if isinstance(match, str) else match
                for id_, match in ids.items()
                if match != "endpoint" or not spoken_for(id_)
            ]
            if matches:
                found[key] = matches + self._sides(state, key, matches)
        return found

    def _sides(self, state: State, key: Key, matches: list[Match]) -> list[Match]:
        """What the same two did along with what a rule looks for."""
        trigger = self._rules[key[0]].trigger
        times = sorted(match.first_ns for match in matches)
        known = {match.id for match in matches}
        sides = []
        for id_, ts_ns in self._along.get(key, {}).items():
            if id_ not in known and _near(ts_ns, times, trigger.within_s * SECOND_NS):
                side = self._whole(state, trigger.fact, id_)
                side.side = True
                sides.append(side)
        return sides

    def _derive(self, events: Iterable[Event]) -> None:
        """Takes what analysis itself found as the facts it is."""
        now: dict[bytes, Key] = {}
        for event in events:
            fields = self.fields.event(event)
            for compiled in self._by_fact["event"]:
                if compiled.rule.trigger.kind == "occurs" and compiled.fits(fields):
                    match = Match(
                        "event", event.id, fields, event.ts_ns, event.spans, event.ts_ns, 1
                    )
                    now[event.id] = self._key(compiled, fields)
                    self.matches.put(now[event.id], event.id, match, fields)
        for id_ in self._derived.keys() - now.keys():
            self.matches.drop(self._derived[id_], id_)
        self._derived = now

    def _would(self, state: State) -> dict[Key, dict[Any, Match | str]]:
        """What the `new` rules would say if nothing were known."""
        found: dict[Key, dict[Any, Match | str]] = defaultdict(dict)
        for kind in self._policy:
            for id_ in state.in_turn(f"{kind}s", list(getattr(state, f"{kind}s"))):
                if kind == "endpoint" and not state.endpoints[id_].spoke:
                    continue
                made = self.fields.of(state, kind, id_)
                if made is not None:
                    for compiled in self._candidates(self._policy, kind, made[0]):
                        if compiled.fits(made[0]):
                            found[self._key(compiled, made[0])][id_] = kind
        return found

    def _candidates(
        self, rules: dict[str, list[Compiled]], kind: str, fields: dict[str, Any]
    ) -> list[Compiled]:
        """The rules on this kind of fact that its most telling field does not rule out."""
        field = TELLING.get(kind)
        if field is None:
            return rules[kind]
        key = kind, rules is self._policy, fields[field]
        picked = self._picked.get(key)
        if picked is None:
            told = {field: fields[field]}
            picked = self._picked[key] = [
                compiled
                for compiled in rules[kind]
                if all(
                    test(told)
                    for condition, test in zip(
                        compiled.rule.trigger.where, compiled.where, strict=True
                    )
                    if condition[0] == field and condition[1] != "same as"
                )
            ]
        return picked

    def _whole(self, state: State, kind: str, id_: Any) -> Match:
        """A plain member with what an alert shows of it."""
        made = self.fields.of(state, kind, id_)
        fact = getattr(state, f"{kind}s")[id_]
        spans = fact.evidence.spans if kind in ("change", "claim") else fact.spans
        fields, ts_ns = made if made is not None else ({}, fact.ts_ns)
        return Match(kind, id_, fields, ts_ns, spans)

    def _look(self, state: State, kind: str, id_: Any) -> None:
        made = self.fields.of(state, kind, id_)
        if made is None:
            if kind != "connection":
                self._waiting.add((kind, id_))  # until the connection it names is told
            return
        fields, ts_ns = made
        for compiled in self._candidates(self._by_fact, kind, fields):
            if compiled.fits(fields) and self._unknown(state, compiled, kind, id_, fields, ts_ns):
                self.matches.put(self._key(compiled, fields), id_, kind, fields)
        for compiled in self._with_sides:
            if compiled.rule.trigger.fact == kind and compiled.goes_along(fields):
                key = self._key(compiled, fields)
                self._along[key][id_] = ts_ns
                if key in self.matches.by_key:
                    self.matches.changed.add(key)
        for compiled in self._sequences:
            if compiled.rule.trigger.fact == kind:
                self._sequence(state, compiled, id_, fields, ts_ns)

    def _unknown(
        self,
        state: State,
        compiled: Compiled,
        kind: str,
        id_: Any,
        fields: dict[str, Any],
        ts_ns: int,
    ) -> bool:
        """Whether the rule's trigger lets this fact through; always for `occurs`."""
        trigger = compiled.rule.trigger
        if trigger.kind == "occurs":
            signed = self.baseline is not None and compiled.rule.guarded
            return not (signed and self._is_signed(kind, fields))
        if kind == "endpoint" and not state.endpoints[id_].spoke:
            return False
        if self.baseline is None:
            return False
        if self.learned_until_ns is not None and ts_ns <= self.learned_until_ns:
            return compiled.rule.guarded and not self._is_signed(kind, fields)
        return not self.baseline.holds(kind, tuple(trigger.key), fields)

    def _is_signed(self, kind: str, fields: dict[str, Any]) -> bool:
        if self.baseline is None or kind not in self.baseline.signed:
            return False
        return row_of(kind, fields) in self.baseline.signed[kind]

    def _key(self, compiled: Compiled, fields: dict[str, Any]) -> Key:
        rule = compiled.rule
        by = rule.group_by or parties_of(rule.trigger.fact)
        return rule.id, tuple(fields.get(name) for name in ("space", *by))

    def _correct(self, state: State, new: Novelty) -> None:
        """Looks again at all that happened on connections whose roles changed."""
        on_connection = [(name[:-1], id_) for name, id_ in state.facts_on(new.corrections)]
        for kind, id_ in (*(("connection", old) for old in new.corrections), *on_connection):
            self.matches.drop_all(id_)
            for known in self._along.values():
                known.pop(id_, None)
            for steps in self._steps.values():
                for starts, ends in steps.values():
                    starts.pop(id_, None)
                    ends.pop(id_, None)
            if kind != "connection":
                getattr(new, f"{kind}s").add(id_)

    def _claim(self, state: State, id_: bytes) -> None:
        claim = state.claims[id_]
        owner = state.endpoints.get(claim.endpoint)
        if owner is None:
            self._early_claims.add(id_)
            return
        self._early_claims.discard(id_)
        self._look_claim(state, id_)
        if not self._changed:
            return
        line = (claim.endpoint, claim.attribute, claim.protocol, claim.message)
        told = self._retold[line]
        told.add(id_)
        if len(told) < 2 and self.baseline is None:
            return
        order = sorted((state.claims[other] for other in told), key=lambda c: (c.ts_ns, c.id))
        for compiled in self._changed:
            previous = None
            for fact in order:
                fields = self.fields.claim(fact, owner)
                if not compiled.fits(fields):
                    continue
                key = self._key(compiled, fields)
                before = previous.value if previous is not None else self._learned(fields)
                if before is None or before == fact.value:
                    self.matches.drop(key, fact.id)
                else:
                    match = Match(
                        "claim",
                        fact.id,
                        fields | {"old": before, "new": fact.value},
                        fact.ts_ns,
                        fact.evidence.spans,
                        fact.ts_ns,
                        1,
                    )
                    self.matches.put(key, fact.id, match, fields)
                previous = fact

    def _look_claim(self, state: State, id_: bytes) -> None:
        made = self.fields.of(state, "claim", id_)
        if made is None:
            return
        fields, ts_ns = made
        for compiled in self._candidates(self._by_fact, "claim", fields):
            if compiled.fits(fields) and self._unknown(
                state, compiled, "claim", id_, fields, ts_ns
            ):
                self.matches.put(self._key(compiled, fields), id_, "claim", fields)

    def _learned(self, fields: dict[str, Any]) -> str | None:
        """The value the baseline holds where this claim tells another one."""
        if self.baseline is None:
            return None
        key = ("space", "address", "child", "protocol", "message", "attribute")
        if self.baseline.holds("claim", (*key, "value"), fields):
            return str(fields["value"])
        start = tuple(str(fields[name]) for name in key)
        known = [row[6] for row in self.baseline.learned["claim"] if row[:6] == start]
        return min(known, default=None)

    def _sequence(
        self, state: State, compiled: Compiled, id_: Any, fields: dict[str, Any], ts_ns: int
    ) -> None:
        """Pairs first and second parts of the same key; both are kept, so order does not matter."""
        trigger = compiled.rule.trigger
        if not compiled.starts(fields) and not compiled.fits(fields):
            return
        if compiled.rule.guarded and self._is_signed(trigger.fact, fields):
            return
        steps = self._steps.setdefault(compiled.rule.id, {})
        by = trigger.key or parties_of(trigger.fact)
        key = tuple(fields.get(name) for name in ("space", *by))
        starts, ends = steps.setdefault(key, ({}, {}))
        fact = getattr(state, f"{trigger.fact}s")[id_]
        spans = fact.evidence.spans if trigger.fact == "change" else fact.spans
        step = Match(trigger.fact, id_, fields, ts_ns, spans)
        if compiled.starts(fields):
            starts[id_] = step
        if compiled.fits(fields):
            ends[id_] = step
        within = trigger.within_s * SECOND_NS
        for end in ends.values():
            before = [s for s in starts.values() if 0 <= end.first_ns - s.first_ns <= within]
            if before:
                for match in (*before, end):
                    self.matches.put(self._key(compiled, end.fields), match.id, match, match.fields)

    def _occurrences(self, state: State, id_: bytes) -> None:
        """Counts of one event (and of those of the same key) in sliding windows."""
        event = state.events.get(id_)
        if event is None:
            return
        fields = self.fields.event(event)
        for compiled in self._windows["event"]:
            if not compiled.fits(fields):
                continue
            key = self._key(compiled, fields)
            alike = self._alike[key]
            alike.add(id_)
            counts: dict[int, int] = defaultdict(int)
            for other in alike:
                for start, count in state.buckets.get(other, {}).items():
                    counts[start] += count
            fired = _sliding(counts, compiled.rule.trigger.within_s, compiled.rule.trigger.count)
            if fired is None:
                continue
            first, last, total = fired
            # The earliest speaks for all, whichever was looked at last.
            spans, earliest = min((state.events[other].spans, other) for other in alike)
            shown = self.fields.event(state.events[earliest])
            members = frozenset(
                other
                for other in alike
                if any(first <= start <= last for start in state.buckets.get(other, {}))
            )
            match = Match("event", key, shown, first, spans, last, total, members)
            self.matches.put(key, key, match, fields)

    def scanning(self) -> set[bytes]:
        """Endpoints whose attempts alert."""
        return {scan.source for scan in self._scans.values()}

    def _look_at_attempts(self, state: State, new: Novelty) -> None:
        """Looks at what shares a window with new attempts, and at all of new sources."""
        if not self._windows["attempts"]:
            return
        again: dict[str, set[bytes]] = defaultdict(set)
        for source, transport, _ in new.attempts:
            if source in state.endpoints and source not in new.endpoints:
                again[transport].add(source)
        starts = [start for _, _, start in new.attempts]
        first_ns = min(starts, default=0) - self._widest_ns
        last_ns = max(starts, default=0) + self._widest_ns
        rows = chain(
            state.attempts_of(new.endpoints),
            *(state.attempts_of(some, name, first_ns, last_ns) for name, some in again.items()),
        )
        for (source, _), some in groupby(rows, lambda row: (row.source, row.transport)):
            for piece in _pieces(some, self._widest_ns):
                self._attempts(state.endpoints[source], piece)

    def _attempts(self, owner: Endpoint, rows: list[Attempts]) -> None:
        """Attempts of one source and transport in sliding windows."""
        fields = self.fields.attempts(rows[0], owner)
        for compiled in self._windows["attempts"]:
            if not compiled.fits(fields):
                continue
            trigger = compiled.rule.trigger
            key = self._key(compiled, fields)
            for subnet, items in _items(rows, trigger.measure, trigger.subnet_prefix).items():
                fired = _distinct(items, trigger.within_s, trigger.count)
                if fired is None:
                    continue
                id_ = rows[0].transport, subnet
                scan = self._scans.setdefault((key, id_), _Scan(owner.id))
                scan.add(rows, *fired)
                shown = fields | {"subnet": subnet, "targets": scan.targets()}
                match = Match(
                    "attempts",
                    id_,
                    shown,
                    scan.first_ns,
                    scan.spans,
                    scan.last_ns + BUCKET_NS,
                    len(scan.items),
                )
                self.matches.put(key, id_, match, fields)


class _Scan(msgspec.Struct):
    """All windows so far in which attempts reached what a rule asks for, and what was in them."""

    source: bytes
    first_ns: int = LAST_NS
    last_ns: int = FIRST_NS
    spans: Spans = b""
    items: set[Any] = msgspec.field(default_factory=set)

    def add(self, rows: list[Attempts], first_ns: int, last_ns: int, items: set[Any]) -> None:
        """Takes in more such windows; `rows` are the attempts in them."""
        if first_ns <= self.first_ns:
            self.first_ns = first_ns
            self.spans = next(row.spans for row in rows if row.start_ns >= first_ns)
        self.last_ns = max(self.last_ns, last_ns)
        more = items - self.items
        if len(self.items) + len(more) > ITEMS:
            more = set(sorted(more)[: ITEMS - len(self.items)])
        self.items |= more

    def targets(self) -> set[str]:
        """The addresses in these windows."""
        return {str(item[0] if isinstance(item, tuple) else item) for item in self.items}


def _pieces(rows: Iterable[Attempts], width_ns: int) -> Iterator[list[Attempts]]:
    """Attempts in time order in pieces of bounded length that have each window in one of them."""
    piece: list[Attempts] = []
    for some in batched(rows, BUCKETS_AT_ONCE):
        piece = [row for row in piece if row.start_ns > some[0].start_ns - width_ns] + some
        yield piece


def _near(ts_ns: int, times: list[int], within_ns: int) -> bool:
    """Whether one of these sorted times is that near."""
    at = bisect_left(times, ts_ns)
    return any(abs(time - ts_ns) <= within_ns for time in times[max(at - 1, 0) : at + 1])


def _sliding(counts: dict[int, int], within_s: int, wanted: int) -> tuple[int, int, int] | None:
    """First and last bucket of all windows that reach `wanted`, and the counts inside them."""
    starts = sorted(counts)
    width = within_s * SECOND_NS
    inside: set[int] = set()
    low = 0
    total = 0
    for high, start in enumerate(starts):
        total += counts[start]
        while starts[low] <= start - width:
            total -= counts[starts[low]]
            low += 1
        if total >= wanted:
            inside.update(starts[low : high + 1])
    if not inside:
        return None
    return min(inside), max(inside), sum(counts[start] for start in inside)


def _distinct(
    items: dict[int, set[Any]], within_s: int, wanted: int
) -> tuple[int, int, set[Any]] | None:
    """The same for distinct items a window; also the items themselves."""
    starts = sorted(items)
    width = within_s * SECOND_NS
    inside: set[int] = set()
    held: dict[Any, int] = defaultdict(int)
    low = 0
    for high, start in enumerate(starts):
        for item in items[start]:
            held[item] += 1
        while starts[low] <= start - width:
            for item in items[starts[low]]:
                held[item] -= 1
                if not held[item]:
                    del held[item]
            low += 1
        if len(held) >= wanted:
            inside.update(starts[low : high + 1])
    if not inside:
        return None
    return min(inside), max(inside), set().union(*(items[start] for start in inside))


def _items(rows: list[Any], measure: str, prefix: int) -> dict[str, dict[int, set[Any]]]:
    """What each bucket holds of the measured thing, by subnet (or by host for ports)."""
    found: dict[str, dict[int, set[Any]]] = defaultdict(lambda: defaultdict(set))
    for row in rows:
        if measure == "addresses":
            for address in row.addresses:
                found[_subnet(address, prefix)][row.start_ns].add(address)
        elif measure == "ports":
            by_host: dict[str, set[int]] = defaultdict(set)
            for address, port in row.samples:
                by_host[address].add(port)
            for address, ports in by_host.items():
                found[address][row.start_ns] |= {(address, port) for port in ports}
            if row.samples and row.ports > max(map(len, by_host.values())):
                # the samples are only some of the targets; the count says how many there were
                most = max(by_host, key=lambda address: (len(by_host[address]), address))
                missing = row.ports - len(by_host[most])
                found[most][row.start_ns] |= {(most, -1 - at) for at in range(missing)}
        elif measure == "industrial_targets":
            found[""][row.start_ns] |= {
                address for address, port in row.samples if port in INDUSTRIAL_PORTS
            }
        else:
            tries = range(min(row.attempts, 65536))
            found[""][row.start_ns] |= {(row.transport, row.start_ns, n) for n in tries}
    return found


def _subnet(address: str, prefix: int) -> str:
    if not prefix:
        return ""
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return ""
    return str(ipaddress.ip_network((ip, prefix if ip.version == 4 else 48), strict=False))
