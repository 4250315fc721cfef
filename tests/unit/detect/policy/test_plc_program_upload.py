"""`plc-program-upload`: a host that is no programming station reads out a program."""

from support.alerts import Said, fired, flagged
from support.frames import HMI, PLC, STATION
from support.messages import s7_read, s7_talk, s7_upload


def test_fires_once_for_an_upload() -> None:
    """Start, block and end of an upload are one piece of work."""
    alert = fired(s7_talk(*s7_upload()))

    assert {"plc-program-upload"} == alert.keys()
    assert alert["plc-program-upload"] == Said(
        "major",
        [HMI.ip],
        [PLC.ip],
        3,
        "10.0.0.2 read the program of 10.0.0.1 (s7comm: upload, end-upload, start-upload).",
        [request[7:] for request, _ in s7_upload()],
    )


def test_stays_silent_for_a_programming_station() -> None:
    """Saving a program is a programming station's work."""
    upload = s7_talk(*s7_upload(), client=STATION)

    assert not fired(upload, settings=flagged(STATION, "programming station"))


def test_stays_silent_for_a_read_of_data() -> None:
    """A data block's values are no program."""
    assert not fired(s7_talk(s7_read()))
