"""`arp-scan`: one machine asks by ARP for 40 or more absent addresses within six minutes."""

from support.alerts import fired
from support.frames import SECOND_NS, START_NS, STATION, arp

QUESTIONS = [
    (START_NS + number * SECOND_NS, arp(STATION.mac, STATION.ip, f"10.0.0.{100 + number}"))
    for number in range(40)
]


def test_fires_for_forty_questions() -> None:
    """The asking card is the source; the first question is the evidence."""
    alert = fired(QUESTIONS)

    assert {"arp-scan"} == alert.keys()
    told = alert["arp-scan"]
    assert ("critical", [STATION.mac], 40) == (told.severity, told.sources, told.count)
    assert [f"10.0.0.{last}" for last in range(100, 140)] == told.destinations
    assert "02:00:00:00:00:03 asked by ARP for 40 addresses (40 within 360 s are too many)." == (
        told.text
    )
    assert [QUESTIONS[0][1][14:42]] == [cited[:28] for cited in told.cited]


def test_stays_silent_for_one_question_less() -> None:
    """39 addresses are no scan."""
    assert not fired(QUESTIONS[:39])


def test_stays_silent_for_the_same_address_again() -> None:
    """A machine that asks for one absent neighbour for long has a fault, and scans nothing."""
    same = [(at_ns, arp(STATION.mac, STATION.ip, "10.0.0.100")) for at_ns, _ in QUESTIONS]

    assert not fired(same)
