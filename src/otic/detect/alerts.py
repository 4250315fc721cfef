"""Alerts: what matches of a rule come to for some parties."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

import msgspec

from otic.detect.matches import Key, Match, parties_of
from otic.detect.once import Told
from otic.detect.rules import Rule
from otic.facts import Span, derived_id, unpack_spans
from otic.journal.fold import State
from otic.journal.keep import COUNTS_OF

MOST_VALUES = 16
"""Distinct values shown of one field in an alert."""

MOST_EVIDENCE = 16
"""Spans cited by one alert."""

SHOWN_PARTIES = 64
"""Sources or destinations listed in one alert."""

Found = dict[Key, list[Match]]
"""Matches by alert: rule and parties."""


class Alert(msgspec.Struct, frozen=True, kw_only=True):
    """A rule that fired for some parties."""

    id: bytes
    rule: str
    title: str
    engine: str
    severity: str
    category: str
    attack: list[str]
    space: str
    sources: list[str]
    destinations: list[str]
    first_ns: int
    last_ns: int
    count: int
    key: str
    values: dict[str, str]
    spans: list[Span]
    policy: bool


def without_yielding(rules: Mapping[str, Rule], found: Found) -> Found:
    """The same without what a rule's `yields_to` leaves to other alerts."""
    asked = {other for rule, _ in found for other in rules[rule].yields_to}
    matched: dict[str, list[Match]] = defaultdict(list)
    for (rule, _), matches in found.items():
        if rule in asked:
            matched[rule] += matches
    told = {rule: Told(matches) for rule, matches in matched.items()}
    left: Found = {}
    for key, matches in found.items():
        others = [told[rule] for rule in rules[key[0]].yields_to if rule in told]
        kept = matches
        for other in others:
            kept = [match for match in kept if not other.covers(match)]
        if any(not match.side for match in kept):
            left[key] = kept
    return left


def alert_of(
    happened: Happened, rule: Rule, key: Key, matches: list[Match], *, policy: bool
) -> Alert:
    """The alert that these matches of one rule for the same parties make."""
    matches.sort(key=lambda match: (match.side, match.first_ns, match.spans, str(match.id)))
    first, last, count = matches[0].first_ns, matches[0].first_ns, 0
    for match in matches:
        if not match.side:
            more, at = happened.of(match)
            count += more
            last = max(last, at)
    names = ("space", *(rule.group_by or parties_of(rule.trigger.fact)))
    grouped = dict(zip(names, key[1], strict=True))
    sources: set[str] = set()
    destinations: set[str] = set()
    shown: dict[str, set[str]] = defaultdict(set)
    for match in matches:
        fields = match.fields
        sources.add(fields.get("client") or fields.get("source") or fields.get("address") or "")
        if "server" in fields:
            destinations.add(fields["server"])
        destinations.update(fields.get("targets", ()))
        for name in (*parties_of(rule.trigger.fact), *rule.show):
            value = fields.get(name)
            if value not in (None, ""):
                shown[name].add(str(value))
    values = {name: _join(found) for name, found in shown.items()}
    if rule.trigger.kind == "threshold":
        values |= {
            "count": str(count),
            "threshold": str(rule.trigger.count),
            "within_s": str(rule.trigger.within_s),
            "targets": str(len(destinations)),
        }
    spans: list[Span] = []
    for match in matches:
        spans += [span for span in unpack_spans(match.spans) if span not in spans]
        if len(spans) >= MOST_EVIDENCE:
            break
    plain = [rule.id, *(f"{name}={value}" for name, value in grouped.items())]
    return Alert(
        id=derived_id("alert", *plain),
        rule=rule.id,
        title=rule.title,
        engine=rule.engine,
        severity=rule.severity,
        category=rule.category,
        attack=sorted(rule.attack),
        space=str(grouped.get("space", "default")),
        sources=sorted(filter(None, sources))[:SHOWN_PARTIES],
        destinations=sorted(filter(None, destinations))[:SHOWN_PARTIES],
        first_ns=first,
        last_ns=last,
        count=count,
        key=rule.message or rule.id,
        values=values,
        spans=spans[:MOST_EVIDENCE],
        policy=policy,
    )


def recounted(happened: Happened, alert: Alert, matches: Iterable[Match]) -> Alert:
    """The same alert with the counts and the last time of its facts as they are now."""
    count, last = 0, alert.last_ns
    for match in matches:
        more, at = happened.of(match)
        count += more
        last = max(last, at)
    return msgspec.structs.replace(alert, count=count, last_ns=last)


class Happened:
    """How often the facts of some matches happened, and when last."""

    def __init__(self, state: State, matches: Iterable[Match]) -> None:
        ids: dict[str, set[bytes]] = defaultdict(set)
        for match in matches:
            if match.count is None:
                ids[match.kind].add(match.id)
        self._counts: dict[str, dict[bytes, Sequence[int]]] = {}
        for kind in ids.keys() & {name[:-1] for name in COUNTS_OF}:
            self._counts[kind] = state.counts_of(f"{kind}s").several(ids[kind])
        self._changes = {
            id_: state.changes[id_] for id_ in state.in_turn("changes", ids.get("change", ()))
        }

    def of(self, match: Match) -> tuple[int, int]:
        """Times and last time of one match."""
        if match.count is not None:
            return match.count, match.last_ns or match.first_ns
        if match.kind == "change":
            change = self._changes[match.id]
            return change.count, change.ts_ns
        counts = self._counts.get(match.kind, {}).get(match.id)
        if counts is None:
            return (1 if match.kind in ONCE_AT_LEAST else 0), match.first_ns
        if match.kind in ("operation", "connection"):
            return counts[0] + counts[1], counts[-1]
        return counts[0], counts[-1]


ONCE_AT_LEAST = ("endpoint", "claim", "event", "violation")
"""Facts that happened when they were told, counted or not."""


def _join(values: set[str]) -> str:
    """Values for a text: sorted, the first few, then how many more."""
    order = sorted(values, key=lambda value: (not value.isdigit(), value.zfill(12), value))
    more = len(order) - MOST_VALUES
    return ", ".join(order[:MOST_VALUES]) + (f" (+{more})" if more > 0 else "")
