"""`cip-service`: a pair uses a CIP service that was not learned."""

import struct

from otic.plant import messages as m
from support.alerts import Said, fired
from support.frames import HMI, PLC, STATION
from support.messages import cip, cip_path, cip_read_tag, enip_talk, modbus_read, talk

NORMAL = enip_talk(cip_read_tag())
CLOCK = cip_path(0x8B, 1) + b"\x30\x05"


def test_fires_once_for_a_new_service() -> None:
    """Reading an attribute is new for a pair that read tags; what carries it is no other cause."""
    assert {
        "cip-service": Said(
            "major",
            [HMI.ip],
            [PLC.ip],
            1,
            "10.0.0.2 → 10.0.0.1: get-attribute-single.",
            [m.cip(0x0E, CLOCK)],
        )
    } == fired(enip_talk(cip_read_tag(), cip(0x0E, CLOCK, answer=bytes(4))), learn=NORMAL)


def test_fires_once_for_a_pair_that_never_talked() -> None:
    """Session, envelope and connection of a new pair are told with what they carry."""
    stranger = enip_talk(cip_read_tag(), client=STATION)
    seen = talk(modbus_read(), client=STATION, server=HMI, port=502)

    assert {"cip-service"} == fired(stranger, learn=NORMAL + seen).keys()


def test_stays_silent_for_the_learned_service() -> None:
    """Another tag is told as such."""
    assert {"cip-object"} == fired(enip_talk(cip_read_tag("Torque")), learn=NORMAL).keys()


def test_stays_silent_where_the_service_is_a_first_write() -> None:
    """A write is told as the first write it is."""
    write = cip(0x4D, m.cip_tag("Speed"), struct.pack("<HHf", 0xCA, 1, 3.5))

    assert {"first-write"} == fired(enip_talk(write), learn=NORMAL).keys()
