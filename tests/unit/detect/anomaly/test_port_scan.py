"""`port-scan`: one machine tries 25 or more ports of one host within two minutes."""

from support.alerts import fired
from support.frames import HMI, PLC, SECOND_NS, STATION, attempts


def test_fires_for_twenty_five_ports() -> None:
    """25 ports of one host are a scan of it."""
    alert = fired(attempts(STATION, [(PLC.ip, port) for port in range(1000, 1025)]))

    assert {"port-scan"} == alert.keys()
    told = alert["port-scan"]
    assert ("critical", [STATION.ip], [PLC.ip], 25) == (
        told.severity,
        told.sources,
        told.destinations,
        told.count,
    )
    assert (
        "10.0.0.3 tried 25 ports of 1 machines (tcp, 25 of one within 120 s are too many)."
        == told.text
    )
    assert [bytes([10, 0, 0, 3, 10, 0, 0, 1, 0x9C, 0x40, 1000 >> 8, 1000 & 255])] == [
        cited[:12] for cited in told.cited
    ]


def test_one_alert_tells_of_all_hosts_that_were_scanned() -> None:
    """Two hosts scanned by one machine are one cause."""
    targets = [(host.ip, port) for host in (PLC, HMI) for port in range(1000, 1025)]
    told = fired(attempts(STATION, targets))["port-scan"]

    assert ([PLC.ip, HMI.ip], 50) == (told.destinations, told.count)


def test_fires_for_the_host_that_was_scanned_among_others() -> None:
    """Many machines tried on a few ports at the same time do not get the blame."""
    others = [(f"10.1.0.{last}", port) for last in range(1, 9) for port in (21, 22, 23, 80, 443)]
    targets = [*others, *((PLC.ip, port) for port in range(1, 60))]
    told = fired(attempts(STATION, targets, step_ns=SECOND_NS // 50))["port-scan"]

    assert ([PLC.ip], 59) == (told.destinations, told.count)


def test_stays_silent_for_one_port_less() -> None:
    """24 ports are no scan."""
    assert not fired(attempts(STATION, [(PLC.ip, port) for port in range(1000, 1024)]))


def test_stays_silent_for_one_port_tried_often() -> None:
    """A client that cannot reach its server tries one port again and again."""
    assert not fired(attempts(STATION, [(PLC.ip, 1000)] * 40))
