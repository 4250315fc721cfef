"""The oldest segments of the journal go when it is too large, never those still to be read."""

from __future__ import annotations

import os
from pathlib import Path

from otic import _core
from otic.journal.segments import drop_oldest


def journal(folder: Path, segments: int) -> list[str]:
    """Segments of about 100 kB each, as many runs leave them."""
    for _ in range(segments):
        writer = _core.JournalWriter(str(folder), "facts", "s", content="")
        writer.append(os.urandom(100_000), 1)
    return [Path(path).name for path in _core.journal_segments(str(folder), "facts")]


def test_the_oldest_go_until_the_rest_fits(tmp_path: Path) -> None:
    """Six segments of 100 kB in 350 kB: three stay, and they still follow each other."""
    names = journal(tmp_path, 6)
    assert drop_oldest(tmp_path, "facts", 350_000, before=99) == names[:3]
    assert [Path(path).name for path in _core.journal_segments(str(tmp_path), "facts")] == names[3:]
    follower = _core.JournalFollower(str(tmp_path), "facts")
    assert [row[1] for row in follower.read(99, 0)] == [4, 5, 6]
    assert drop_oldest(tmp_path, "facts", 350_000, before=99) == []


def test_what_is_still_to_be_read_stays(tmp_path: Path) -> None:
    """Analysis is in the second segment: only the first goes, however little is allowed."""
    names = journal(tmp_path, 4)
    assert drop_oldest(tmp_path, "facts", 0, before=2) == names[:1]
