"""Starts the three processes of a sensor, starts them again, and says how they are."""

from __future__ import annotations

import fcntl
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import IO, Literal

import msgspec
import structlog

from otic.errors import OticError, ProtocolError, SettingsError
from otic.folder import DataFolder
from otic.protocols import in_force
from otic.sensor.canary import Watch
from otic.sensor.capture import program_of
from otic.sensor.protocols import take
from otic.settings import Settings, load
from otic.status import ProcessStatus, Status

log = structlog.get_logger()

PROCESSES = ("capture", "analysis", "web")
"""In the order in which they start and end (contracts.md §6)."""

LOOK_S = 0.2
STATUS_S = 1.0

FIRST_WAIT_S = 0.5
LONGEST_WAIT_S = 30.0
HEALTHY_S = 60.0
"""A process that ran so long is started again at once; others wait twice as long each time."""

PATIENCE_S = 20.0
"""So long a process may take to end when it is told to."""


ALLOCATOR = {"MALLOC_TRIM_THRESHOLD_": "131072"}
"""Set, this stays as it is: else the C library learns from the first burst to keep what is free."""


class _Process:
    """One child; it ends when its standard input does."""

    def __init__(self, name: str, command: list[str], log_to: IO[bytes] | None) -> None:
        self.command = command
        self.status = ProcessStatus(name=name)
        self._log_to = log_to
        self._child: subprocess.Popen[bytes] | None = None
        self._wait_s = FIRST_WAIT_S
        self._start_at = 0.0
        self._started_at = 0.0
        self.held = False
        """Whether there is nothing to do for it: it is not started."""

    def look(self, now: float) -> None:
        """Starts it when it is time, and notes its end."""
        if self._child is None:
            if now >= self._start_at and not self.held:
                self._start(now)
            return
        code = self._child.poll()
        if code is None:
            return
        lived = now - self._started_at
        self._wait_s = FIRST_WAIT_S if lived >= HEALTHY_S else min(self._wait_s * 2, LONGEST_WAIT_S)
        self._start_at = now if lived >= HEALTHY_S else now + self._wait_s
        log.warning("process_ended", process=self.status.name, code=code, lived_s=round(lived, 1))
        self._forget(code)
        self.status.restarts += 1

    def end(self) -> None:
        """Tells it to end, and kills it when it does not."""
        if self._child is None:
            return
        if self._child.stdin is not None:
            self._child.stdin.close()
        try:
            code = self._child.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            log.error("process_killed", process=self.status.name, waited_s=PATIENCE_S)
            self._child.kill()
            code = self._child.wait()
        self._forget(code)

    def tell(self, line: bytes) -> None:
        """Says a line to it, when it runs."""
        if self._child is not None and self._child.stdin is not None:
            try:
                self._child.stdin.write(line + b"\n")
                self._child.stdin.flush()
            except BrokenPipeError:
                pass  # It ends, and starts with the new settings.

    def again(self) -> None:
        """Ends it, so that it starts at once with the settings as they are."""
        self.end()
        self._start_at = 0.0

    def _start(self, now: float) -> None:
        self._child = subprocess.Popen(  # noqa: S603 our own program
            self.command,
            stdin=subprocess.PIPE,
            stderr=self._log_to,
            env=ALLOCATOR | os.environ,
            # Ctrl-C is for the supervisor alone: it ends its processes in their order.
            start_new_session=True,
        )
        self._started_at = now
        self.status.pid = self._child.pid
        self.status.since = time.time_ns()

    def _forget(self, code: int) -> None:
        self._child = None
        self.status.pid = None
        self.status.last_exit = code


