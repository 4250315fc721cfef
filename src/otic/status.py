"""What the supervisor of a sensor says of its processes, in a file that others read."""

from __future__ import annotations

from pathlib import Path

import msgspec

STALE_NS = 5_000_000_000
"""What was said longer ago, ns, says nothing: it is said anew every second."""


class ProcessStatus(msgspec.Struct, kw_only=True):
    """One process of the sensor; `since` is when it was started last (wall clock, ns)."""

    name: str
    pid: int | None = None
    since: int = 0
    restarts: int = 0
    last_exit: int | None = None


class StageStatus(msgspec.Struct, kw_only=True):
    """One stage of the way from capture to console, and the last canary that passed it.

    `sequence` is that canary's number in its run of capture, `passed` when (wall clock, ns).
    `silent_since` is when the canary that it does not show in due time passed the stage before.
    """

    name: str
    process: str
    sequence: int = 0
    passed: int | None = None
    silent_since: int | None = None


class Status(msgspec.Struct, kw_only=True):
    """What the supervisor says of the sensor, as it is in `status.json`."""

    written: int
    started: int
    processes: list[ProcessStatus]
    disk_bytes: int
    disk_free: int
    stages: list[StageStatus] = []

    def is_fresh(self, now_ns: int) -> bool:
        """Whether these words are of a supervisor at work (wall clock, ns)."""
        return now_ns - self.written <= STALE_NS


def read_status(path: Path) -> Status | None:
    """What the supervisor said last in this file; none when no sensor ever ran here."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=Status)
    except (OSError, msgspec.MsgspecError):
        return None
