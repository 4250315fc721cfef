"""The same facts give the same document, however they are cut, repeated or interrupted."""

from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from builders import Source
from otic.baseline.baseline import Baseline
from otic.detect.rules import load
from otic.errors import StoreError
from otic.facts import Batch
from otic.sensor.analysis import Result, Sink
from otic.sensor.document import Document, encode
from otic.sensor.pipeline import analyse
from otic.settings import Settings
from otic.store.database import Database
from plants import plant, shaken

RULES = load()


def document(batches: list[Batch], sink: Sink | None = None) -> dict[str, Any]:
    result = analyse(Source(batches), settings=Settings(), rules=RULES, sink=sink)
    return built(result)


def built(result: Result) -> dict[str, Any]:
    return Document(
        result.state, result.inventory, result.captures, result.alerts, result.notices
    ).build()


def text(batches: list[Batch], sink: Sink | None = None) -> bytes:
    return encode(document(batches, sink))


EXPECTED = text(plant())


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32))
def test_facts_cut_and_sent_again_at_random_change_nothing(seed: int) -> None:
    """Re-batching and re-sending facts gives the same JSON, byte by byte."""
    assert EXPECTED == text(shaken(seed))


@pytest.mark.parametrize("seed", range(12))
def test_a_database_gives_what_memory_gives(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    """Facts in tables behind small caches and counts in rows: the same JSON."""
    monkeypatch.setattr("otic.store.database.CHECKPOINT_BATCHES", 1 + seed % 4)
    monkeypatch.setattr("otic.store.keep.CACHED", seed % 3)
    monkeypatch.setattr("otic.store.keep.ASKED_AT_ONCE", 2)
    file = tmp_path / "made.pcap"
    file.write_bytes(b"capture")
    database = Database(tmp_path / "otic.db", Settings(), [file])
    batches = shaken(seed)
    state = database.load()
    for one in batches[: seed % len(batches)]:
        database.write(state, one, state.apply(one))
    database.close()

    assert EXPECTED == text(batches, Database(tmp_path / "otic.db", Settings(), [file]))


@pytest.mark.parametrize("cut", range(10))
def test_an_interrupted_run_goes_on_to_the_same_result(tmp_path: Path, cut: int) -> None:
    """Broken off after any batch, the next run gives the undisturbed result."""
    file = tmp_path / "made.pcap"
    file.write_bytes(b"capture")
    database = tmp_path / "otic.db"
    first = Database(database, Settings(), [file])
    state = first.load()
    for one in plant()[:cut]:
        first.write(state, one, state.apply(one))
    first.close()
    again = Database(database, Settings(), [file])

    assert cut == again.stored()
    assert EXPECTED == text(plant(), again)
    assert EXPECTED == text(plant(), Database(database, Settings(), [file]))


def test_checkpoints_change_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Counts that wait as columns and counts in rows give the same result."""
    monkeypatch.setattr("otic.store.database.CHECKPOINT_BATCHES", 2)
    file = tmp_path / "made.pcap"
    file.write_bytes(b"capture")
    first = Database(tmp_path / "otic.db", Settings(), [file])
    state = first.load()
    for one in plant()[:7]:
        first.write(state, one, state.apply(one))
    first.close()

    assert EXPECTED == text(plant(), Database(tmp_path / "otic.db", Settings(), [file]))


def test_other_files_are_refused(tmp_path: Path) -> None:
    """A database holds the result of the files it was made from, and of no others."""
    one, other = tmp_path / "one.pcap", tmp_path / "other.pcap"
    one.write_bytes(b"one")
    other.write_bytes(b"other")
    text(plant(), Database(tmp_path / "otic.db", Settings(), [one]))

    with pytest.raises(StoreError, match="other captures"):
        Database(tmp_path / "otic.db", Settings(), [other])


def test_a_damaged_database_is_one_line(tmp_path: Path) -> None:
    """What is no database is refused with its name."""
    file = tmp_path / "made.pcap"
    file.write_bytes(b"capture")
    (tmp_path / "otic.db").write_bytes(b"not a database" * 100)

    with pytest.raises(StoreError, match=r"otic\.db"):
        Database(tmp_path / "otic.db", Settings(), [file])


def test_counts_of_a_corrected_connection_move() -> None:
    """Roles decided wrongly are put right: counts and operations are with the right client."""
    made = document(plant())
    rows = [row for row in made["connections"] if row["protocol"] == "s7comm"]
    reads = [row for row in made["operations"] if row["name"] == "read-var"]

    assert [("10.0.0.3", "10.0.0.1")] == [(row["client"], row["server"]) for row in rows]
    assert [7 * 7 + 5 * 10] == [row["packets"] for row in rows]
    assert [("10.0.0.3", "10.0.0.1", 7)] == [(r["client"], r["server"], r["count"]) for r in reads]


def test_without_a_baseline_danger_alerts_and_policy_waits() -> None:
    """Guarded operations, scans and refusals alert, each cause once; what is merely new would."""
    made = document(plant())

    assert sorted(
        [
            "excessive-logins",
            "firmware-changed",
            "malformed",
            "modbus-illegal-function",
            "plc-scan",
            "stop-then-download",
        ]
    ) == sorted(alert["rule"] for alert in made["alerts"])
    would = {alert["rule"] for alert in made["would_alert"]}
    assert {"new-device", "modbus-function", "first-write", "s7-function"} <= would
    devices = [a["sources"] for a in made["would_alert"] if a["rule"] == "new-device"]
    assert [["10.0.0.1"], ["10.0.0.2"], ["10.0.0.3"]] == sorted(devices)


def learned(until: int | None) -> tuple[Baseline, list[str]]:
    baseline = Baseline()
    result = analyse(
        Source(plant()),
        settings=Settings(),
        rules=RULES,
        baseline=baseline,
        learned_until_ns=until,
    )
    return baseline, sorted({alert.rule for alert in result.alerts})


def test_learning_then_alerting() -> None:
    """What is first seen while learning is known, later facts alert; guarded ones always do."""
    from builders import at

    baseline, rules = learned(at(1.5))

    assert "s7-function" in rules
    assert "first-write" in rules
    assert "new-device" not in rules
    _, rules = learned(at(100))
    assert "s7-function" not in rules
    assert {"first-write", "stop-then-download"} <= set(rules)
    assert not any("program-download" in "\t".join(row) for row in baseline.learned["operation"])


def test_a_learned_plant_has_no_deviations_but_guarded_ones() -> None:
    """Against a baseline of itself, only what nobody signed off is left."""
    from builders import at
    from otic.baseline.baseline import parse

    baseline, _ = learned(at(10**6))
    again = parse(baseline.text(), "baseline")

    assert baseline.text() == again.text()
    result = analyse(Source(plant()), settings=Settings(), rules=RULES, baseline=again)
    policy = {a.rule for a in result.alerts if a.engine == "policy"}
    assert not policy & {"new-device", "new-connection"}
    signed = again.text().replace("pending\t", "signed\tJ. Doe\t")
    result = analyse(
        Source(plant()), settings=Settings(), rules=RULES, baseline=parse(signed, "baseline")
    )
    left = {a.rule for a in result.alerts}
    assert not left & {
        "first-write",
        "modbus-function",
        "s7-function",
        "plc-programming",
        "s7-stop",
        "stop-then-download",
    }


def test_the_document_is_sorted_and_says_its_schema() -> None:
    """Keys and lists are sorted, so two documents compare as text."""
    made = msgspec.json.decode(EXPECTED)

    assert 1 == made["schema"]
    assert sorted(made) == list(made)
    for row in made["operations"]:
        assert sorted(row) == list(row)
