"""`s7-data-block`: a pair reads or writes a data block that was not learned."""

from otic.plant import messages as m
from support.alerts import Said, fired
from support.frames import HMI, PLC
from support.messages import s7_read, s7_talk

NORMAL = s7_talk(s7_read(10))


def test_fires_for_another_block() -> None:
    """The same function on another block is told once, with the block."""
    request, answer = s7_read(11, reference=3)

    assert {
        "s7-data-block": Said(
            "warning",
            [HMI.ip],
            [PLC.ip],
            1,
            "10.0.0.2 → 10.0.0.1: read-var, DB 11: 0-15.",
            [request[7:]],
        )
    } == fired(s7_talk(s7_read(10), (request, answer)), learn=NORMAL)


def test_stays_silent_for_the_learned_block() -> None:
    """The same bytes again are known."""
    assert not fired(s7_talk(s7_read(10, reference=9)), learn=NORMAL)


def test_stays_silent_for_another_status_list() -> None:
    """A status list is no data block."""
    lists = [
        (m.s7(7, 5, *m.s7_status_question(number)), m.s7(7, 5, *m.s7_status_answer(number, 28, [])))
        for number in (0x0011, 0x001C)
    ]
    learn = s7_talk(s7_read(10), lists[0])

    assert not fired(s7_talk(s7_read(10), lists[1]), learn=learn)
