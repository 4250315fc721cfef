"""`dnp3-reserved-flags`: an outstation sets indications that the standard reserves."""

import struct

import pytest

from support.alerts import Said, fired
from support.frames import HMI, PLC
from support.messages import DNP3_CLASS_1, dnp3, dnp3_talk


@pytest.mark.parametrize("bit", [0x0040, 0x0080])
def test_fires_for_a_reserved_bit(bit: int) -> None:
    """IIN2.6 and IIN2.7 are reserved; that is told once, not as malformed again."""
    assert {
        "dnp3-reserved-flags": Said(
            "warning",
            [PLC.ip],
            [HMI.ip],
            1,
            "10.0.0.1 sets indications that the standard reserves.",
            [struct.pack(">H", bit)],
        )
    } == fired(dnp3_talk(dnp3(1, DNP3_CLASS_1, iin=bit)))


def test_stays_silent_for_all_bits_in_use_that_are_no_fault() -> None:
    """All stations, event classes, time and local control are in use."""
    assert not fired(dnp3_talk(dnp3(1, DNP3_CLASS_1, iin=0x3F00)))
