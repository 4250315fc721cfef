"""The analysis process: follows the journal, is the only writer of the store, takes decisions."""

from __future__ import annotations

import time
from collections.abc import Callable, MutableMapping
from pathlib import Path
from typing import Protocol

import msgspec
import structlog

from otic.baseline.baseline import Baseline
from otic.baseline.baseline import load as load_baseline
from otic.detect.alerts import Alert
from otic.detect.probe import Probe
from otic.detect.rules import load as load_rules
from otic.errors import JournalError
from otic.facts import Batch, decode_batch
from otic.folder import DataFolder
from otic.journal.fold import Novelty, State
from otic.journal.segments import FACTS, drop_oldest
from otic.sensor.analysis import Analysis, Sink
from otic.sensor.canary import Trail
from otic.sensor.commissioning import commission
from otic.sensor.decisions import STREAM as DECISIONS
from otic.sensor.decisions import Answer, Decision, Inbox, RefusedError, decode, encode
from otic.sensor.learning import Learning
from otic.sensor.mirror_watch import MIRROR_MENDED, MIRROR_WORSE, MirrorWatch
from otic.sensor.pins import Pins
from otic.sensor.room import Room
from otic.sensor.silences import STAGE_HEARD, STAGE_SILENT, Silences
from otic.settings import Settings
from otic.status import read_status

log = structlog.get_logger()

BATCHES_AT_ONCE = 16
WAIT_MS = 50
RECOUNT_S = 10
"""How often the counts of alerts are brought up to date."""

SELF_S = 2
"""How often analysis asks whether a stage of the sensor is silent."""

CANARY = "canary"
"""Mark of the last canary that came into the store: its run and number."""

BREATH = 3
"""After a look at devices and alerts, so many times as long as it took pass before the next."""


class Store(Sink, Protocol):
    """The store of a live sensor; `otic.store.database.Database` is one."""

    @property
    def marks(self) -> MutableMapping[str, str]:
        """Small texts that live in the store."""
        ...

    def segment(self, stream: str = ...) -> int:
        """The journal segment of the last record folded in."""
        ...

    def checkpoint(self, state: State) -> None:
        """Brings the counts in all rows up to date."""
        ...

    def marked(self) -> None:
        """Keeps the marks that changed."""
        ...

    def recounted(self, alerts: list[Alert]) -> None:
        """Keeps alerts whose facts happened again."""
        ...

    def forget_attempts(self, alerting: set[bytes]) -> int:
        """Deletes old attempts of all sources but these; gives the number."""
        ...

    def decided(self, sequence: int, decision: Decision) -> None:
        """Notes that a decision was applied."""
        ...


