"""`bacnet-object`: a known BACnet service touches an object that was not learned."""

from support.alerts import Said, fired
from support.frames import HMI, PLC
from support.messages import BACNET_READ_RANGE, bacnet_read, bacnet_talk

NORMAL = bacnet_talk(bacnet_read(1))


def test_fires_for_another_object() -> None:
    """A read of another input is the same service on a new object: told once, here."""
    request, answer = bacnet_read(2)

    assert {
        "bacnet-object": Said(
            "major",
            [HMI.ip],
            [PLC.ip],
            1,
            "10.0.0.2 → 10.0.0.1: read-property, analog-input 2 present-value.",
            [request],
        )
    } == fired(bacnet_talk(bacnet_read(1), (request, answer)), learn=NORMAL)


def test_stays_silent_for_the_learned_object() -> None:
    """The same read again is known, whatever its invoke id."""
    assert not fired(bacnet_talk(bacnet_read(1, invoke=9)), learn=NORMAL)


def test_stays_silent_where_the_service_is_new() -> None:
    """A new service names its object in its own alert."""
    assert {"bacnet-service"} == fired(bacnet_talk((BACNET_READ_RANGE,)), learn=NORMAL).keys()
