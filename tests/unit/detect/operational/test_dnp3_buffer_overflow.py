"""`dnp3-buffer-overflow`: an outstation lost events because its buffer was full."""

import struct

from support.alerts import Said, fired
from support.frames import HMI, PLC
from support.messages import DNP3_CLASS_1, dnp3, dnp3_talk


def test_fires_when_the_bit_is_set() -> None:
    """The outstation says it (event buffer overflow, IIN2.3); its indications are cited."""
    assert {
        "dnp3-buffer-overflow": Said(
            "major",
            [PLC.ip],
            [HMI.ip],
            1,
            "10.0.0.1 lost events: its buffer was full (outstation 10).",
            [struct.pack(">H", 0x0008)],
        )
    } == fired(dnp3_talk(dnp3(1, DNP3_CLASS_1, iin=0x0008)))


def test_counts_once_while_the_bit_stays() -> None:
    """The bit stands in every response until it is cleared: that is one time."""
    polls = [dnp3(1, DNP3_CLASS_1, iin=0x0008, sequence=number) for number in range(5)]

    assert 1 == fired(dnp3_talk(*polls))["dnp3-buffer-overflow"].count


def test_stays_silent_for_another_bit() -> None:
    """Class 1 events are waiting (IIN1.1): the buffer holds them."""
    assert not fired(dnp3_talk(dnp3(1, DNP3_CLASS_1, iin=0x0200)))
