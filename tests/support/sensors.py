"""Runs of `otic sensor`, as a person would run it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

LONGEST_START_S = 60

QUIET = """
[ring]
bytes = 50_000_000

[console]
port = 0
tls = false
"""
"""Settings of a sensor whose console takes any free port."""


def wait_for(what: Callable[[], bool], seconds: float = LONGEST_START_S) -> None:
    """Waits until this is so; fails when it never is."""
    until = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < until, what
        time.sleep(0.1)


@contextmanager
def running(command: list[str], data: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A sensor that has given up its rights; stopped as Ctrl-C does afterwards."""
    proof = data / "journal" / "capture-rights.json"
    with (data.parent / "sensor.log").open("wb") as log:
        sensor = subprocess.Popen(command, stdout=log, stderr=log)
        try:
            wait_for(lambda: sensor.poll() is not None or _is_whole(proof))
            assert sensor.poll() is None, (data.parent / "sensor.log").read_text()
            yield sensor
        finally:
            sensor.send_signal(signal.SIGINT)
            sensor.wait(60)


def _is_whole(proof: Path) -> bool:
    return proof.exists() and proof.read_bytes().endswith(b"}") and os.stat(proof).st_size > 2


def otic(*arguments: object) -> list[str]:
    """A command line of this program."""
    return [sys.executable, "-m", "otic", *map(str, arguments)]
