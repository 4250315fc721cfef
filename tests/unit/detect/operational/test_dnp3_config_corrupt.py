"""`dnp3-config-corrupt`: an outstation says that its configuration is damaged."""

import struct

from support.alerts import Said, fired
from support.frames import HMI, PLC
from support.messages import DNP3_CLASS_1, dnp3, dnp3_talk


def test_fires_when_the_bit_is_set() -> None:
    """The outstation says it (configuration corrupt, IIN2.5); its indications are cited."""
    assert {
        "dnp3-config-corrupt": Said(
            "major",
            [PLC.ip],
            [HMI.ip],
            1,
            "10.0.0.1 says that its configuration is damaged (outstation 10).",
            [struct.pack(">H", 0x0020)],
        )
    } == fired(dnp3_talk(dnp3(1, DNP3_CLASS_1, iin=0x0020)))


def test_counts_once_while_the_bit_stays() -> None:
    """The bit stands in every response until it is cleared: that is one time."""
    polls = [dnp3(1, DNP3_CLASS_1, iin=0x0020, sequence=number) for number in range(5)]

    assert 1 == fired(dnp3_talk(*polls))["dnp3-config-corrupt"].count


def test_stays_silent_for_another_bit() -> None:
    """An operation that is still going on (IIN2.4) damages nothing."""
    assert not fired(dnp3_talk(dnp3(1, DNP3_CLASS_1, iin=0x0010)))
