"""`mms-service`: a pair uses an MMS service that was not learned."""

from support.alerts import fired
from support.frames import HMI, PLC
from support.industrial import mms_read, mms_status, mms_talk

NORMAL = mms_talk(mms_read())


def test_fires_for_a_new_service() -> None:
    """The question for the device's state is new for a client that read values."""
    alerts = fired(mms_talk(mms_read(), mms_status()), learn=NORMAL)

    assert {"mms-service"} == alerts.keys()
    alert = alerts["mms-service"]
    assert ("major", [HMI.ip], [PLC.ip], 1) == (
        alert.severity,
        alert.sources,
        alert.destinations,
        alert.count,
    )
    assert alert.text == "10.0.0.2 → 10.0.0.1: status."


def test_stays_silent_for_a_learned_service() -> None:
    """A read of another variable is the same service."""
    assert not fired(mms_talk(mms_read("LLN0$ST$Beh$stVal")), learn=NORMAL)
