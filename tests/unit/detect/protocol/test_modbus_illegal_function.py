"""`modbus-illegal-function`: a Modbus server is asked for a function that it does not have."""

from support.alerts import Said, fired
from support.frames import HMI, PLC
from support.messages import modbus_read, modbus_refused, talk


def test_fires_for_exception_1() -> None:
    """The exception is cited; who asked is the source."""
    assert {
        "modbus-illegal-function": Said(
            "major",
            [HMI.ip],
            [PLC.ip],
            1,
            "10.0.0.1 does not have the functions that 10.0.0.2 asked for: 3.",
            [b"\x83\x01"],
        )
    } == fired(talk(modbus_refused(3, 1), port=502))


def test_fires_once_for_a_refused_write() -> None:
    """A refused write is told here with its reason, not once more as refused."""
    refused = modbus_refused(6, 1, b"\0\x14\0\x07")

    assert {"modbus-illegal-function"} == fired(talk(refused, port=502)).keys()


def test_stays_silent_for_another_exception() -> None:
    """A server that is busy has the function."""
    assert not fired(talk(modbus_refused(3, 6), port=502))


def test_stays_silent_for_an_answered_request() -> None:
    """A read that is answered is refused nowhere."""
    assert not fired(talk(modbus_read(), port=502))
