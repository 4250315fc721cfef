"""The plug-ins in force in this process, and the worker that runs them."""

from __future__ import annotations

import atexit
import contextlib
import hashlib
import os
import re
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterable

import msgspec
import structlog

from otic.errors import PluginError
from otic.plugins import Plugin, read_all
from otic.plugins.frames import LENGTH, MOST_ANSWER, Answer, Ask, Load, Request, pack

log = structlog.get_logger()

START_S = 10.0
"""Longest time for the worker to start and import a plug-in."""

FAILURES = 3
"""Times that the worker may be killed for a plug-in before it is left out."""

KNOWN = 4096
"""Payloads whose answers are remembered."""

ATTRIBUTE = re.compile(r"[a-z][a-z0-9_]{0,63}")
CONFIDENCES = ("low", "medium", "high")
MOST_VALUE = 256
"""Longest value taken, in characters."""

Row = tuple[str, str, str]


class Pool:
    """Asks plug-ins about payloads; any thread may."""

    def __init__(self, plugins: Iterable[Plugin]) -> None:
        self.plugins = tuple(plugins)
        self._worker: subprocess.Popen[bytes] | None = None
        self._failures: dict[str, int] = {}
        self._known: dict[tuple[str, str, str, bytes], list[Row]] = {}
        self._lock = threading.Lock()

    def read(self, kind: str, protocol: str, data: bytes) -> list[tuple[Row, str]]:
        """What the plug-ins for this kind say: attribute, value and confidence, and the plug-in."""
        return [
            (row, plugin.manifest.name)
            for plugin in self.plugins
            if kind in plugin.manifest.payloads
            for row in self.ask(plugin, kind, protocol, data)
        ]

    def ask(self, plugin: Plugin, kind: str, protocol: str, data: bytes) -> list[Row]:
        """What one plug-in says of a payload; nothing when it fails."""
        name = plugin.manifest.name
        key = (name, kind, protocol, hashlib.sha256(data).digest())
        with self._lock:
            known = self._known.get(key)
            if known is None:
                try:
                    known = self._ask(plugin, kind, protocol, data)
                except PluginError as error:
                    log.warning("plugin_failed", plugin=name, kind=kind, reason=str(error))
                    known = []
                if len(self._known) == KNOWN:
                    self._known.clear()
                self._known[key] = known
            return known

    def check(self, plugin: Plugin) -> None:
        """Makes the plug-in ready.

        Raises:
            PluginError: it cannot be imported, or has no such function.
        """
        with self._lock:
            self._start()
            self._load(plugin)

    def close(self) -> None:
        """Ends the worker."""
        with self._lock:
            self._kill()

    def _ask(self, plugin: Plugin, kind: str, protocol: str, data: bytes) -> list[Row]:
        name = plugin.manifest.name
        if self._failures.get(name, 0) >= FAILURES:
            return []
        if self._worker is None or self._worker.poll() is not None:
            self._start()
            for one in self.plugins:
                if self._failures.get(one.manifest.name, 0) < FAILURES:
                    self._load(one)
        answer = self._send(
            name, Ask(name, kind, protocol, data), plugin.manifest.deadline_ms / 1e3
        )
        if answer.failure:
            raise PluginError(f"{name}: {answer.failure}")
        for attribute, _, confidence in answer.rows:
            if not ATTRIBUTE.fullmatch(attribute) or confidence not in CONFIDENCES:
                raise PluginError(f"{name}: {attribute!r} with confidence {confidence!r}")
        return [
            (attribute, value[:MOST_VALUE], confidence)
            for attribute, value, confidence in answer.rows
            if value
        ]

    def _load(self, plugin: Plugin) -> None:
        name = plugin.manifest.name
        answer = self._send(name, Load(name, str(plugin.module), plugin.function), START_S)
        if answer.failure:
            self._failures[name] = FAILURES
            raise PluginError(f"{plugin.folder}: {answer.failure}")

    def _send(self, name: str, request: Request, seconds: float) -> Answer:
        worker = self._worker
        if worker is None or worker.stdin is None or worker.stdout is None:
            raise PluginError(f"{name}: the worker did not start")
        deadline = time.monotonic() + seconds
        try:
            _write(worker.stdin.fileno(), pack(request), deadline)
            length = int.from_bytes(_read(worker.stdout.fileno(), LENGTH, deadline))
            if length > MOST_ANSWER:
                raise PluginError(f"{name}: an answer of {length} bytes")
            return msgspec.msgpack.decode(
                _read(worker.stdout.fileno(), length, deadline), type=Answer
            )
        except (PluginError, OSError, msgspec.MsgspecError, TimeoutError) as error:
            self._kill()
            failures = self._failures[name] = self._failures.get(name, 0) + 1
            if failures == FAILURES:
                log.error("plugin_left_out", plugin=name, failures=failures)
            late = isinstance(error, TimeoutError)
            reason = f"no answer after {seconds:g} s" if late else str(error)
            raise PluginError(f"{name}: {reason}") from None

    def _start(self) -> None:
        self._kill()
        self._worker = subprocess.Popen(
            [sys.executable, "-I", "-m", "otic.plugins.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={},
            bufsize=0,
            start_new_session=True,
        )
        for pipe in (self._worker.stdin, self._worker.stdout):
            if pipe is not None:
                os.set_blocking(pipe.fileno(), False)

    def _kill(self) -> None:
        """Ends the worker and whatever it started."""
        worker, self._worker = self._worker, None
        if worker is None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(worker.pid, signal.SIGKILL)
        worker.wait()
        for pipe in (worker.stdin, worker.stdout):
            if pipe is not None:
                pipe.close()


def _write(descriptor: int, data: bytes, deadline: float) -> None:
    rest = memoryview(data)
    while rest:
        _wait(descriptor, select.POLLOUT, deadline)
        rest = rest[os.write(descriptor, rest) :]


def _read(descriptor: int, length: int, deadline: float) -> bytes:
    data = b""
    while len(data) < length:
        _wait(descriptor, select.POLLIN, deadline)
        more = os.read(descriptor, length - len(data))
        if not more:
            raise OSError("the worker ended")
        data += more
    return data


def _wait(descriptor: int, event: int, deadline: float) -> None:
    poll = select.poll()
    poll.register(descriptor, event)
    if not poll.poll(max(0.0, deadline - time.monotonic()) * 1e3):
        raise TimeoutError


_pool = Pool(())


def use(places: Iterable[str]) -> None:
    """Lets the plug-ins in these folders hold in this process; none is started before it is asked.

    Raises:
        PluginError: one of them is not valid; those before hold on.
    """
    global _pool
    plugins = read_all(places)
    _pool.close()
    _pool = Pool(plugins)


def use_or_go_without(places: Iterable[str]) -> None:
    """The same for a process that must run: when one of them is refused, that is logged and none
    holds.
    """
    try:
        use(places)
    except PluginError as error:
        log.error("plugins_refused", reason=str(error))


def pool() -> Pool:
    """The plug-ins in force."""
    return _pool


atexit.register(lambda: _pool.close())
