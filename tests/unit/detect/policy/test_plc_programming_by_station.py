"""`plc-programming-by-station`: a flagged programming station writes a program to a controller."""

from support.alerts import fired, flagged
from support.frames import PLC, STATION
from support.messages import s7_download, s7_read, s7_talk

OURS = flagged(STATION, "programming station")


def test_fires_once_for_a_flagged_station() -> None:
    """The download is on record, as a warning."""
    alert = fired(s7_talk(*s7_download(), client=STATION), settings=OURS)

    assert {"plc-programming-by-station"} == alert.keys()
    told = alert["plc-programming-by-station"]
    assert ("warning", [STATION.ip], [PLC.ip], 4) == (
        told.severity,
        told.sources,
        told.destinations,
        told.count,
    )
    assert (
        "10.0.0.3 wrote a program to 10.0.0.1 (s7comm: download-block, download-ended,"
        " pi-service-insert-block, request-download)." == told.text
    )
    assert [0x1A, 0x1B, 0x1C, 0x28] == [cited[10] for cited in told.cited]


def test_stays_silent_for_other_hosts() -> None:
    """Who is not flagged is told by the louder rule."""
    assert {"plc-programming"} == fired(s7_talk(*s7_download()), settings=OURS).keys()


def test_stays_silent_for_a_station_that_reads() -> None:
    """Reading a data block programs nothing."""
    assert not fired(s7_talk(s7_read(), client=STATION), settings=OURS)
