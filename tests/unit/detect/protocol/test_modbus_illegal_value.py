"""`modbus-illegal-value`: a Modbus server is sent a value that it does not take."""

from support.alerts import Said, fired
from support.frames import HMI, PLC
from support.messages import modbus_read, modbus_refused, talk


def test_fires_for_exception_3() -> None:
    """The exception is cited; who asked is the source."""
    assert {
        "modbus-illegal-value": Said(
            "major",
            [HMI.ip],
            [PLC.ip],
            1,
            "10.0.0.1 does not take the values that 10.0.0.2 sent (function 3).",
            [b"\x83\x03"],
        )
    } == fired(talk(modbus_refused(3, 3), port=502))


def test_fires_once_for_a_refused_write() -> None:
    """A refused write is told here with its reason, not once more as refused."""
    refused = modbus_refused(6, 3, b"\0\x14\0\x07")

    assert {"modbus-illegal-value"} == fired(talk(refused, port=502)).keys()


def test_stays_silent_for_another_exception() -> None:
    """A server that is busy takes the value later."""
    assert not fired(talk(modbus_refused(3, 6), port=502))


def test_stays_silent_for_an_answered_request() -> None:
    """A read that is answered is refused nowhere."""
    assert not fired(talk(modbus_read(), port=502))
