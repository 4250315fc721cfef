"""`opc-ua-service`: a pair uses an OPC UA service that was not learned."""

from support.alerts import Said, fired
from support.frames import HMI, PLC
from support.industrial import opc_ua_browse, opc_ua_read, opc_ua_talk

NORMAL = opc_ua_talk(opc_ua_read())


def test_fires_for_a_new_service() -> None:
    """A browse is new for a client that read values; its node id is cited."""
    assert {
        "opc-ua-service": Said(
            "major", [HMI.ip], [PLC.ip], 1, "10.0.0.2 → 10.0.0.1: browse.", [b"\x01\0\x0f\x02"]
        )
    } == fired(opc_ua_talk(opc_ua_read(), opc_ua_browse()), learn=NORMAL)


def test_stays_silent_for_a_learned_service() -> None:
    """A read of another node is the same service."""
    assert not fired(opc_ua_talk(opc_ua_read(2256)), learn=NORMAL)


def test_stays_silent_for_a_session_that_begins_anew() -> None:
    """A hello after a conversation that was joined in its middle is no service."""
    middle = opc_ua_talk(opc_ua_read())[5:]

    assert not fired(NORMAL, learn=middle)
