"""`address-conflict`: several machines on one link hold the same IP address at once."""

from support.alerts import Said, fired
from support.frames import HMI, PLC, SECOND_NS, START_NS, STATION, Host, arp


def says(host: Host, second: int) -> tuple[int, bytes]:
    """A machine that says by ARP that it has the controller's address."""
    return START_NS + second * SECOND_NS, arp(host.mac, PLC.ip, HMI.ip)


def test_fires_when_both_go_on_to_use_the_address() -> None:
    """Both cards are named, and what tells them apart; each one's claim is cited."""
    assert {
        "address-conflict": Said(
            "major",
            [PLC.mac],
            [STATION.mac],
            1,
            "10.0.0.1 is used by 02:00:00:00:00:01, 02:00:00:00:00:03; tell them apart by: none.",
            [
                bytes([2, 0, 0, 0, 0, 1, 10, 0, 0, 1]),
                bytes([2, 0, 0, 0, 0, 3, 10, 0, 0, 1]),
            ],
        )
    } == fired([says(PLC, 0), says(STATION, 1), says(PLC, 2)])


def test_stays_silent_when_an_address_moved() -> None:
    """A machine that was replaced speaks no more once the new one has its address."""
    assert not fired([says(PLC, 0), says(PLC, 1), says(STATION, 2), says(STATION, 3)])
