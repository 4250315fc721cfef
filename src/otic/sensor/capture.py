"""The capture process: opens the sources and lets the core run; no Python touches a frame."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import structlog

from otic.errors import CaptureError, JournalError
from otic.facts import decode_batch
from otic.folder import DataFolder
from otic.journal.segments import FACTS
from otic.settings import Settings

log = structlog.get_logger()

LOOK_S = 0.25
"""How often the process looks whether it should end, and whether something is wrong."""

HOUR_NS = 3_600_000_000_000


def run(folder: DataFolder, settings: Settings, wait: Callable[[float], bool]) -> int:
    """Captures until `wait(seconds)` says to end, or all sources are over; exit code.

    Raises:
        CaptureError: a source cannot be opened, or the journal cannot be written.
    """
    from otic import _core

    ring = settings.ring
    packets = (folder.packets, ring.bytes, ring.hours * HOUR_NS, ring.bytes_per_s)
    try:
        capture = _core.Capture(
            journal=folder.journal,
            pipes=[(one.name, one.pipe) for one in settings.interface if one.pipe],
            packets=packets if ring.bytes else None,
            sensor=settings.sensor,
            spaces=settings.spaces(),
            threads=settings.threads,
            last_seen_ns=last_seen_ns(folder.journal),
        )
    except _core.CaptureError as error:
        raise CaptureError(str(error)) from None
    log.info("capturing", interfaces=[one.name for one in settings.interface])
    said = None
    while not wait(LOOK_S) and not capture.is_over():
        trouble = capture.trouble()
        if trouble != said:
            log.error("journal_cannot_be_written", reason=trouble) if trouble else log.info(
                "journal_written_again"
            )
            said = trouble
    whole = capture.stop()
    log.info("capture_ended")
    return 0 if whole else 1


def last_seen_ns(journal: Path) -> int | None:
    """The last moment that the journal tells of, if it tells of any.

    Raises:
        JournalError: the journal is damaged.
    """
    from otic import _core

    try:
        for path in reversed(_core.journal_segments(str(journal), FACTS)):
            records, _ = _core.read_journal(path)
            if records:
                batch = decode_batch(records[-1][2])
                return max([batch.end_ns, *(tick.wall_ns for tick in batch.ticks)])
    except _core.JournalError as error:
        raise JournalError(str(error)) from None
    return None
