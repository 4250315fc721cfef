"""The supervisor starts capture once there is something to capture."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from otic.folder import DataFolder
from otic.sensor.supervisor import Supervisor
from otic.status import Status, read_status

PATIENCE_S = 20
INTERFACE = 'canary_s = 1\n[[interface]]\nname = "eth1"\n'


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[DataFolder]:
    """The data folder of a supervisor that runs; its processes only wait for the end of input."""
    made = DataFolder(tmp_path / "data")
    made.create()
    ended = threading.Event()
    supervisor = Supervisor(made, lambda _: ["cat"], config=made.settings)
    thread = threading.Thread(target=supervisor.run, args=(ended.is_set,))
    thread.start()
    yield made
    ended.set()
    thread.join(PATIENCE_S)
    assert not thread.is_alive()


def until(folder: DataFolder, holds: Callable[[Status], bool]) -> Status:
    """The status once something holds."""
    end = time.monotonic() + PATIENCE_S
    while (status := read_status(folder.status)) is None or not holds(status):
        assert time.monotonic() < end, status
        time.sleep(0.05)
    return status


def runs(status: Status) -> dict[str, bool]:
    return {one.name: one.pid is not None for one in status.processes}


def test_capture_waits_until_an_interface_is_named(folder: DataFolder) -> None:
    """Analysis and console run, so that the sensor can be set up; settings start and end capture.

    What does not run is expected to show no canary.
    """
    waiting = until(folder, lambda status: runs(status)["web"])
    assert runs(waiting) == {"capture": False, "analysis": True, "web": True}
    assert waiting.stages == []

    folder.settings.write_text(INTERFACE)
    until(folder, lambda status: all(runs(status).values()) and status.stages != [])
    # A silent first stage shows that canaries are expected now: `cat` sends none.
    until(folder, lambda status: status.stages[0].silent_since is not None)

    folder.settings.write_text("canary_s = 1\n")
    after = until(folder, lambda status: not runs(status)["capture"])
    assert runs(after) == {"capture": False, "analysis": True, "web": True}
    until(folder, lambda status: status.stages == [])


def test_settings_that_mean_nothing_change_nothing(folder: DataFolder) -> None:
    """A slip of the pen in the first file is no reason to end; the next one counts."""
    until(folder, lambda status: runs(status)["web"])
    folder.settings.write_text("interface = 7\n")
    written = read_status(folder.status)
    assert written is not None
    until(folder, lambda status: status.written > written.written + 2_000_000_000)
    folder.settings.write_text(INTERFACE)
    assert until(folder, lambda status: runs(status)["capture"]).processes[1].restarts == 0
