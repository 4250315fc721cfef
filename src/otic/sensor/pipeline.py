"""From capture files to state, devices and alerts: one path with and without a database."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Protocol

import msgspec

from otic.baseline.baseline import Baseline
from otic.detect.rules import Compiled
from otic.errors import CaptureError, JournalError
from otic.facts import decode_batch, decode_captures
from otic.plugins.pool import use
from otic.sensor.analysis import Analysis, Memory, Result, Sink
from otic.sensor.protocols import take
from otic.settings import Settings

AHEAD = 4
"""Batches read ahead of the analysis; bounds memory and lets both work at once."""

REFRESH_BATCHES = 30
"""Batches between two looks at the whole inventory while facts arrive."""

Progress = Callable[[int, int], None]


class Source(Protocol):
    """Where batches come from; `otic._core.Replay` is one."""

    def __iter__(self) -> Iterator[bytes]: ...
    def __next__(self) -> bytes: ...

    def captures(self) -> bytes:
        """The captures as known by now, MessagePack."""
        ...

    def progress(self) -> tuple[int, int]:
        """Bytes read, and bytes in all."""
        ...


def open_captures(
    paths: list[Path], settings: Settings, threads: int = 1, journal: Path | None = None
) -> Source:
    """The core at work on these files; with `journal` it also appends the batches to the
    segments in that folder.

    Raises:
        CaptureError: a file is missing, a folder, empty, or no capture.
        JournalError: the journal cannot be written, or is damaged.
        ProtocolError: a protocol definition is refused.
        PluginError: a plug-in is refused.
    """
    from otic import _core

    take(settings.protocols)
    use(settings.plugins)
    try:
        return _core.Replay(
            [str(path) for path in paths],
            threads=threads,
            spaces=settings.spaces(),
            journal=None if journal is None else str(journal),
        )
    except _core.CaptureError as error:
        raise CaptureError(str(error)) from None
    except _core.JournalError as error:
        raise JournalError(str(error)) from None


class Reading(msgspec.Struct, frozen=True):
    """One batch, and how far the source was when it gave it."""

    batch: bytes
    captures: bytes
    progress: tuple[int, int]


def read_ahead(source: Source) -> Iterator[Reading]:
    """The source's batches, read by a thread of its own so that core and analysis overlap.

    Only that thread touches the source until the last batch was given.

    Raises:
        CaptureError: the core could not go on.
    """
    ready: queue.Queue[Reading | BaseException | None] = queue.Queue(AHEAD)
    stop = threading.Event()

    def offer(item: Reading | BaseException | None) -> None:
        while not stop.is_set():
            try:
                ready.put(item, timeout=0.1)
            except queue.Full:
                continue
            return

    def read() -> None:
        try:
            for data in source:
                offer(Reading(data, source.captures(), source.progress()))
                if stop.is_set():
                    return
            offer(None)
        except BaseException as error:
            offer(error)

    thread = threading.Thread(target=read, name="core", daemon=True)
    thread.start()
    try:
        while (item := ready.get()) is not None:
            if isinstance(item, BaseException):
                raise CaptureError(error_line(item)) from item
            yield item
    finally:
        stop.set()
        thread.join()


def error_line(error: BaseException) -> str:
    """The first line of an error's message; its kind where it has none."""
    return next(iter(str(error).splitlines()), type(error).__name__)


def analyse(
    source: Source,
    *,
    settings: Settings,
    rules: Iterable[Compiled],
    baseline: Baseline | None = None,
    learned_until_ns: int | None = None,
    sink: Sink | None = None,
    progress: Progress | None = None,
) -> Result:
    """Folds all batches of the source and gives what they show.

    With `learned_until_ns`, facts first seen until then are learned into `baseline` at the end of
    the learning time, and only later ones are compared with it.
    """
    sink = sink or Memory()
    stored = sink.stored()
    learning = baseline is not None and learned_until_ns is not None
    analysis = Analysis(
        settings,
        rules,
        sink,
        baseline=baseline,
        learned_until_ns=learned_until_ns,
        learning=learning,
    )
    since = 0
    for reading in read_ahead(source):
        batch = decode_batch(reading.batch)
        if progress is not None:
            progress(*reading.progress)
        if batch.number < stored:
            continue
        analysis.apply(batch)
        since += 1
        if since >= REFRESH_BATCHES and not isinstance(sink, Memory) and not learning:
            since = 0
            analysis.refresh()
    if learning and baseline is not None:
        detector = analysis.detector
        baseline.learn(analysis.state, analysis.fields, detector.guarded, learned_until_ns)
        analysis.learned()
    return analysis.result(decode_captures(source.captures()))
