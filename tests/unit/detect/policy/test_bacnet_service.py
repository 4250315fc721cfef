"""`bacnet-service`: a pair uses a BACnet service that was not learned."""

from support.alerts import Said, fired
from support.frames import BROADCAST, HMI, PLC, Host
from support.messages import BACNET_I_AM, BACNET_READ_RANGE, bacnet_read, bacnet_talk

NORMAL = bacnet_talk(bacnet_read(1))
EVERYONE = Host(mac=BROADCAST, ip="255.255.255.255")


def test_fires_for_a_new_service() -> None:
    """Reading a trend log is new for a pair that read properties."""
    assert {
        "bacnet-service": Said(
            "major",
            [HMI.ip],
            [PLC.ip],
            1,
            "10.0.0.2 → 10.0.0.1: read-range.",
            [BACNET_READ_RANGE],
        )
    } == fired(bacnet_talk(bacnet_read(1), (BACNET_READ_RANGE,)), learn=NORMAL)


def test_stays_silent_for_a_learned_service() -> None:
    """The same service on another object is told as such."""
    assert {"bacnet-object"} == fired(bacnet_talk(bacnet_read(2)), learn=NORMAL).keys()


def test_stays_silent_for_answers_to_who_is() -> None:
    """Who answers a question to all did nothing of its own."""
    answer = bacnet_talk((BACNET_I_AM,), client=PLC, server=EVERYONE)

    assert not fired(NORMAL + answer, learn=NORMAL)
