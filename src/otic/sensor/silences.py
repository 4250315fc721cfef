"""Times in which a stage of the sensor did not show the canary, and the events made of them.

The supervisor says in `status.json` which stage is silent. Analysis writes that down as a decision
of the sensor itself, so that the journal alone gives the same alerts again.
"""

from __future__ import annotations

import time
from collections.abc import MutableMapping

import msgspec

from otic.facts import Event, own_event
from otic.sensor.decisions import Decision, own_decision
from otic.status import Status

STAGE_SILENT = "stage-silent"
STAGE_HEARD = "stage-heard"
"""Kinds of decisions: a stage fell silent, and is heard again."""

MARK = "silences"
MOST = 200
"""Silences remembered; the oldest are forgotten."""


class Silence(msgspec.Struct, frozen=True):
    """One time in which a stage was silent; `until_ns` is none while it is."""

    stage: str
    process: str
    since_ns: int
    until_ns: int | None = None


_decode = msgspec.json.Decoder(list[Silence]).decode


class Silences:
    """What is known of silent stages; it survives a restart in `marks`, as text."""

    def __init__(self, marks: MutableMapping[str, str]) -> None:
        self._marks = marks
        self._known = _decode(marks[MARK]) if MARK in marks else []

    def news(self, status: Status | None) -> list[Decision]:
        """What the supervisor says that is not known yet, as decisions."""
        now_ns = time.time_ns()
        if status is None or not status.is_fresh(now_ns):
            return []
        silent = {stage.name: stage for stage in status.stages if stage.silent_since is not None}
        open_ = {one.stage for one in self._known if one.until_ns is None}
        found = [
            own_decision(STAGE_HEARD, now_ns, stage=name, until_ns=str(now_ns))
            for name in open_ - silent.keys()
        ]
        for name in silent.keys() - open_:
            stage = silent[name]
            values = {"process": stage.process, "since_ns": str(stage.silent_since)}
            found.append(own_decision(STAGE_SILENT, now_ns, stage=name, **values))
        return sorted(found, key=lambda one: (one.kind, one.values["stage"]))

    def apply(self, decision: Decision) -> None:
        """Takes such a decision."""
        values = decision.values
        if decision.kind == STAGE_SILENT:
            one = Silence(values["stage"], values["process"], int(values["since_ns"]))
            if all((one.stage, one.since_ns) != (k.stage, k.since_ns) for k in self._known):
                self._known.append(one)
        else:
            self._known = [
                msgspec.structs.replace(one, until_ns=int(values["until_ns"]))
                if one.stage == values["stage"] and one.until_ns is None
                else one
                for one in self._known
            ]
        self._known = self._known[-MOST:]
        self._marks[MARK] = msgspec.json.encode(self._known).decode()

    def events(self) -> list[Event]:
        """One event a silence; it stays the same when the stage is heard again."""
        return [
            own_event(
                STAGE_SILENT,
                (one.stage, one.since_ns),
                {"stage": one.stage, "process": one.process},
                one.since_ns,
            )
            for one in self._known
        ]
