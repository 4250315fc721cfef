"""`controller-stop`: a controller that is no Siemens one is told to stop."""

from otic.plant import messages as m
from support.alerts import Said, fired
from support.frames import HMI, PLC
from support.messages import cip, cip_path, dnp3, dnp3_talk, enip_talk, s7_job, s7_talk


def test_fires_for_a_cip_stop() -> None:
    """CIP's service 7 stops an object."""
    assert {
        "controller-stop": Said(
            "major",
            [HMI.ip],
            [PLC.ip],
            1,
            "10.0.0.2 told 10.0.0.1 to stop (cip: stop).",
            [m.cip(0x07, cip_path(0x8E, 1))],
        )
    } == fired(enip_talk(cip(0x07, cip_path(0x8E, 1))))


def test_fires_for_a_dnp3_stop() -> None:
    """DNP3's function 18 stops an application."""
    alert = fired(dnp3_talk(dnp3(18)))

    assert {"controller-stop"} == alert.keys()


def test_stays_silent_for_an_s7_stop() -> None:
    """The stop of a Siemens controller has its own rule and is told once."""
    assert {"s7-stop"} == fired(s7_talk(s7_job(m.S7_STOP))).keys()


def test_stays_silent_for_a_refused_stop() -> None:
    """A refused stop is told as refused."""
    refused = cip(0x07, cip_path(0x8E, 1), status=0x10)

    assert {"guarded-refused"} == fired(enip_talk(refused)).keys()
