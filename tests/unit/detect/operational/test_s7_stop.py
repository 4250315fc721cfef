"""`s7-stop`: a Siemens controller is told to stop."""

from otic.plant import messages as m
from support.alerts import Said, fired
from support.frames import HMI, PLC
from support.messages import s7_job, s7_read, s7_refused, s7_talk


def test_fires_for_the_stop_job() -> None:
    """Job function 0x29 stops the controller."""
    request, answer = s7_job(m.S7_STOP)

    assert {
        "s7-stop": Said(
            "major",
            [HMI.ip],
            [PLC.ip],
            1,
            "10.0.0.2 told 10.0.0.1 to stop (plc-stop).",
            [request[7:]],
        )
    } == fired(s7_talk((request, answer)))


def test_stays_silent_for_a_refused_stop() -> None:
    """A refused stop is told as refused."""
    assert {"guarded-refused"} == fired(s7_talk(s7_refused(m.S7_STOP))).keys()


def test_stays_silent_for_a_read() -> None:
    """Reading a data block stops nothing."""
    assert not fired(s7_talk(s7_read()))
