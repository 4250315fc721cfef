"""`asdu-negative`: a controlled station does not carry out a command."""

import pytest

from support.alerts import Said, fired
from support.frames import HMI, PLC
from support.messages import apdu, asdu, iec104_talk

COMMAND = asdu(45, 6, b"\x01")


@pytest.mark.parametrize("cause", [7, 9, 10])
def test_fires_for_a_negative_confirmation(cause: int) -> None:
    """Confirmations (7, 9) and terminations (10) with the P/N bit say no."""
    no = asdu(45, cause, b"\x01", negative=True)

    assert {
        "asdu-negative": Said(
            "minor",
            [HMI.ip],
            [PLC.ip],
            1,
            "10.0.0.1 did not carry out a command of 10.0.0.2"
            f" (cause {cause}, type 45, common address 1).",
            [apdu(no)],
        )
    } == fired(iec104_talk((COMMAND, no)))


def test_stays_silent_for_a_positive_confirmation() -> None:
    """A command that is carried out is none."""
    assert not fired(iec104_talk((COMMAND, asdu(45, 7, b"\x01"))))


def test_stays_silent_for_the_bit_in_a_command() -> None:
    """In an activation the bit says nothing (IEC 60870-5-101 §7.2.3)."""
    odd = asdu(45, 6, b"\x01", negative=True)

    assert not fired(iec104_talk((odd, asdu(45, 7, b"\x01"))))
