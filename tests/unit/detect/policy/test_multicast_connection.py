"""`multicast-connection`: a machine sends an industrial protocol to a group anew."""

from support.alerts import Said, fired
from support.frames import BROADCAST, HMI, PLC, Host
from support.messages import BACNET_I_AM, BACNET_WHO_IS, bacnet_read, bacnet_talk

NORMAL = bacnet_talk(bacnet_read(1))
EVERYONE = Host(mac=BROADCAST, ip="255.255.255.255")
QUESTION = bacnet_talk((BACNET_WHO_IS,), server=EVERYONE)


def test_fires_once_for_a_question_to_all() -> None:
    """Who asks all devices who they are looks for devices; the service is told with it."""
    assert {
        "multicast-connection": Said(
            "critical",
            [HMI.ip],
            [EVERYONE.ip],
            1,
            "10.0.0.2 sends to 255.255.255.255 (bacnet: who-is).",
            [BACNET_WHO_IS],
        )
    } == fired(NORMAL + QUESTION, learn=NORMAL)


def test_stays_silent_for_the_answers() -> None:
    """A device that answers did nothing of its own."""
    answer = bacnet_talk((BACNET_I_AM,), client=PLC, server=EVERYONE)

    assert not fired(NORMAL + answer, learn=NORMAL)


def test_stays_silent_for_a_learned_sender() -> None:
    """A supervisor that asks every hour is known."""
    assert not fired(QUESTION, learn=NORMAL + QUESTION)
