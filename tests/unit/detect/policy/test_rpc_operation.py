"""`rpc-operation`: a machine calls a remote procedure that this pair did not use."""

from support.alerts import Said, fired
from support.frames import HMI, PLC
from support.windows import OPEN_MANAGER, rpc_call, rpc_talk

QUERY_STATUS = 6
NORMAL = rpc_talk(rpc_call(OPEN_MANAGER))


def test_fires_for_a_new_method() -> None:
    """The interface is known, the method is not."""
    call = rpc_call(QUERY_STATUS)

    assert {
        "rpc-operation": Said(
            "major",
            [HMI.ip],
            [PLC.ip],
            1,
            "10.0.0.2 → 10.0.0.1: svcctl RQueryServiceStatus.",
            [call[0][:24]],
        )
    } == fired(rpc_talk(call), learn=NORMAL)


def test_stays_silent_for_a_learned_method() -> None:
    """Another call of it is known."""
    assert not fired(rpc_talk(rpc_call(OPEN_MANAGER, call=9)), learn=NORMAL)


def test_stays_silent_for_a_bind() -> None:
    """Binding an interface does nothing yet."""
    assert not fired(rpc_talk(), learn=NORMAL)
