"""`asdu-unknown-cause`: a controlled station does not know a cause of transmission."""

from support.alerts import Said, fired
from support.frames import HMI, PLC
from support.messages import apdu, asdu, iec104_talk

COMMAND = asdu(45, 6, b"\x01")


def test_fires_for_cause_45() -> None:
    """Cause of transmission 45 says so; the refusal is cited, the sender is the source."""
    refusal = asdu(45, 45, b"\x01", negative=True)

    assert {
        "asdu-unknown-cause": Said(
            "major",
            [HMI.ip],
            [PLC.ip],
            1,
            "10.0.0.1 does not know the cause of transmission that 10.0.0.2 sent"
            " (type 45, common address 1).",
            [apdu(refusal)],
        )
    } == fired(iec104_talk((COMMAND, refusal)))


def test_stays_silent_for_another_refusal() -> None:
    """Each refusal is told once, by its own rule."""
    refusal = asdu(45, 46, b"\x01", negative=True)

    assert {"asdu-unknown-address"} == fired(iec104_talk((COMMAND, refusal))).keys()


def test_stays_silent_for_a_confirmation() -> None:
    """A command that is carried out was known."""
    assert not fired(iec104_talk((COMMAND, asdu(45, 7, b"\x01"))))
