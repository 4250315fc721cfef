"""`dnp3-restarted`: an outstation started again."""

import struct

from support.alerts import Said, fired
from support.frames import HMI, PLC
from support.messages import DNP3_CLASS_1, dnp3, dnp3_talk


def test_fires_when_the_bit_is_set() -> None:
    """The outstation says it (device restart, IIN1.7); its indications are cited."""
    assert {
        "dnp3-restarted": Said(
            "minor",
            [PLC.ip],
            [HMI.ip],
            1,
            "10.0.0.1 restarted (outstation 10).",
            [struct.pack(">H", 0x8000)],
        )
    } == fired(dnp3_talk(dnp3(1, DNP3_CLASS_1, iin=0x8000)))


def test_counts_once_while_the_bit_stays() -> None:
    """The bit stands in every response until it is cleared: that is one time."""
    polls = [dnp3(1, DNP3_CLASS_1, iin=0x8000, sequence=number) for number in range(5)]

    assert 1 == fired(dnp3_talk(*polls))["dnp3-restarted"].count


def test_stays_silent_for_another_bit() -> None:
    """An outstation that asks for the time (IIN1.4) did not restart."""
    assert not fired(dnp3_talk(dnp3(1, DNP3_CLASS_1, iin=0x1000)))
