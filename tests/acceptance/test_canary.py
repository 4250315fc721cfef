"""The canary of a running sensor: a stage that stands still is named, and nobody can fake it."""

from __future__ import annotations

import os
import signal
import struct
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from otic.sensor.doctor import examine
from otic.status import StageStatus, read_status
from support.cable import MONITOR, Cable
from support.frames import write_pcap
from support.sensor import Sensor

SETTINGS = f"""
learning_s = 1
canary_s = 1
[[interface]]
name = "{MONITOR}"
[console]
port = 0
"""

DUE_S = 30
"""Interval and patience are 6 s here; a busy machine gets more."""


@pytest.fixture
def cable() -> Iterator[Cable]:
    made = Cable()
    yield made
    made.close()


@pytest.fixture
def sensor(cable: Cable, tmp_path: Path) -> Iterator[Sensor]:
    made = Sensor(tmp_path / "data", SETTINGS, cable.enter(cable.sensor))
    yield made
    made.close()


def stages(sensor: Sensor) -> dict[str, StageStatus]:
    status = read_status(sensor.folder.status)
    return {one.name: one for one in status.stages} if status is not None else {}


def silent(sensor: Sensor) -> list[str]:
    return [name for name, one in stages(sensor).items() if one.silent_since is not None]


def walks(sensor: Sensor) -> None:
    """Waits until every stage shows a canary made from now on."""
    now_ns = time.time_ns()
    sensor.until(lambda: all((one.passed or 0) > now_ns for one in stages(sensor).values()), DUE_S)


def silences(sensor: Sensor) -> list[str]:
    return [row[0] for row in sensor.read("SELECT rule FROM alerts WHERE rule = 'stage-silent'")]


@pytest.mark.parametrize(("process", "stage"), [("analysis", "analysis"), ("web", "web")])
def test_a_stopped_process_is_named_and_alerts(sensor: Sensor, process: str, stage: str) -> None:
    """The supervisor and the doctor say which stage stands still; when analysis can, it alerts."""
    walks(sensor)
    assert not silent(sensor)
    number = sensor.process_id(process)
    assert number is not None
    os.kill(number, signal.SIGSTOP)
    try:
        sensor.until(lambda: silent(sensor) == [stage], DUE_S)
        problems = [
            one.subject for one in examine(sensor.folder.path, None) if one.level == "problem"
        ]
        assert f"stage {stage}" in problems
        if process == "web":
            sensor.until(lambda: len(silences(sensor)) == 1, DUE_S)
    finally:
        os.kill(number, signal.SIGCONT)
    # It is told also when it was analysis itself, and once.
    sensor.until(lambda: not silent(sensor) and len(silences(sensor)) == 1, DUE_S)
    assert [row["stage"] for row in sensor.events("stage_silent")] == [stage]
    assert [row["stage"] for row in sensor.events("stage_heard")] == [stage]


def test_a_capture_that_stands_still_is_named(sensor: Sensor) -> None:
    """No frame is read then; the stage alerts although nothing comes out of the journal."""
    walks(sensor)
    number = sensor.process_id("capture")
    assert number is not None
    os.kill(number, signal.SIGSTOP)
    try:
        sensor.until(lambda: "capture" in silent(sensor), DUE_S)
        sensor.until(lambda: len(silences(sensor)) >= 1, DUE_S)
        # A canary that was on its way is missed behind it, in the same process and nowhere else.
        assert {stages(sensor)[name].process for name in silent(sensor)} == {"capture"}
    finally:
        os.kill(number, signal.SIGCONT)
    sensor.until(lambda: not silent(sensor), DUE_S)


def test_frames_that_look_like_it_do_nothing(sensor: Sensor, cable: Cable, tmp_path: Path) -> None:
    """While analysis of the canary's way stands still, frames with its EtherType and addresses come
    from the wire: the stage is named all the same. They count as frames; canaries do not.
    """
    walks(sensor)
    assert sensor.frames() == 0
    assert sensor.read("SELECT count(*) FROM devices") == [(0,)]
    assert sensor.read("SELECT count(*) FROM endpoints") == [(0,)]
    forged = [
        bytes.fromhex("020000000001" "02000001") + struct.pack(">HH", number, 0x88B5)
        + bytes(16) + struct.pack(">Q", number) + bytes(22)
        for number in range(1, 200)
    ]  # fmt: skip
    capture = write_pcap(tmp_path / "forged.pcap", ((0, frame) for frame in forged))
    number = sensor.process_id("web")
    assert number is not None
    os.kill(number, signal.SIGSTOP)
    try:
        sent = cable.send(capture, rate=100)
        sensor.until(lambda: silent(sensor) == ["web"], DUE_S)
        sensor.until(lambda: sensor.frames() >= sent)
        assert sensor.frames() == sent
    finally:
        os.kill(number, signal.SIGCONT)
    # None of them moved a number: the run's canaries count on by themselves.
    last = stages(sensor)["capture"].sequence
    assert last < len(forged)
    assert stages(sensor)["store"].sequence <= last + 2
