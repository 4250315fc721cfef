"""Watches whether the mirror still shows what it showed when the sensor was commissioned.

It is judged each time one of the windows of five minutes ends, by the last two: both must be worse,
or both as good again. Windows are of the time of the frames, so that the same journal is judged
alike whenever it is read. What is found is written down as a decision of the sensor itself and
applied like a person's.
"""

from __future__ import annotations

from collections.abc import MutableMapping

import msgspec

from otic.coverage.grades import UNKNOWN
from otic.coverage.ledger import Ledger
from otic.coverage.mirror import finished_windows
from otic.coverage.report import MARK as REPORT
from otic.coverage.report import Commissioning
from otic.coverage.words import told, where
from otic.facts import Event, own_event
from otic.journal.fold import State
from otic.journal.lanes import WINDOW_NS
from otic.sensor.decisions import Decision, own_decision

MIRROR_WORSE = "mirror-worse"
MIRROR_MENDED = "mirror-mended"
"""Kinds of decisions: the mirror shows less than when it was commissioned, and as much again."""

MARK = "mirror-falls"
MOST = 200
"""Falls remembered; the oldest are forgotten."""


class Fall(msgspec.Struct, frozen=True):
    """One time in which the mirror had a worse grade; `until_ns` is none while it has.

    `findings` are the titles of what hides frames.
    """

    since_ns: int
    before: str
    grade: str
    findings: str
    until_ns: int | None = None


_decode = msgspec.json.Decoder(list[Fall]).decode
_report = msgspec.json.Decoder(Commissioning).decode


class MirrorWatch:
    """What is known of falls; it survives a restart in `marks`, as text."""

    def __init__(self, marks: MutableMapping[str, str]) -> None:
        self._marks = marks
        self._known = _decode(marks[MARK]) if MARK in marks else []

    def news(self, state: State, before_ns: int) -> list[Decision]:
        """What changed, if a window ended since `before_ns`, as decisions."""
        now_ns = state.clock_ns
        if now_ns // WINDOW_NS == before_ns // WINDOW_NS or REPORT not in self._marks:
            return []
        first = _report(self._marks[REPORT]).grade
        windows = sorted(finished_windows(state), key=lambda one: one.seen)
        best, worst = windows[0], windows[-1]
        if UNKNOWN in (first, best.seen):
            return []
        fallen = max((one.grade for one in self._known if one.until_ns is None), default="")
        if fallen and worst.seen <= first:
            return [own_decision(MIRROR_MENDED, now_ns)]
        if best.seen <= first or worst.seen <= fallen:
            return []
        values = {"before": first, "grade": worst.seen, "findings": _titles(worst)}
        return [own_decision(MIRROR_WORSE, now_ns, **values)]

    def apply(self, decision: Decision) -> None:
        """Takes such a decision; a second time it changes nothing."""
        values = decision.values
        if decision.kind == MIRROR_MENDED:
            self._known = [
                msgspec.structs.replace(one, until_ns=decision.ts_ns)
                if one.until_ns is None and one.since_ns < decision.ts_ns
                else one
                for one in self._known
            ]
        elif all(one.since_ns != decision.ts_ns for one in self._known):
            self._known.append(
                Fall(decision.ts_ns, values["before"], values["grade"], values["findings"])
            )
        self._known = self._known[-MOST:]
        self._marks[MARK] = msgspec.json.encode(self._known).decode()

    def events(self) -> list[Event]:
        """One event a fall; it stays the same when the mirror is mended."""
        return [
            own_event(
                MIRROR_WORSE,
                (one.since_ns,),
                {"before": one.before, "grade": one.grade, "findings": one.findings},
                one.since_ns,
            )
            for one in self._known
        ]


def _titles(found: Ledger) -> str:
    """What hides frames, and where, the worst first."""
    hiding = [finding for finding in found.findings if finding.unseen]
    hiding.sort(key=lambda finding: (-finding.unseen, finding.kind, finding.interface))
    return "; ".join(
        f"{one.title} ({where(one.interface, one.vlans)})" for one in map(told, hiding)
    )
