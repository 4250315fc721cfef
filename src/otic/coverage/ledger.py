"""The ledger of a mirror: what it shows of each interface and VLAN, and what is wrong with it.

Every number is a count of frames; a finding names the share of frames it concerns. What a switch
or tap lost is told by gaps in counters that senders raise; what this machine lost, by its own
counters. The first holds the second, which is taken off.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

from otic.coverage.grades import FEWEST, UNKNOWN, hidden, letter, rounded, worst
from otic.facts import COUNTERS
from otic.journal.lanes import LaneCounts

LaneName = tuple[str, tuple[int, ...]]
"""Interface, VLAN ids outermost first."""

ENOUGH = 100
"""Frames from which a share is believed."""

SOME = 5
"""Frames that have to be concerned: fewer may be chance."""

LEAST = {
    "one-way": 0.05,
    "loss": 0.005,
    "host-drops": 0.0001,
    "copies": 0.01,
    "routed-copies": 0.01,
    "truncated": 0.001,
    "tags-mixed": 0.01,
    "tags-stripped": 0.05,
    "joined": 0.001,
}
"""Smallest share that is worth telling, by finding."""

ONLY_FLOODED = 0.02
"""Share of frames to one receiver below which a port shows only what a switch floods."""

MISLEADING = ("copies", "tags-mixed", "tags-stripped", "joined", "clock-steps", "vlan-missing")
"""Findings that hide no frame but mislead: with one of them a grade is B at best."""


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that is wrong with the mirror.

    `rate` is the share of the frames judged that it concerns, `of` their number. `unseen` is the
    share of the traffic that it hides. `vlans` is empty for untagged frames and for all of them.
    """

    kind: str
    interface: str
    vlans: tuple[int, ...] = ()
    rate: float
    of: int
    unseen: float = 0.0
    values: dict[str, str] = {}


class LaneOut(msgspec.Struct, frozen=True, kw_only=True):
    """One VLAN on one interface, with its grade and the share of each cause."""

    interface: str
    vlans: tuple[int, ...]
    frames: int
    bytes: int
    grade: str
    shares: dict[str, float]


class Ledger(msgspec.Struct, frozen=True, kw_only=True):
    """What a mirror shows: the worst grade of its interfaces, findings, lanes, loss by counter.

    `seen` is the grade without what only misleads.
    """

    grade: str
    seen: str
    findings: list[Finding]
    lanes: list[LaneOut]
    counters: dict[str, tuple[int, int]]
    """By protocol: numbered messages seen, and missing between them."""


def ledger(
    lanes: Mapping[LaneName, LaneCounts],
    *,
    clock_steps: int = 0,
    expected_vlans: Iterable[tuple[int, str]] = (),
) -> Ledger:
    """Judges these lanes.

    Args:
        lanes: Counts by interface and VLANs.
        clock_steps: How often the clock was set in that time.
        expected_vlans: VLANs that exist, each with what says so.
    """
    interfaces = sorted({interface for interface, _ in lanes})
    findings: list[Finding] = []
    grades = []
    for name in interfaces:
        own = {vlans: counts for (interface, vlans), counts in lanes.items() if interface == name}
        whole = LaneCounts()
        for counts in own.values():
            whole.add(counts)
        found = _interface(name, whole, own)
        findings += found
        grades.append(_grade(whole.frames, found))
    if clock_steps:
        findings.append(Finding(kind="clock-steps", interface="", rate=1.0, of=clock_steps))
    findings += _missing_vlans(lanes, expected_vlans)
    rows = [_lane(name, counts) for name, counts in sorted(lanes.items()) if counts.frames]
    seen = worst(grades)
    return Ledger(
        grade=_overall(seen, findings),
        seen=seen,
        findings=findings,
        lanes=rows,
        counters=_counters(lanes.values()),
    )


def _interface(
    name: str, whole: LaneCounts, lanes: Mapping[tuple[int, ...], LaneCounts]
) -> list[Finding]:
    found: list[Finding] = []
    if whole.seconds and not whole.frames:
        return [Finding(kind="silent", interface=name, rate=1.0, of=whole.seconds, unseen=1.0)]
    flooded = _only_flooded(name, (), whole)
    if flooded is None and len(lanes) > 1:
        for vlans, counts in sorted(lanes.items()):
            one = _only_flooded(name, vlans, counts)
            if one is not None:
                share = counts.frames / whole.frames
                found.append(msgspec.structs.replace(one, kind="vlan-only-flooded", unseen=share))
    elif flooded is not None:
        found.append(flooded)
    host = _share(whole.dropped, whole.frames + whole.dropped)
    found += _judged(name, "host-drops", whole.dropped, whole.frames + whole.dropped, hides=1.0)
    missing, numbered = sum(whole.missing), sum(whole.numbered)
    lost = _share(missing, numbered + missing)
    mirror = max(0.0, (lost - host) / (1 - host)) if host < 1 else 0.0
    if missing >= SOME and numbered >= ENOUGH and mirror >= LEAST["loss"]:
        found.append(
            Finding(
                kind="loss",
                interface=name,
                rate=mirror,
                of=numbered + missing,
                unseen=mirror,
                values={"by": _by_counter(whole), "host": f"{host:.2%}"},
            )
        )
    found += _judged(name, "one-way", whole.tcp_one_way, whole.tcp, hides=0.5)
    found += _judged(name, "truncated", whole.truncated, whole.frames, hides=1.0)
    originals = whole.checkable - whole.mirror_copies
    found += _judged(name, "copies", whole.mirror_copies, originals)
    found += _judged(name, "routed-copies", whole.routed_copies, whole.frames)
    if whole.joined > whole.jumbo:
        found += _judged(name, "joined", whole.joined, whole.frames)
    mixed = whole.mixed_untagged + whole.mixed_tagged
    found += _judged(name, "tags-mixed", whole.mixed_untagged, mixed)
    filled = whole.filled + whole.filled_short
    found += _judged(name, "tags-stripped", whole.filled_short, filled)
    return found


