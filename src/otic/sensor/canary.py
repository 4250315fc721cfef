"""Whether every stage of a live sensor works: each shows the canary that capture makes in due time.

A canary is a made frame that walks the way of captured ones (`core/engine/src/canary.rs`). Each
process writes which canary passed its stages; the supervisor compares them and names the first
stage that does not show what the stage before it has shown.
"""

from __future__ import annotations

import time
from collections import deque
from pathlib import Path

import msgspec
import structlog

from otic.folder import DataFolder
from otic.status import StageStatus

log = structlog.get_logger()

STAGES = (
    ("capture", "capture"),
    ("engine", "capture"),
    ("journal", "capture"),
    ("analysis", "analysis"),
    ("detection", "analysis"),
    ("store", "analysis"),
    ("web", "web"),
)
"""Stages in the order in which a canary passes them, each with its process."""

LEAST_S = 5.0
"""Every stage has at least so long, however often canaries come."""

LONGEST_LOOK_S = 5.0
"""More time between two looks is time in which the supervisor itself stood still."""

REMEMBERED = 128
"""Canaries remembered of each stage."""


class Passed(msgspec.Struct, frozen=True):
    """The last canary that passed a stage, and when (wall clock, ns)."""

    run_ns: int
    sequence: int
    wall_ns: int


_passed = msgspec.json.Decoder(dict[str, Passed]).decode


def passed(run_ns: int, stages: list[tuple[str, int, int]]) -> dict[str, Passed]:
    """What the core says of its stages, without those that no canary passed yet."""
    return {
        name: Passed(run_ns, sequence, wall_ns) for name, sequence, wall_ns in stages if sequence
    }


def show(path: Path, stages: dict[str, Passed]) -> None:
    """Writes which canaries passed the stages of a process. A full disk is no reason to stop."""
    try:
        path.write_bytes(msgspec.json.encode(stages))
    except OSError as error:
        log.error("canary_cannot_be_shown", reason=error.strerror)


def shown(path: Path) -> dict[str, Passed]:
    """Which canaries passed the stages of a process; nothing while it has not said."""
    try:
        return _passed(path.read_bytes())
    except (OSError, msgspec.MsgspecError):
        return {}


class Trail:
    """Writes which canary passed the stages of this process."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stages: dict[str, Passed] = {}

    def passes(self, stage: str, canary: tuple[int, int]) -> None:
        """A canary, as (run, number), passed this stage now."""
        self._stages[stage] = Passed(*canary, time.time_ns())
        show(self._path, self._stages)


Place = tuple[int, int]
"""A canary in the order in which they were made: ordinal of its run, number in it."""


class _Stage:
    """What one stage showed: canaries with the running time, s, at which they were seen there."""

    def __init__(self, name: str, process: str) -> None:
        self.status = StageStatus(name=name, process=process)
        self.reached: deque[tuple[Place, float]] = deque(maxlen=REMEMBERED)

    @property
    def last(self) -> Place:
        return self.reached[-1][0] if self.reached else (0, 0)


class Watch:
    """The supervisor's view of all stages.

    Time is running time: what a machine or the supervisor stands still does not count.
    """

    def __init__(self, folder: DataFolder, every_s: float, now_s: float) -> None:
        """Expects a canary every `every_s`; `now_s` is the monotonic clock."""
        self._folder = folder
        self._every_s = every_s
        self._stages = [_Stage(*names) for names in STAGES]
        self._runs: dict[int, int] = {}
        self._running_s = 0.0
        self._looked_s = now_s
        self._started_ns = time.time_ns()

    def look(self, now_s: float) -> list[StageStatus]:
        """How the stages are now. Logs a stage that falls silent, and that is heard again."""
        self._running_s += min(max(0.0, now_s - self._looked_s), LONGEST_LOOK_S)
        self._looked_s = now_s
        told: dict[str, Passed] = {}
        for process in dict.fromkeys(process for _, process in STAGES):
            told |= shown(self._folder.canary(process))
        for stage in self._stages:
            if (one := told.get(stage.status.name)) is not None:
                self._note(stage, one)
        before: _Stage | None = None
        for stage in self._stages:
            self._judge(stage, before)
            before = stage
        return [stage.status for stage in self._stages]

    def _note(self, stage: _Stage, one: Passed) -> None:
        first = stage is self._stages[0]
        # Old words of a sensor that ran here before are no sign of life.
        if first and one.run_ns not in self._runs and one.wall_ns >= self._started_ns:
            self._runs[one.run_ns] = len(self._runs) + 1
        run = self._runs.get(one.run_ns)
        if run is not None and (run, one.sequence) > stage.last:
            stage.reached.append(((run, one.sequence), self._running_s))
            stage.status.sequence, stage.status.passed = one.sequence, one.wall_ns

    def _judge(self, stage: _Stage, before: _Stage | None) -> None:
        patience_s = max(self._every_s, LEAST_S)
        status = stage.status
        if before is None:
            waited_s = self._running_s - (stage.reached[-1][1] if stage.reached else 0.0)
            late = waited_s > self._every_s + patience_s
            since_ns = status.passed or self._started_ns
        else:
            waiting = [at_s for place, at_s in before.reached if place > stage.last]
            late = bool(waiting) and self._running_s - waiting[0] > patience_s
            since_ns = before.status.passed or self._started_ns
        if late and status.silent_since is None:
            status.silent_since = since_ns
            log.error("stage_silent", stage=status.name, process=status.process)
        elif not late and status.silent_since is not None:
            status.silent_since = None
            log.info("stage_heard", stage=status.name, process=status.process)
