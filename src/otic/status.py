"""What the supervisor of a sensor says of its processes, in a file that others read."""

from __future__ import annotations

from pathlib import Path

import msgspec


class ProcessStatus(msgspec.Struct, kw_only=True):
    """One process of the sensor; `since` is when it was started last (wall clock, ns)."""

    name: str
    pid: int | None = None
    since: int = 0
    restarts: int = 0
    last_exit: int | None = None


class Status(msgspec.Struct, kw_only=True):
    """What the supervisor says of the sensor, as it is in `status.json`."""

    written: int
    started: int
    processes: list[ProcessStatus]
    disk_bytes: int
    disk_free: int


def read_status(path: Path) -> Status | None:
    """What the supervisor said last in this file; none when no sensor ever ran here."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=Status)
    except (OSError, msgspec.MsgspecError):
        return None
