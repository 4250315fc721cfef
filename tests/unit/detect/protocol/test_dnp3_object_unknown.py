"""`dnp3-object-unknown`: a master asks an outstation for objects that it does not have."""

import struct

from support.alerts import Said, fired
from support.frames import HMI, PLC
from support.messages import dnp3, dnp3_talk


def test_fires_when_the_outstation_refuses() -> None:
    """IIN2.1 of the response says so; the function asked for is named, the asker the source."""
    assert {
        "dnp3-object-unknown": Said(
            "major",
            [HMI.ip],
            [PLC.ip],
            1,
            "10.0.0.1 does not have the objects that 10.0.0.2 asked for"
            " (delay-measurement, outstation 10).",
            [struct.pack(">H", 0x0002)],
        )
    } == fired(dnp3_talk(dnp3(23, iin=0x0002)))


def test_counts_each_refusal() -> None:
    """Three refused requests are three, though the bits are the same."""
    asked = [dnp3(23, iin=0x0002, sequence=number) for number in range(3)]

    assert 3 == fired(dnp3_talk(*asked))["dnp3-object-unknown"].count


def test_fires_once_for_a_refused_operation() -> None:
    """A refused control is told here with its reason, not once more as refused."""
    point = bytes([12, 1, 0x17, 1, 3, 3, 1, 100, 0, 0, 0, 100, 0, 0, 0, 0])

    assert {"dnp3-object-unknown"} == fired(dnp3_talk(dnp3(5, point, iin=0x0002))).keys()


def test_stays_silent_for_an_answered_request() -> None:
    """A response without these bits refuses nothing."""
    assert not fired(dnp3_talk(dnp3(23, iin=0x0200)))
