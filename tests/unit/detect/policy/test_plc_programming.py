"""`plc-programming`: a host that is no programming station writes a program to a controller."""

from otic.plant import messages as m
from support.alerts import fired, flagged
from support.frames import HMI, PLC, SECOND_NS, START_NS, STATION
from support.messages import s7_download, s7_job, s7_read, s7_talk, s7_upload


def test_fires_once_for_a_download_and_the_start_after_it() -> None:
    """Request, blocks, insertion and the start are one piece of work; four of them wrote."""
    alert = fired(s7_talk(*s7_download(), s7_job(m.S7_START, 12)))

    assert {"plc-programming"} == alert.keys()
    told = alert["plc-programming"]
    assert ("critical", [HMI.ip], [PLC.ip], 4) == (
        told.severity,
        told.sources,
        told.destinations,
        told.count,
    )
    assert (
        "10.0.0.2 wrote a program to 10.0.0.1 (s7comm: download-block, download-ended,"
        " pi-service-insert-block, pi-service-start, request-download)." == told.text
    )
    assert [0x1A, 0x1B, 0x1C, 0x28, 0x28] == [cited[10] for cited in told.cited]


def test_fires_alone_for_a_station_that_never_wrote() -> None:
    """With a baseline, new functions and the first write are the same cause."""
    alert = fired(s7_talk(s7_read(), *s7_download()), learn=s7_talk(s7_read()))

    assert {"plc-programming"} == alert.keys()


def test_what_happens_much_later_is_told_apart() -> None:
    """A start between two downloads, but far from both, belongs to neither."""
    first = s7_talk(*s7_download())
    start = s7_talk(s7_job(m.S7_START, 12), at_ns=START_NS + 1000 * SECOND_NS)
    second = s7_talk(*s7_download("_0800002P"), at_ns=START_NS + 2000 * SECOND_NS)
    alert = fired(first + start + second)

    assert {"plc-programming", "controller-start"} == alert.keys()
    assert 8 == alert["plc-programming"].count


def test_stays_silent_for_a_programming_station() -> None:
    """A flagged station's download is told, less loudly, by another rule."""
    download = s7_talk(*s7_download(), client=STATION)

    assert {"plc-programming-by-station"} == fired(
        download, settings=flagged(STATION, "programming station")
    ).keys()


def test_stays_silent_for_an_upload() -> None:
    """The other way round, nothing is written."""
    assert {"plc-program-upload"} == fired(s7_talk(*s7_upload())).keys()