def _judged(
    interface: str, kind: str, concerned: int, of: int, *, hides: float = 0.0
) -> list[Finding]:
    """The finding, where enough frames say so."""
    rate = _share(concerned, of)
    if of < FEWEST or concerned < SOME or rate < LEAST[kind]:
        return []
    return [Finding(kind=kind, interface=interface, rate=rate, of=of, unseen=hides * rate)]


def _only_flooded(interface: str, vlans: tuple[int, ...], counts: LaneCounts) -> Finding | None:
    """A port that shows only what a switch sends everywhere is no mirror port.

    Where process data is multicast by nature, there may be nothing else to see.
    """
    judged = counts.unicast + counts.flooded
    process = counts.frames - judged
    rate = _share(counts.flooded, judged)
    if counts.flooded < ENOUGH or process > counts.flooded or 1 - rate >= ONLY_FLOODED:
        return None
    return Finding(
        kind="only-flooded", interface=interface, vlans=vlans, rate=rate, of=judged, unseen=1.0
    )


def _missing_vlans(
    lanes: Mapping[LaneName, LaneCounts], expected: Iterable[tuple[int, str]]
) -> list[Finding]:
    seen = {vlan for _, vlans in lanes for vlan in vlans}
    said: dict[int, set[str]] = {}
    for vlan, source in expected:
        if vlan not in seen:
            said.setdefault(vlan, set()).add(source)
    if len(said) < 2:
        # The one VLAN of an access port shows without a tag.
        return []
    return [
        Finding(
            kind="vlan-missing",
            interface="",
            vlans=(vlan,),
            rate=1.0,
            of=0,
            values={"said_by": ", ".join(sorted(sources))},
        )
        for vlan, sources in sorted(said.items())
    ]


def _lane(name: LaneName, counts: LaneCounts) -> LaneOut:
    missing, numbered = sum(counts.missing), sum(counts.numbered)
    shares = {
        "missing": _share(missing, numbered + missing),
        "one-way": _share(counts.tcp_one_way, counts.tcp),
        "truncated": _share(counts.truncated, counts.frames),
        "copies": _share(counts.mirror_copies, counts.checkable - counts.mirror_copies),
        "flooded": _share(counts.flooded, counts.frames),
    }
    flooded = _only_flooded(*name, counts) is not None
    grade = UNKNOWN if counts.frames < FEWEST else letter(1.0 if flooded else hidden(shares))
    return LaneOut(
        interface=name[0],
        vlans=name[1],
        frames=counts.frames,
        bytes=counts.bytes,
        grade=grade,
        shares=rounded(shares),
    )


def _grade(frames: int, findings: list[Finding]) -> str:
    """The grade of one interface."""
    if frames < FEWEST and not findings:
        return UNKNOWN
    return letter(min(1.0, sum(finding.unseen for finding in findings)))


def _overall(grade: str, findings: list[Finding]) -> str:
    misled = any(finding.kind in MISLEADING for finding in findings)
    return worst((grade, "B")) if misled and grade != UNKNOWN else grade


def _counters(lanes: Iterable[LaneCounts]) -> dict[str, tuple[int, int]]:
    found = {}
    counted = list(lanes)
    for at, name in enumerate(COUNTERS):
        seen = sum(counts.numbered[at] for counts in counted)
        missing = sum(counts.missing[at] for counts in counted)
        if seen or missing > 0:
            found[name] = (seen, max(0, missing))
    return found


def _by_counter(counts: LaneCounts) -> str:
    """Loss by each counter that tells some."""
    parts = [
        f"{name} {_share(missing, seen + missing):.2%}"
        for name, seen, missing in zip(COUNTERS, counts.numbered, counts.missing, strict=True)
        if missing > 0
    ]
    return ", ".join(parts)


def _share(part: int, whole: int) -> float:
    return max(0, part) / whole if whole > 0 else 0.0
