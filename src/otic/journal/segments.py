"""Batches read back from the journal's segments (contracts.md §5).

The core writes the segments (`core/engine/src/journal.rs` describes the format) and checks them
when they are read: a torn last record is cut off, damage before it quarantines the segment by name.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from otic.errors import JournalError

FACTS = "facts"


def batches(folder: Path) -> Iterator[bytes]:
    """The batches of all segments of the facts stream in `folder`, oldest first, as MessagePack.

    Each segment carries the full facts of what it counts, so reading may start at any segment.

    Raises:
        JournalError: the folder cannot be read, or a segment is damaged, foreign or newer.
    """
    from otic import _core

    try:
        for path in _core.journal_segments(str(folder), FACTS):
            records, _torn_at = _core.read_journal(path)
            for _segment, _sequence, record in records:
                yield record
    except _core.JournalError as error:
        raise JournalError(str(error)) from None


def drop_oldest(folder: Path, stream: str, most_bytes: int, before: int) -> list[str]:
    """Removes the oldest segments of a stream while all are larger than `most_bytes`.

    Only segments before this number go: the others are still to be read. Gives the names.

    Raises:
        JournalError: the folder cannot be read, or a segment cannot be removed.
    """
    from otic import _core

    try:
        paths = [Path(path) for path in _core.journal_segments(str(folder), stream)]
        sizes = {path: path.stat().st_size for path in paths}
        total = sum(sizes.values())
        dropped = []
        for path in paths:
            if total <= most_bytes or int(path.stem.rpartition("-")[2]) >= before:
                break
            path.unlink()
            total -= sizes[path]
            dropped.append(path.name)
        return dropped
    except _core.JournalError as error:
        raise JournalError(str(error)) from None
    except OSError as error:
        raise JournalError(f"{folder}: {error.strerror}") from None
