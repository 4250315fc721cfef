"""Attempts over a long time are in the store, and tell the same whenever they are looked at."""

import random
from pathlib import Path

import pytest

from builders import at, batch, endpoint
from otic.baseline.baseline import Baseline
from otic.detect import engine
from otic.detect.alerts import Alert
from otic.detect.rules import load
from otic.facts import Attempts, Batch, pack_spans
from otic.sensor.analysis import Analysis, Memory, Sink
from otic.settings import Settings
from otic.store import database, keep
from otic.store.database import Database

RULES = load()
SOURCES = ("10.0.0.65", "10.0.0.66")


def tried(bucket: int, source: str, hosts: range, transport: str = "tcp") -> Attempts:
    targets = [f"10.0.1.{host}" for host in hosts]
    count = len(targets)
    samples = [(target, 80) for target in targets]
    return Attempts(
        endpoint(source).id,
        transport,
        at(10 * bucket) // 10**10 * 10**10,
        count,
        count,
        1,
        count,
        count,
        False,
        samples[:16],
        targets,
        pack_spans([(0, 1 + bucket, 26, 8)]),
    )


def hours() -> list[Batch]:
    """Polling of dead hosts for hours, with scans of other lengths in it; one source is told last.

    A scan begins in one batch and goes on in the next.
    """
    facts = []
    for bucket in range(1200):
        for source in SOURCES:
            scans = bucket % 500 in range(97, 103)
            first = 20 * (bucket % 500 - 97) if scans else 1
            facts.append(tried(bucket, source, range(first, first + (20 if scans else 2))))
        facts.append(tried(bucket, SOURCES[0], range(bucket % 40, bucket % 40 + 2), "arp"))
    batches = [batch(0, endpoint(SOURCES[0]))]
    for start in range(0, len(facts), 300):
        some = facts[start : start + 300]
        batches.append(batch(len(batches), *some, s=start // 30))
    return [*batches, batch(len(batches), endpoint(SOURCES[1]), s=20_000)]


def analysis(sink: Sink) -> Analysis:
    return Analysis(Settings(), RULES, sink, baseline=Baseline())


def alerts(one: Analysis) -> list[Alert]:
    found = one.detector.alerts(one.state, policy=False)
    return [alert for alert in found if alert.rule != "new-device"]


def test_every_way_to_the_same_alerts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One by one, all at once, in any order, from a store, and after a restart."""
    monkeypatch.setattr(keep, "CACHED", 100)
    batches = hours()
    whole = analysis(Memory())
    whole.learning = True
    for one in batches:
        whole.apply(one)
    whole.learned()
    expected = alerts(whole)
    assert {"address-scan"} == {alert.rule for alert in expected}
    assert {SOURCES[0], SOURCES[1]} == {alert.sources[0] for alert in expected}
    assert {at(10 * 85) < alert.first_ns < at(10 * 104) for alert in expected} == {True}
    assert all(alert.last_ns > at(10 * 1100) for alert in expected)

    facts = [fact for one in batches for fact in (*one.endpoints, *one.attempts)]
    random.Random(3).shuffle(facts)
    shuffled = analysis(Memory())
    for number, start in enumerate(range(0, len(facts), 500)):
        shuffled.apply(batch(number, *facts[start : start + 500]))
    assert expected == alerts(shuffled)

    settings, path = Settings(), tmp_path / "otic.db"
    stored = analysis(Database(path, settings))
    for one in batches:
        stored.apply(one)
    assert expected == alerts(stored)
    stored.sink.close()
    again = analysis(Database(path, settings))
    assert expected == alerts(again)
    again.sink.close()


def test_a_scan_counts_a_bounded_number_of_targets(monkeypatch: pytest.MonkeyPatch) -> None:
    """The alert goes on, its count does not grow past the bound."""
    monkeypatch.setattr(engine, "ITEMS", 120)
    one = analysis(Memory())
    one.apply(batch(0, endpoint(SOURCES[0])))
    for bucket in range(5):
        first = 50 * bucket
        one.apply(batch(1 + bucket, tried(bucket, SOURCES[0], range(first, first + 50))))
    (alert,) = alerts(one)
    assert alert.count == 120
    assert alert.last_ns == at(50) // 10**10 * 10**10


def test_old_attempts_are_forgotten_but_for_those_that_alert(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The table stays small; after a restart the alerts are the same."""
    monkeypatch.setattr(database, "ATTEMPTS", 1000)
    quiet = endpoint("10.0.0.67")
    polls = [tried(bucket, "10.0.0.67", range(1, 3)) for bucket in range(3000)]
    batches = [*hours(), batch(90, quiet, *polls, s=30_000)]
    path = tmp_path / "otic.db"
    sink = Database(path, Settings())
    one = analysis(sink)
    for given in batches:
        one.apply(given)
        sink.forget_attempts(one.detector.scanning())
    expected = alerts(one)
    kept = [key for key in one.state.attempts if key[0] == quiet.id]
    sink.close()

    assert len(kept) < len(polls) // 2
    assert max(key[2] for key in kept) == max(fact.start_ns for fact in polls)
    again = Database(path, Settings())
    assert expected == alerts(analysis(again))
    assert not again.forget_attempts({endpoint(name).id for name in SOURCES})
    again.close()
