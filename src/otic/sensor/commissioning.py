"""The first quarter of an hour of a sensor: is the mirror port right?"""

from __future__ import annotations

from collections.abc import MutableMapping

import msgspec

from otic.coverage.mirror import ledger_of
from otic.coverage.report import MARK, Commissioning
from otic.coverage.words import told
from otic.journal.fold import State
from otic.journal.lanes import WINDOW_NS, WINDOWS
from otic.times import iso

WATCHED_S = WINDOWS * WINDOW_NS // 1_000_000_000
"""Seconds with a link that an interface is watched before the report is made."""


def commission(state: State, marks: MutableMapping[str, str]) -> None:
    """Writes the report, once, when an interface was watched long enough."""
    if MARK in marks:
        return
    watched = max((counts.seconds for counts in state.lanes.total().values()), default=0)
    if watched < WATCHED_S:
        return
    found = ledger_of(state, recent=True)
    report = Commissioning(
        time=iso(state.clock_ns),
        grade=found.grade,
        findings=[told(finding) for finding in found.findings],
    )
    marks[MARK] = msgspec.json.encode(report).decode()
