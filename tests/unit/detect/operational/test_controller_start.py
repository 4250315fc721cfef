"""`controller-start`: a controller is told to run."""

from otic.plant import messages as m
from support.alerts import Said, fired
from support.frames import HMI, PLC
from support.messages import cip, cip_path, enip_talk, s7_job, s7_refused, s7_talk


def test_fires_for_an_s7_start() -> None:
    """The program invocation service P_PROGRAM starts the controller."""
    assert {
        "controller-start": Said(
            "minor",
            [HMI.ip],
            [PLC.ip],
            1,
            "10.0.0.2 told 10.0.0.1 to start (s7comm: pi-service-start).",
            [m.s7(1, 3, m.S7_START)[7:]],
        )
    } == fired(s7_talk(s7_job(m.S7_START)))


def test_fires_for_a_cip_start() -> None:
    """CIP's service 6 starts an object."""
    alert = fired(enip_talk(cip(0x06, cip_path(0x8E, 1))))

    assert {"controller-start"} == alert.keys()


def test_stays_silent_for_another_invocation() -> None:
    """Compressing the memory is a program invocation that starts nothing."""
    compress = m.S7_START[:-11] + b"\0\0\x05_GARB"

    assert not fired(s7_talk(s7_job(compress)))


def test_stays_silent_for_a_refused_start() -> None:
    """A refused start is told as refused."""
    assert {"guarded-refused"} == fired(s7_talk(s7_refused(m.S7_START))).keys()
