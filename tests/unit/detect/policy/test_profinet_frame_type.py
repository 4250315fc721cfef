"""`profinet-frame-type`: a pair exchanges a class of PROFINET frames that was not learned."""

from support.alerts import fired
from support.frames import HMI, PLC
from support.industrial import PROFINET_ALARM, between, profinet_data

NORMAL = between((profinet_data(), profinet_data(0x8002)))


def test_fires_for_an_alarm_where_only_data_were_learned() -> None:
    """Alarms of a device that sent none while learning are another class of frames."""
    alarm = between((PROFINET_ALARM,), client=PLC, server=HMI)
    alerts = fired(NORMAL + alarm, learn=NORMAL)

    assert {"profinet-frame-type"} == alerts.keys()
    alert = alerts["profinet-frame-type"]
    assert ("major", [PLC.mac], [HMI.mac]) == (alert.severity, alert.sources, alert.destinations)
    assert alert.text.endswith(": alarm-high.")
    assert alert.cited == [b"\xfc\x01"]


def test_stays_silent_for_another_frame_id_of_the_class() -> None:
    """The controller chooses frame ids anew with each connection."""
    assert not fired(between((profinet_data(0x8003), profinet_data(0x8004))), learn=NORMAL)
