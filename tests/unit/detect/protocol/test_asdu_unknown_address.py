"""`asdu-unknown-address`: a controlled station does not know a common address."""

from support.alerts import Said, fired
from support.frames import HMI, PLC
from support.messages import apdu, asdu, iec104_talk

COMMAND = asdu(45, 6, b"\x01")


def test_fires_for_cause_46() -> None:
    """Cause of transmission 46 says so; the refusal is cited, the sender is the source."""
    refusal = asdu(45, 46, b"\x01", negative=True)

    assert {
        "asdu-unknown-address": Said(
            "major",
            [HMI.ip],
            [PLC.ip],
            1,
            "10.0.0.1 does not know the common address 1 that 10.0.0.2 sent (type 45).",
            [apdu(refusal)],
        )
    } == fired(iec104_talk((COMMAND, refusal)))


def test_stays_silent_for_another_refusal() -> None:
    """Each refusal is told once, by its own rule."""
    refusal = asdu(45, 47, b"\x01", negative=True)

    assert {"asdu-unknown-object"} == fired(iec104_talk((COMMAND, refusal))).keys()


def test_stays_silent_for_a_confirmation() -> None:
    """A command that is carried out was known."""
    assert not fired(iec104_talk((COMMAND, asdu(45, 7, b"\x01"))))
