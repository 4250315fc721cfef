"""`address-scan`: one machine tries 50 or more addresses of a /16 network within two minutes."""

import struct

from support.alerts import fired, flagged
from support.frames import STATION, attempts

SWEEP = attempts(STATION, [(f"10.1.0.{last}", 80) for last in range(1, 51)])


def test_fires_for_fifty_addresses_in_two_minutes() -> None:
    """The scanner, all its targets and the first attempt's addresses and ports are told, once."""
    alert = fired(SWEEP)

    assert {"address-scan"} == alert.keys()
    told = alert["address-scan"]
    assert ("critical", [STATION.ip], 50) == (told.severity, told.sources, told.count)
    assert sorted(f"10.1.0.{last}" for last in range(1, 51)) == told.destinations
    assert "10.0.0.3 tried 50 addresses of 10.1.0.0/16 (tcp, 50 within 120 s are too many)." == (
        told.text
    )
    assert [bytes([10, 0, 0, 3, 10, 1, 0, 1]) + struct.pack("!HH", 40000, 80)] == [
        cited[:12] for cited in told.cited
    ]


def test_one_alert_tells_of_all_networks_that_were_scanned() -> None:
    """A scanner of two networks is one cause."""
    both = SWEEP + attempts(STATION, [(f"10.2.0.{last}", 80) for last in range(1, 51)])
    told = fired(both)["address-scan"]

    assert 100 == told.count
    assert "10.1.0.0/16, 10.2.0.0/16" in told.text


def test_stays_silent_for_one_address_less() -> None:
    """49 addresses are no scan."""
    assert not fired(SWEEP[:49])


def test_stays_silent_for_a_flagged_scanner() -> None:
    """A host that people flagged as scanner may scan."""
    assert not fired(SWEEP, settings=flagged(STATION, "scanner"))
