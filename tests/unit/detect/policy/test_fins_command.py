"""`fins-command`: a pair uses a FINS command that was not learned."""

from support.alerts import Said, fired
from support.frames import HMI, PLC
from support.industrial import FINS_READ, fins, fins_talk

NORMAL = fins_talk(FINS_READ)
CLOCK = fins(0x0701, answer=bytes(7))


def test_fires_for_a_new_command() -> None:
    """Reading the clock is new for a client that read memory."""
    assert {
        "fins-command": Said(
            "major", [HMI.ip], [PLC.ip], 1, "10.0.0.2 → 10.0.0.1: clock-read.", [b"\x07\x01"]
        )
    } == fired(fins_talk(FINS_READ, CLOCK), learn=NORMAL)


def test_stays_silent_for_a_learned_command() -> None:
    """The same command on another word is no other command."""
    other = fins(0x0101, bytes([0x82, 0, 200, 0, 0, 1]), b"\0\7")

    assert not fired(fins_talk(other), learn=NORMAL)


def test_stays_silent_where_a_stop_says_more() -> None:
    """A command that stops the controller is told as that."""
    assert {"controller-stop"} == fired(fins_talk(fins(0x0402)), learn=NORMAL).keys()
