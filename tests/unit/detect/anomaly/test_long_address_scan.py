"""`long-address-scan`: the slow kind, 50 or more addresses of a /16 network within ten minutes."""

from support.alerts import fired
from support.frames import SECOND_NS, STATION, attempts

TARGETS = [(f"10.1.0.{last}", 80) for last in range(1, 51)]


def test_fires_for_fifty_addresses_in_ten_minutes() -> None:
    """One address every eleven seconds is too slow for `address-scan`, and told here."""
    alert = fired(attempts(STATION, TARGETS, step_ns=11 * SECOND_NS))

    assert {"long-address-scan"} == alert.keys()
    told = alert["long-address-scan"]
    assert ("critical", [STATION.ip], 50) == (told.severity, told.sources, told.count)
    assert sorted(address for address, _ in TARGETS) == told.destinations
    assert "10.0.0.3 tried 50 addresses of 10.1.0.0/16 (tcp, 50 within 600 s are too many)." == (
        told.text
    )
    assert [bytes([10, 0, 0, 3, 10, 1, 0, 1])] == [cited[:8] for cited in told.cited]


def test_stays_silent_when_no_ten_minutes_hold_fifty() -> None:
    """One address every 14 seconds is 43 in ten minutes."""
    assert not fired(attempts(STATION, TARGETS, step_ns=14 * SECOND_NS))


def test_stays_silent_where_the_quick_scan_is_told() -> None:
    """A quick scan is also a slow one; it is told once."""
    assert {"address-scan"} == fired(attempts(STATION, TARGETS)).keys()
