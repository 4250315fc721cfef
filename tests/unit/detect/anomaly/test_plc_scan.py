"""`plc-scan`: one machine tries ports of controllers on ten or more machines within two minutes."""

from support.alerts import fired
from support.frames import SECOND_NS, STATION, attempts


def test_fires_for_ten_machines() -> None:
    """Who asks ten machines for Modbus looks for controllers."""
    targets = [(f"10.1.0.{last}", 502) for last in range(1, 11)]
    alert = fired(attempts(STATION, targets))

    assert {"plc-scan"} == alert.keys()
    told = alert["plc-scan"]
    assert ("critical", [STATION.ip], 10) == (told.severity, told.sources, told.count)
    assert sorted(address for address, _ in targets) == told.destinations
    assert (
        "10.0.0.3 tried ports of controllers on 10 machines (tcp, 10 within 120 s are too many)."
        == told.text
    )
    assert [bytes([10, 0, 0, 3, 10, 1, 0, 1, 0x9C, 0x40, 502 >> 8, 502 & 255])] == [
        cited[:12] for cited in told.cited
    ]


def test_fires_alone_when_it_is_an_address_scan_too() -> None:
    """60 machines asked for Modbus are one scan, of controllers."""
    targets = [(f"10.1.0.{last}", 502) for last in range(1, 61)]
    alert = fired(attempts(STATION, targets))

    assert {"plc-scan"} == alert.keys()
    assert 60 == alert["plc-scan"].count


def test_fires_for_a_sweep_of_many_ports() -> None:
    """Who tries twenty ports of each of twelve machines within seconds tries Modbus, too."""
    targets = [(f"10.1.0.{last}", port) for last in range(1, 13) for port in (*range(30, 49), 502)]
    alert = fired(attempts(STATION, targets, step_ns=SECOND_NS // 50))

    assert {"plc-scan"} == alert.keys()
    assert 12 == alert["plc-scan"].count


def test_stays_silent_for_nine_machines() -> None:
    """One machine less is no scan."""
    assert not fired(attempts(STATION, [(f"10.1.0.{last}", 502) for last in range(1, 10)]))


def test_stays_silent_for_ports_of_the_office() -> None:
    """Ten machines asked for web pages are none of controllers."""
    assert not fired(attempts(STATION, [(f"10.1.0.{last}", 80) for last in range(1, 11)]))