class Supervisor:
    """Runs the processes of one data folder."""

    def __init__(
        self,
        folder: DataFolder,
        command: Callable[[str], list[str]],
        *,
        config: Path | None = None,
        log_to: IO[bytes] | None = None,
    ) -> None:
        """`command` gives the command line of a process; their logs go to `log_to` or to stderr.

        When the settings in `config` change, the processes get to know.

        Raises:
            OticError: another sensor runs on this folder.
        """
        self.folder = folder
        self._lock = (folder.path / "lock").open("w")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise OticError(f"{folder.path}: another sensor runs on this folder") from None
        self._started = time.time_ns()
        self._processes = [_Process(name, command(name), log_to) for name in PROCESSES]
        self._config = config
        self._config_ns = _changed_ns(config)
        # A sensor that is new has no file yet; the console writes it when the sensor is set up.
        self._settings = load(config if self._config_ns else None)
        self._definitions = changed_definitions(self._settings.protocols)
        self._watch: Watch | None = None
        self._hold_capture()

    def run(self, stopped: Callable[[], bool]) -> None:
        """Works until told to stop."""
        status_at = 0.0
        notify("READY=1")
        try:
            while not stopped():
                now = time.monotonic()
                for process in self._processes:
                    process.look(now)
                if now >= status_at:
                    status_at = now + STATUS_S
                    self._write_status()
                    self._read_settings()
                    self._read_definitions()
                    notify("WATCHDOG=1")
                time.sleep(LOOK_S)
        finally:
            notify("STOPPING=1")
            for process in self._processes:
                process.end()
            self._write_status()
            self._lock.close()

    def _read_settings(self) -> None:
        """Takes over settings that changed; what means nothing is named and changes nothing."""
        changed_ns = _changed_ns(self._config)
        if changed_ns == self._config_ns:
            return
        self._config_ns = changed_ns
        try:
            new = load(self._config)
            filters = {one.name: program_of(one) for one in new.interface}
        except SettingsError as error:
            log.error("settings_refused", reason=str(error))
            return
        old, self._settings = self._settings, new
        if new.canary_s != old.canary_s or bool(new.interface) != bool(old.interface):
            self._hold_capture()
        for process in self._processes:
            need = needs(process.status.name, old, new)
            if need == "again":
                process.again()
            elif need == "filters":
                process.tell(msgspec.json.encode({"filters": filters}))
        log.info("settings_changed")

    def _read_definitions(self) -> None:
        """Takes over protocol definitions that changed: capture goes on, and the processes that
        show them start again. When one is refused, that is named and nothing changes.
        """
        places = self._settings.protocols
        changed = changed_definitions(places)
        if changed == self._definitions:
            return
        self._definitions = changed
        try:
            take(places)
        except ProtocolError as error:
            log.error("definitions_refused", reason=str(error))
            return
        told = msgspec.json.encode({"protocols": [(one.file, one.text) for one in in_force()]})
        for process in self._processes:
            if process.status.name == "capture":
                process.tell(told)
            else:
                process.again()
        log.info("definitions_changed")

    def _hold_capture(self) -> None:
        """Capture waits until an interface is named, and until then no canary is expected."""
        idle = not self._settings.interface
        for process in self._processes:
            if process.status.name == "capture":
                process.held = idle
        every_s = self._settings.canary_s
        self._watch = None if idle else Watch(self.folder, every_s, time.monotonic())
        if idle:
            log.warning("no_interface", settings=self._config.name if self._config else "")

    def _write_status(self) -> None:
        disk = os.statvfs(self.folder.path)
        status = Status(
            written=time.time_ns(),
            started=self._started,
            processes=[process.status for process in self._processes],
            disk_bytes=disk.f_blocks * disk.f_frsize,
            disk_free=disk.f_bavail * disk.f_frsize,
            stages=self._watch.look(time.monotonic()) if self._watch is not None else [],
        )
        new = self.folder.status.with_suffix(".new")
        try:
            new.write_bytes(msgspec.json.encode(status))
            new.replace(self.folder.status)
        except OSError as error:
            log.error("status_cannot_be_written", reason=error.strerror)


def changed_definitions(places: list[str]) -> list[tuple[str, int, int]]:
    """Name, time of change and size of each definition file of one's own."""
    found = []
    for place in map(Path, places):
        for path in sorted(place.rglob("*.toml")) if place.is_dir() else [place]:
            try:
                status = path.stat()
                found.append((str(path), status.st_mtime_ns, status.st_size))
            except OSError:
                found.append((str(path), 0, 0))
    return found


OF_CAPTURE = ("sensor", "space", "threads", "user", "ring", "canary_s")
NOT_OF_ANALYSIS = ("protocols", "interface", "threads", "user", "ring", "console", "canary_s")
OF_CONSOLE = ("console", "plugins", "tenant", "site", "zone", "sensor")


def needs(process: str, old: Settings, new: Settings) -> Literal["nothing", "filters", "again"]:
    """What a process needs when the settings change."""

    def differ(names: Iterable[str]) -> bool:
        return any(getattr(old, name) != getattr(new, name) for name in names)

    if process == "web":
        return "again" if differ(OF_CONSOLE) else "nothing"
    if process == "analysis":
        others = (name for name in Settings.__struct_fields__ if name not in NOT_OF_ANALYSIS)
        return "again" if differ(others) else "nothing"
    unfiltered = [
        [msgspec.structs.replace(one, filter="") for one in settings.interface]
        for settings in (old, new)
    ]
    if differ(OF_CAPTURE) or unfiltered[0] != unfiltered[1]:
        return "again"
    return "filters" if old.interface != new.interface else "nothing"


def _changed_ns(config: Path | None) -> int:
    try:
        return config.stat().st_mtime_ns if config is not None else 0
    except OSError:
        return 0


def command_for(folder: DataFolder, config: Path | None) -> Callable[[str], list[str]]:
    """The command lines of the processes of `otic sensor`."""
    tail = [str(folder.path), *([str(config)] if config else [])]
    return lambda name: [sys.executable, "-m", "otic.cli.process", name, *tail]


def notify(what: str) -> None:
    """Tells systemd how the sensor is (sd_notify(3)); nothing where nobody asked."""
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return
    if address.startswith("@"):
        address = "\0" + address[1:]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as peer:
        try:
            peer.sendto(what.encode(), address)
        except OSError as error:
            log.warning("systemd_not_told", reason=error.strerror)
