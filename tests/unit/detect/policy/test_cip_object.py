"""`cip-object`: a known CIP service touches an object or tag that was not learned."""

from otic.plant import messages as m
from support.alerts import Said, fired
from support.frames import HMI, PLC
from support.messages import cip, cip_path, cip_read_tag, enip_talk

NORMAL = enip_talk(cip_read_tag("Speed"))


def test_fires_for_another_tag() -> None:
    """Reading another tag is the same service on a new object."""
    assert {
        "cip-object": Said(
            "major",
            [HMI.ip],
            [PLC.ip],
            1,
            "10.0.0.2 → 10.0.0.1: read-tag, Torque.",
            [m.cip(0x4C, m.cip_tag("Torque"))],
        )
    } == fired(enip_talk(cip_read_tag("Speed"), cip_read_tag("Torque")), learn=NORMAL)


def test_stays_silent_for_the_learned_tag() -> None:
    """The same read again is known."""
    assert not fired(enip_talk(cip_read_tag("Speed")), learn=NORMAL)


def test_stays_silent_where_the_service_is_new() -> None:
    """A new service names its object in its own alert."""
    new = cip(0x0E, cip_path(0x8B, 1) + b"\x30\x05", answer=bytes(4))

    assert {"cip-service"} == fired(enip_talk(new), learn=NORMAL).keys()
