"""A stage that does not show the canary is named, and no other."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from otic.baseline.fields import FieldMaker
from otic.detect.probe import Probe
from otic.folder import DataFolder
from otic.sensor.canary import LEAST_S, STAGES, Passed, Watch, show
from otic.settings import Settings

EVERY_S = 10.0
RUN_NS = 7


class Walk:
    """A sensor's stages, told by hand."""

    def __init__(self, path: Path) -> None:
        self.folder = DataFolder(path)
        self.folder.create()
        self.now_s = 100.0
        self.watch = Watch(self.folder, EVERY_S, self.now_s)

    def show(self, sequence: int, *, without: str = "", run_ns: int = RUN_NS) -> None:
        """Every stage before `without` shows this canary."""
        names = [name for name, _ in STAGES]
        reached = names[: names.index(without)] if without else names
        for process in {process for _, process in STAGES}:
            own = [name for name, other in STAGES if other == process and name in reached]
            if own:
                one = Passed(run_ns, sequence, time.time_ns())
                show(self.folder.canary(process), dict.fromkeys(own, one))

    def silent(self, seconds: float = 0, step_s: float = 1.0) -> list[str]:
        """Stages that are silent after so long."""
        end = self.now_s + seconds
        while True:
            stages = self.watch.look(self.now_s)
            if self.now_s >= end:
                return [stage.name for stage in stages if stage.silent_since is not None]
            self.now_s += step_s


@pytest.mark.parametrize("stage", [name for name, _ in STAGES[1:]])
def test_the_stage_that_stands_still_is_named_and_heard_again(tmp_path: Path, stage: str) -> None:
    """Those behind it, which have nothing to show, are not."""
    walk = Walk(tmp_path)
    walk.show(1)
    assert not walk.silent(EVERY_S)
    for sequence in (2, 3):
        # Files of processes behind it stay as they were.
        names = [name for name, _ in STAGES]
        for process in dict.fromkeys(process for _, process in STAGES):
            own = {
                name: Passed(RUN_NS, sequence if at < names.index(stage) else 1, time.time_ns())
                for at, (name, other) in enumerate(STAGES)
                if other == process
            }
            show(walk.folder.canary(process), own)
        assert ([stage] if sequence == 3 else []) == walk.silent(EVERY_S * 0.9)
    walk.show(4)
    assert not walk.silent()


def test_capture_is_named_when_no_canary_comes(tmp_path: Path) -> None:
    """Also when none ever came."""
    walk = Walk(tmp_path)
    assert not walk.silent(2 * EVERY_S - 1)
    assert ["capture"] == walk.silent(2)
    walk.show(1)
    assert not walk.silent(EVERY_S)
    assert ["capture"] == walk.silent(EVERY_S + 2)


def test_a_new_run_of_capture_is_no_silence(tmp_path: Path) -> None:
    """Canaries that were under way when capture died are not waited for."""
    walk = Walk(tmp_path)
    walk.show(5)
    walk.silent(1)
    walk.show(6, without="journal")
    walk.silent(1)
    walk.show(1, run_ns=RUN_NS + 1)
    assert not walk.silent(EVERY_S)


def test_time_that_the_machine_slept_is_no_silence(tmp_path: Path) -> None:
    """Only running time counts."""
    walk = Walk(tmp_path)
    walk.show(1)
    assert not walk.silent(3 * 3600, step_s=3600)


def test_words_of_an_earlier_sensor_are_no_sign_of_life(tmp_path: Path) -> None:
    """A file that lies there from before does not hide that capture is dead."""
    folder = DataFolder(tmp_path)
    folder.create()
    show(folder.canary("capture"), {"capture": Passed(RUN_NS, 9, time.time_ns())})
    time.sleep(0.01)
    walk = Walk(tmp_path)
    walk.silent(1)
    assert ["capture"] == walk.silent(2 * EVERY_S)


def test_every_stage_has_time_however_often_canaries_come(tmp_path: Path) -> None:
    """An interval shorter than what work takes makes no false alarm."""
    walk = Walk(tmp_path)
    walk.watch = Watch(walk.folder, 1, walk.now_s)
    walk.show(1, without="detection")
    assert not walk.silent(LEAST_S)


def test_detection_alerts_on_each_canary() -> None:
    """A detection that does not evaluate its rules lets no canary through."""
    probe = Probe(FieldMaker(Settings()))

    assert probe.alerts((RUN_NS, 1))
    assert probe.alerts((RUN_NS, 2))

    probe = Probe(FieldMaker(Settings()))
    probe._detector._by_fact.clear()
    assert not probe.alerts((RUN_NS, 3))
