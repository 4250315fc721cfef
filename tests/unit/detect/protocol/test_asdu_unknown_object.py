"""`asdu-unknown-object`: a controlled station does not know an information object."""

from support.alerts import Said, fired
from support.frames import HMI, PLC
from support.messages import apdu, asdu, iec104_talk

COMMAND = asdu(45, 6, b"\x01")


def test_fires_for_cause_47() -> None:
    """Cause of transmission 47 says so; the refusal is cited, the sender is the source."""
    refusal = asdu(45, 47, b"\x01", negative=True)

    assert {
        "asdu-unknown-object": Said(
            "major",
            [HMI.ip],
            [PLC.ip],
            1,
            "10.0.0.1 does not know the information object that 10.0.0.2 sent"
            " (type 45, common address 1).",
            [apdu(refusal)],
        )
    } == fired(iec104_talk((COMMAND, refusal)))


def test_stays_silent_for_another_refusal() -> None:
    """Each refusal is told once, by its own rule."""
    refusal = asdu(45, 44, b"\x01", negative=True)

    assert {"asdu-unknown-type"} == fired(iec104_talk((COMMAND, refusal))).keys()


def test_stays_silent_for_a_confirmation() -> None:
    """A command that is carried out was known."""
    assert not fired(iec104_talk((COMMAND, asdu(45, 7, b"\x01"))))