class Analyst:
    """One sensor's analysis at work on its data folder and its store."""

    def __init__(self, folder: DataFolder, settings: Settings, database: Store) -> None:
        """Goes on where the store stopped.

        Raises:
            StoreError: the store is damaged.
            RuleError: a rule is refused.
            BaselineError: the baseline is damaged.
        """
        from otic import _core

        self.folder = folder
        self.settings = settings
        self.database = database
        self.learning = Learning(self.database.marks, settings.learning_s)
        learned = folder.baseline.exists()
        self.analysis = Analysis(
            settings,
            load_rules(settings.rules, settings.rule),
            self.database,
            baseline=load_baseline(folder.baseline) if learned else Baseline(),
            learned_until_ns=self.learning.learned_until_ns,
        )
        self.position = (self.database.segment(FACTS), self.database.stored(FACTS))
        self._follower = _core.JournalFollower(str(folder.journal), FACTS, self.position[1])
        self._decisions = _core.JournalWriter(
            str(folder.journal), DECISIONS, settings.sensor, content=""
        )
        self._inbox = Inbox(folder.analysis_socket)
        self._pins = Pins(folder, settings.packets_bytes)
        self._probe = Probe(self.analysis.fields)
        self._trail = Trail(folder.canary("analysis"))
        self._canary: tuple[int, int] | None = None
        self.silences = Silences(self.database.marks)
        self.mirror = MirrorWatch(self.database.marks)
        self._own_events()
        self._self_at = 0.0
        self._room = Room(folder.path)
        self._waits = False
        self._look_at = 0.0
        self._recount_at = 0.0
        self._redo_decisions()

    def run(self, stopped: Callable[[], bool]) -> None:
        """Works until told to stop and everything in the journal is applied."""
        while True:
            stopping = stopped()
            applied = self.step()
            if stopping and not applied:
                break
        if not self._waits:
            self.look()
            self._recount()
            self.database.checkpoint(self.analysis.state)
        self._inbox.close()
        self.database.close()

    def step(self) -> int:
        """Applies what is there of facts and decisions; gives the number of batches."""
        if not self._has_room():
            for waiting in self._inbox.take():
                waiting.answer.put(Answer(error="the disk is full"))
            time.sleep(WAIT_MS / 1000)
            return 0
        try:
            records = self._follower.read(BATCHES_AT_ONCE, WAIT_MS)
        except JournalError as error:
            log.error("journal_damaged", reason=str(error))
            self._follower.quarantine()
            return 1
        for torn in self._follower.take_torn():
            log.warning("journal_torn", record=torn)
        for segment, sequence, record in records:
            self._facts(segment, sequence, decode_batch(record))
        for waiting in self._inbox.take():
            waiting.answer.put(self._decide(waiting.decision))
        now = time.monotonic()
        if now >= self._self_at:
            self._self_at = now + SELF_S
            for decision in self.silences.news(read_status(self.folder.status)):
                self._decide(decision)
        if self._news and now >= self._look_at:
            self.look()
        self._pins.work()
        if now >= self._recount_at:
            self._recount_at = now + RECOUNT_S
            self._recount()
            self._forget()
        return len(records)

    def _has_room(self) -> bool:
        """Whether the disk has room for the store; what matters less gives way."""
        room = self._room
        room.look()
        while room.tight and self._give_way():
            room.look(now=True)
        if room.full != self._waits:
            self._waits = room.full
            if room.full:
                log.error("disk_full", waits="analysis")
            else:
                log.info("disk_has_room")
        return not room.full

    def _give_way(self) -> bool:
        """The oldest pin goes, or else the oldest journal segment that is in the store."""
        if self._pins.make_room(at_least=1):
            log.warning("pin_dropped", reason="the disk is full")
            return True
        journal = self.folder.journal
        total = sum(path.stat().st_size for path in journal.glob(f"{FACTS}-*.journal"))
        dropped = drop_oldest(journal, FACTS, total - 1, before=self.position[0])
        for name in dropped:
            log.warning("journal_segment_dropped", segment=name, reason="the disk is full")
        return bool(dropped)

    def look(self) -> None:
        """Works out devices and alerts where something changed."""
        started = time.monotonic()
        changes = self.analysis.refresh()
        self._pins.ask(changes.alerts)
        if changes.devices or changes.alerts or changes.gone:
            looks = int(self.database.marks.get("looks", "0"))
            self.database.marks["looks"] = str(looks + 1)
            self.database.marked()
        if self._canary is not None:
            self._pass(self._canary)
            self._canary = None
        self._news = False
        self._look_at = time.monotonic() + BREATH * (time.monotonic() - started)

    def _pass(self, canary: tuple[int, int]) -> None:
        """Lets a canary go through detection into the store, where the console looks for it."""
        if not self._probe.alerts(canary):
            log.error("canary_without_alert", run=canary[0], sequence=canary[1])
            return
        self._trail.passes("detection", canary)
        self.database.marks[CANARY] = "{} {}".format(*canary)
        self.database.marked()
        self._trail.passes("store", canary)

    def _own_events(self) -> None:
        """What the sensor knows of itself may alert."""
        self.analysis.own = [*self.silences.events(), *self.mirror.events()]
        self._news = True

    def _recount(self) -> None:
        self.database.recounted(self.analysis.detector.recount(self.analysis.state))

    def _forget(self) -> None:
        """What is too much goes: the oldest attempts, the oldest segments of the journal."""
        forgotten = self.database.forget_attempts(self.analysis.detector.scanning())
        if forgotten:
            log.info("attempts_forgotten", buckets=forgotten)
        folder, most_bytes = self.folder.journal, self.settings.journal_bytes
        for name in drop_oldest(folder, FACTS, most_bytes, before=self.position[0]):
            log.info("journal_segment_dropped", segment=name)

    def _facts(self, segment: int, sequence: int, batch: Batch) -> None:
        batch = msgspec.structs.replace(batch, number=sequence - 1)
        if self.learning.set_back(batch):
            self.analysis.detector.learned_until_ns = self.learning.learned_until_ns
        state = self.analysis.state
        before_ns = state.clock_ns
        new = self.analysis.apply(batch, segment)
        self.position = (segment, sequence)
        commission(state, self.database.marks)
        for decision in self.mirror.news(state, before_ns):
            self._decide(decision)
        self._news = self._news or _tells(new)
        if batch.canaries:
            last = batch.canaries[-1]
            self._canary = (last.run_ns, last.sequence)
            self._trail.passes("analysis", self._canary)
            self._news = True
        if self.learning.observe(batch):
            self._learned()

    def _learned(self) -> None:
        """The learning time is over: what was seen is normal from here on."""
        detector, state = self.analysis.detector, self.analysis.state
        baseline = detector.baseline
        if baseline is None:
            return
        # All there is was seen while learning, whatever the clock was set to meanwhile.
        baseline.learn(state, self.analysis.fields, detector.guarded)
        _replace(self.folder.baseline, baseline.text())
        self.learning.finish(state.clock_ns)
        detector.learned_until_ns = state.clock_ns
        log.info("learning_finished", until_ns=state.clock_ns)

    def _decide(self, decision: Decision) -> Answer:
        decision = msgspec.structs.replace(decision, after=self.position)
        apply = KINDS.get(decision.kind)
        if apply is None:
            return Answer(error=f"no decision is called {decision.kind!r}")
        try:
            check, do = apply
            check(self, decision)
            _, sequence = self._decisions.append(encode(decision), decision.ts_ns)
            do(self, decision)
            self.database.decided(sequence, decision)
        except RefusedError as error:
            return Answer(error=str(error))
        return Answer()

    def _redo_decisions(self) -> None:
        """Applies decisions that are in the journal and not in the store."""
        from otic import _core

        done = self.database.stored(DECISIONS)
        follower = _core.JournalFollower(str(self.folder.journal), DECISIONS, done)
        while records := follower.read(BATCHES_AT_ONCE, 0):
            for _, sequence, record in records:
                decision = decode(record)
                KINDS[decision.kind][1](self, decision)
                self.database.decided(sequence, decision)


