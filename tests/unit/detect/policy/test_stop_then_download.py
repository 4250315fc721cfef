"""`stop-then-download`: a controller is stopped and given another program by the same machine."""

from otic.plant import messages as m
from support.alerts import fired
from support.frames import HMI, PLC, SECOND_NS, START_NS, STATION
from support.messages import cip, cip_path, cip_read_tag, enip_talk, s7_download, s7_job, s7_talk

STOP, START = s7_job(m.S7_STOP, 9), s7_job(m.S7_START, 12)


def test_fires_once_for_the_whole_work() -> None:
    """Stop, download and start are one alert; five of its six steps are what it looks for."""
    alert = fired(s7_talk(STOP, *s7_download(), START))

    assert {"stop-then-download"} == alert.keys()
    told = alert["stop-then-download"]
    assert ("critical", [HMI.ip], [PLC.ip], 5) == (
        told.severity,
        told.sources,
        told.destinations,
        told.count,
    )
    assert (
        "10.0.0.2 stopped 10.0.0.1 and then wrote a program to it (s7comm: plc-stop,"
        " download-block, download-ended, pi-service-insert-block, pi-service-start,"
        " request-download)." == told.text
    )
    assert [0x29, 0x1A, 0x1B, 0x1C, 0x28, 0x28] == [cited[10] for cited in told.cited]


def test_fires_once_for_a_logix_controller() -> None:
    """Stop, new program, its attributes, restart and start of a Logix controller, too."""
    program = cip_path(0x68, 1)
    work = [
        cip(0x07, cip_path(0x8E, 1)),
        cip(0x08, program),
        cip(0x04, program, b"\1\0\1\0\0\0"),
        cip(0x05, cip_path(0x72, 1)),
        cip(0x06, cip_path(0x8E, 1)),
    ]
    alert = fired(enip_talk(cip_read_tag(), *work), learn=enip_talk(cip_read_tag()))

    assert {"stop-then-download"} == alert.keys()
    assert 2 == alert["stop-then-download"].count


def test_stays_silent_when_more_than_ten_minutes_lie_between() -> None:
    """A stop yesterday and a download today are two things."""
    stopped = s7_talk(STOP)
    later = s7_talk(*s7_download(), at_ns=START_NS + 601 * SECOND_NS)

    assert {"s7-stop", "plc-programming"} == fired(stopped + later).keys()


def test_stays_silent_when_two_machines_did_it() -> None:
    """A stop by one and a download by another are told apart."""
    download = s7_talk(*s7_download(), client=STATION, at_ns=START_NS + SECOND_NS)
    alert = fired(s7_talk(STOP) + download)

    assert {"s7-stop", "plc-programming"} == alert.keys()


def test_stays_silent_for_a_download_before_a_stop() -> None:
    """The order matters: a stop after the download is a stop."""
    alert = fired(s7_talk(*s7_download(), STOP))

    assert {"s7-stop", "plc-programming"} == alert.keys()


def test_stays_silent_after_sign_off() -> None:
    """Work that a named person signed off for this pair is no alert."""
    work = s7_talk(STOP, *s7_download(), START)

    assert not fired(work, learn=work, sign=True)
