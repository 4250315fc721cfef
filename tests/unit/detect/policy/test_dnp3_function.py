"""`dnp3-function`: a pair uses a DNP3 function that was not learned."""

from support.alerts import Said, fired
from support.frames import HMI, PLC
from support.messages import DNP3_CLASS_1, dnp3, dnp3_frame, dnp3_request, dnp3_talk

POLL = dnp3(1, DNP3_CLASS_1)
NORMAL = dnp3_talk(POLL)


def test_fires_for_a_new_function() -> None:
    """Delay measurement is new for a master that only read."""
    assert {
        "dnp3-function": Said(
            "major",
            [HMI.ip],
            [PLC.ip],
            1,
            "10.0.0.2 → 10.0.0.1, dnp3 10: delay-measurement.",
            [b"\xc1\x17"],
        )
    } == fired(dnp3_talk(POLL, dnp3(23, sequence=1)), learn=NORMAL)


def test_stays_silent_for_confirms() -> None:
    """A confirm belongs to the response before it."""
    assert not fired(dnp3_talk(POLL, (dnp3_request(0, sequence=1),)), learn=NORMAL)


def test_stays_silent_for_the_link_layer() -> None:
    """A link that asks whether the other end is there does nothing to it."""
    status = dnp3_frame(0xC9, 10, 1), dnp3_frame(0x0B, 1, 10)

    assert not fired(dnp3_talk(POLL, status), learn=NORMAL)


def test_stays_silent_where_the_function_is_a_restart() -> None:
    """A restart is told as the reset it is."""
    assert {"controller-reset"} == fired(dnp3_talk(POLL, dnp3(13)), learn=NORMAL).keys()
