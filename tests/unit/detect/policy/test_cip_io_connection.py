"""`cip-io-connection`: a pair exchanges I/O data that did not while it was learned."""

from support.alerts import Said, fired
from support.frames import HMI, PLC
from support.messages import cip_io, cip_read_tag, datagrams, enip_talk

NORMAL = enip_talk(cip_read_tag())
CYCLE = datagrams((cip_io(0x1234), cip_io(0x4321)), ports=(2222, 2222))


def test_fires_once_for_both_directions() -> None:
    """Outputs and inputs are one I/O connection of the two; its first datagram is cited."""
    assert {
        "cip-io-connection": Said(
            "major",
            [HMI.ip],
            [PLC.ip],
            2,
            "10.0.0.2 and 10.0.0.1 exchange I/O data and did not before.",
            [cip_io(0x1234)],
        )
    } == fired(NORMAL + CYCLE, learn=NORMAL)


def test_stays_silent_for_a_learned_connection() -> None:
    """After a new Forward_Open the ids differ, the connection is the same."""
    again = datagrams((cip_io(0x5678), cip_io(0x8765)), ports=(2222, 2222))

    assert not fired(again, learn=CYCLE)
