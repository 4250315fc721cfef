"""`s7-function`: a pair uses an S7 function that was not learned."""

from otic.plant import messages as m
from support.alerts import Said, fired
from support.frames import HMI, PLC
from support.messages import s7_read, s7_talk, talk

NORMAL = s7_talk(s7_read())
STATUS = (
    m.s7(7, 5, *m.s7_status_question(0x0011)),
    m.s7(7, 5, *m.s7_status_answer(0x0011, 28, [])),
)


def test_fires_for_a_new_function() -> None:
    """Reading a status list is new for a client that read data blocks."""
    assert {
        "s7-function": Said(
            "major",
            [HMI.ip],
            [PLC.ip],
            1,
            "10.0.0.2 → 10.0.0.1: read-szl.",
            [STATUS[0][7:]],
        )
    } == fired(s7_talk(s7_read(), STATUS), learn=NORMAL)


def test_stays_silent_for_the_learned_function() -> None:
    """Another block is told as such."""
    assert {"s7-data-block"} == fired(s7_talk(s7_read(11)), learn=NORMAL).keys()


def test_stays_silent_for_a_session_that_begins_anew() -> None:
    """Set-up of a session that was joined in its middle while learning is no new function."""
    middle = talk(s7_read(), port=102)

    assert not fired(NORMAL, learn=middle)