def _tells(new: Novelty) -> bool:
    """Whether devices or alerts may look different."""
    counted = ("minutes", "interfaces", "answered", "lanes")
    return any(
        getattr(new, name)
        for name in new.__struct_fields__
        if name not in counted and name != "coverage"
    )


def _replace(path: Path, text: str) -> None:
    """Writes a file whole or not at all."""
    new = path.with_name(path.name + ".new")
    new.write_text(text, encoding="utf-8")
    new.replace(path)


Act = Callable[[Analyst, Decision], None]


def _check_learning(analyst: Analyst, decision: Decision) -> None:
    if not analyst.learning.active:
        raise RefusedError("the sensor does not learn any more")


def _finish_learning(analyst: Analyst, decision: Decision) -> None:
    if analyst.learning.active:
        analyst._learned()


def _needs(*names: str) -> Act:
    """Checks that a decision of the sensor itself has these values."""

    def check(analyst: Analyst, decision: Decision) -> None:
        missing = [name for name in names if name not in decision.values]
        if missing:
            raise RefusedError(f"{decision.kind} needs {', '.join(missing)}")

    return check


def _note_stage(analyst: Analyst, decision: Decision) -> None:
    analyst.silences.apply(decision)
    analyst._own_events()


def _note_mirror(analyst: Analyst, decision: Decision) -> None:
    analyst.mirror.apply(decision)
    analyst._own_events()


KINDS: dict[str, tuple[Act, Act]] = {
    "finish-learning": (_check_learning, _finish_learning),
    STAGE_SILENT: (_needs("stage", "process", "since_ns"), _note_stage),
    STAGE_HEARD: (_needs("stage", "until_ns"), _note_stage),
    MIRROR_WORSE: (_needs("before", "grade", "findings"), _note_mirror),
    MIRROR_MENDED: (_needs(), _note_mirror),
}
"""What checks a decision of each kind before it is written, and what applies it."""
