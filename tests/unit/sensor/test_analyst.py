"""A live sensor's analysis goes on where it stopped, and a decision is never lost."""

import random
import threading
from pathlib import Path
from typing import Any

import msgspec
import pytest
from sqlalchemy import select

from builders import at
from otic import _core
from otic.errors import OticError
from otic.facts import Batch, Tick, encode
from otic.folder import DataFolder
from otic.sensor.analyst import Analyst
from otic.sensor.decisions import Decision, RefusedError, send
from otic.settings import Settings
from otic.store import tables
from otic.store.database import Database
from otic.store.engine import open_engine
from plants import plant, shaken
from support.store import content

DECISION = Decision(kind="finish-learning", person="ada", ts_ns=at(100))


def ticking(batches: list[Batch]) -> list[Batch]:
    """The same batches, each with the tick of its second."""
    return [
        msgspec.structs.replace(
            one, ticks=[Tick("eth1", one.start_ns, one.start_ns, True, 10, 600, {"ring": number})]
        )
        for number, one in enumerate(batches)
    ]


def folder_in(path: Path) -> DataFolder:
    folder = DataFolder(path / "data")
    folder.create()
    return folder


def analyst(folder: DataFolder, **settings: Any) -> Analyst:
    chosen = Settings(**settings)
    return Analyst(folder, chosen, Database(folder.database, chosen))


def finish(one: Analyst) -> None:
    one.run(lambda: True)


def rules_of(folder: DataFolder) -> set[str]:
    engine = open_engine(folder.database)
    with engine.connect() as connection:
        found = set(connection.scalars(select(tables.alerts.c.rule)))
    engine.dispose()
    return found


def append(folder: DataFolder, batches: list[Batch]) -> None:
    writer = _core.JournalWriter(str(folder.journal), "facts", "s", content="")
    for one in batches:
        writer.append(encode(one), one.end_ns)


def undisturbed(path: Path, batches: list[Batch], **settings: Any) -> dict[str, list[str]]:
    folder = folder_in(path)
    append(folder, batches)
    finish(analyst(folder, **settings))
    return content(folder.database)


@pytest.mark.parametrize("seed", range(8))
def test_killed_anywhere_it_goes_on_to_the_same_store(tmp_path: Path, seed: int) -> None:
    """Facts arrive in pieces, analysis dies between any two steps: the undisturbed result."""
    chance = random.Random(seed)
    batches = ticking(shaken(seed))
    expected = undisturbed(tmp_path / "whole", batches, learning_s=4)
    folder = folder_in(tmp_path / "pieces")
    one = analyst(folder, learning_s=4)
    while batches:
        size = chance.randrange(1, 4)
        part, batches = batches[:size], batches[size:]
        append(folder, part)
        one.step()
        if chance.random() < 0.4:
            # Nothing is closed or flushed: as if it had been killed.
            one._inbox.close()
            one.database.connection.rollback()  # type: ignore[attr-defined]
            one = analyst(folder, learning_s=4)
    finish(one)

    assert expected == content(folder.database)


def test_learning_ends_after_the_time_observed(tmp_path: Path) -> None:
    """Seconds with ticks count; what comes after is compared with what was learned."""
    folder = folder_in(tmp_path)
    append(folder, ticking(plant()))
    one = analyst(folder, learning_s=5)
    finish(one)

    assert not one.learning.active
    assert folder.baseline.read_text().startswith("otic-baseline ")
    rules = rules_of(folder)
    assert "first-write" in rules


def test_nothing_is_new_while_learning(tmp_path: Path) -> None:
    """A new device is no alert while normal behaviour is learned; guarded operations are."""
    folder = folder_in(tmp_path)
    append(folder, ticking(plant()))
    one = analyst(folder, learning_s=10_000)
    finish(one)

    rules = rules_of(folder)
    assert one.learning.active
    assert "new-device" not in rules
    assert "plc-programming" in rules or "stop-then-download" in rules


def test_a_decision_is_written_applied_and_audited(tmp_path: Path) -> None:
    """A person ends the learning: in the journal, in the audit; a second time is refused."""
    folder = folder_in(tmp_path)
    append(folder, ticking(plant()[:5]))
    one = analyst(folder)
    stop = threading.Event()
    worker = threading.Thread(target=one.run, args=(stop.is_set,))
    worker.start()
    try:
        send(folder.analysis_socket, DECISION)
        with pytest.raises(RefusedError, match="does not learn"):
            send(folder.analysis_socket, DECISION)
        with pytest.raises(RefusedError, match="no decision"):
            send(folder.analysis_socket, msgspec.structs.replace(DECISION, kind="nonsense"))
    finally:
        stop.set()
        worker.join()
    engine = open_engine(folder.database)
    with engine.connect() as connection:
        audit = connection.execute(select(tables.audit)).all()
    engine.dispose()

    assert [("ada", "finish-learning")] == [(row.person, row.action) for row in audit]
    assert not analyst(folder).learning.active
    with pytest.raises(OticError, match="does not answer"):
        send(folder.analysis_socket.with_name("none.sock"), DECISION)


def test_a_decision_in_the_journal_is_applied_after_a_crash(tmp_path: Path) -> None:
    """Written and not yet applied when the power went: the next start applies it, once."""
    folder = folder_in(tmp_path)
    append(folder, ticking(plant()[:5]))
    finish(analyst(folder))
    writer = _core.JournalWriter(str(folder.journal), "decisions", "s", content="")
    writer.append(encode(DECISION), DECISION.ts_ns)

    one = analyst(folder)

    assert not one.learning.active
    assert one.database.stored("decisions") == 1
