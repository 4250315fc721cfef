"""`modbus-device-failure`: a Modbus server fails while it carries out a request."""

from support.alerts import Said, fired
from support.frames import HMI, PLC
from support.messages import modbus_refused, talk


def test_fires_for_exception_4() -> None:
    """Exception 4 says that the server failed; the exception is cited."""
    assert {
        "modbus-device-failure": Said(
            "major",
            [HMI.ip],
            [PLC.ip],
            1,
            "10.0.0.1 failed at function 3 that 10.0.0.2 asked for.",
            [b"\x83\x04"],
        )
    } == fired(talk(modbus_refused(3, 4), port=502))


def test_stays_silent_for_exception_6() -> None:
    """A server that is busy did not fail."""
    assert not fired(talk(modbus_refused(3, 6), port=502))
