"""`ethernet-ip-command`: a pair uses a command of the encapsulation that was not learned."""

from otic.plant import messages as m
from support.alerts import Said, fired
from support.frames import HMI, PLC
from support.messages import cip, cip_path, cip_read_tag, datagrams, enip_talk, talk

NORMAL = enip_talk(cip_read_tag())


def test_fires_for_a_new_command() -> None:
    """Asking for the identity is new for a pair that read tags."""
    question = m.encapsulated(0x63, 0, b"")

    assert {
        "ethernet-ip-command": Said(
            "major",
            [HMI.ip],
            [PLC.ip],
            1,
            "10.0.0.2 → 10.0.0.1: list-identity.",
            [question],
        )
    } == fired(NORMAL + datagrams((question,), ports=(50000, 44818)), learn=NORMAL)


def test_stays_silent_for_a_new_session() -> None:
    """A session that begins anew (joined in its middle while learning) is no new command."""
    middle = talk(cip_read_tag(), port=44818)

    assert not fired(NORMAL, learn=middle)


def test_stays_silent_for_what_an_envelope_carries() -> None:
    """A new CIP service is told as such; its envelope is known."""
    new = cip(0x0E, cip_path(0x8B, 1) + b"\x30\x05", answer=bytes(4))

    assert {"cip-service"} == fired(enip_talk(new), learn=NORMAL).keys()
