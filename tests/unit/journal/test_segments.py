"""What the core wrote into a journal reads back as it was."""

from __future__ import annotations

from pathlib import Path

import pytest

from otic import _core
from otic.errors import JournalError
from otic.facts import decode_batch
from otic.journal.fold import State
from otic.journal.segments import batches
from support.frames import START_NS, Host, polling, write_pcap


def capture(folder: Path) -> Path:
    """A client that polls a server forty times."""
    client = Host(mac="02:00:00:00:00:01", ip="10.0.0.1")
    server = Host(mac="02:00:00:00:00:02", ip="10.0.0.2")
    return write_pcap(folder / "poll.pcap", polling(client, server, rounds=40, at_ns=START_NS))


def test_the_journal_holds_the_batches_of_the_run(tmp_path: Path) -> None:
    """Reading the segments gives the bytes that the run handed over, in order."""
    path = capture(tmp_path)
    run = list(_core.Replay([str(path)], journal=str(tmp_path / "journal")))

    assert run == list(batches(tmp_path / "journal"))


def test_a_journal_folds_into_the_state_of_the_run(tmp_path: Path) -> None:
    """State is a fold of the facts: from the run or from the journal."""
    path = capture(tmp_path)
    live, again = State(), State()
    for batch in _core.Replay([str(path)], journal=str(tmp_path / "journal")):
        live.apply(decode_batch(batch))
    for batch in batches(tmp_path / "journal"):
        again.apply(decode_batch(batch))

    assert live.operations == again.operations
    assert live.connections == again.connections


def test_a_torn_tail_loses_only_the_last_record(tmp_path: Path) -> None:
    """Power lost while writing: what was written whole is there."""
    journal = tmp_path / "journal"
    run = list(_core.Replay([str(capture(tmp_path))], journal=str(journal)))
    segment = Path(_core.journal_segments(str(journal), "facts")[0])
    segment.write_bytes(segment.read_bytes()[:-3])

    assert run[:-1] == list(batches(journal))


def test_damage_in_the_middle_is_named(tmp_path: Path) -> None:
    """A flipped bit before the end quarantines the segment."""
    journal = tmp_path / "journal"
    list(_core.Replay([str(capture(tmp_path))], journal=str(journal)))
    list(_core.Replay([str(capture(tmp_path))], journal=str(journal)))
    segment = Path(_core.journal_segments(str(journal), "facts")[0])
    content = bytearray(segment.read_bytes())
    content[len(content) // 2] ^= 1
    content += content[-40:]
    segment.write_bytes(bytes(content))

    with pytest.raises(JournalError, match="quarantined"):
        list(batches(journal))
