"""`rpc-failed`: a machine refuses a remote procedure call."""

from support.alerts import Said, fired
from support.frames import HMI, PLC
from support.windows import OPEN_MANAGER, rpc_call, rpc_refused, rpc_talk


def test_fires_for_a_fault() -> None:
    """The call is cited."""
    call = rpc_refused(OPEN_MANAGER)

    assert {
        "rpc-failed": Said(
            "minor",
            [HMI.ip],
            [PLC.ip],
            1,
            "10.0.0.1 refused svcctl ROpenSCManagerW of 10.0.0.2.",
            [call[0][:24]],
        )
    } == fired(rpc_talk(call))


def test_stays_silent_for_a_response() -> None:
    """A call that is carried out failed nowhere."""
    assert not fired(rpc_talk(rpc_call(OPEN_MANAGER)))
