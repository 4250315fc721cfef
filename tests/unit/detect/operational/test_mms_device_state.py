"""`mms-device-state`: a device says by MMS that it is not fully operational."""

from support.alerts import Said, fired
from support.frames import HMI, PLC
from support.industrial import ber, mms_status, mms_talk


def test_fires_for_an_inoperable_device() -> None:
    """The physical state 2 is inoperable; both states are cited."""
    assert {
        "mms-device-state": Said(
            "major",
            [PLC.ip],
            [HMI.ip],
            1,
            "10.0.0.1 says that it is inoperable (state-changes-allowed).",
            [ber(0x80, b"\0") + ber(0x81, b"\2")],
        )
    } == fired(mms_talk(mms_status(physical=2)))


def test_stays_silent_for_an_operational_device() -> None:
    """A device that is asked how it is and is well says nothing of note."""
    assert not fired(mms_talk(mms_status()))
