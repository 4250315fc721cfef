"""`modbus-exception-from-client`: a client sends what only a server may send."""

from support.alerts import Said, fired
from support.frames import HMI, PLC, modbus
from support.messages import modbus_refused, talk


def test_fires_for_a_request_with_the_exception_bit() -> None:
    """Function 0x83 from a client is an exception that nobody asked for."""
    odd = modbus(1, 1, 0x83, b"\x02")

    assert {
        "modbus-exception-from-client": Said(
            "major",
            [HMI.ip],
            [PLC.ip],
            1,
            "10.0.0.2 sent 10.0.0.1 a function code with the exception bit.",
            [odd],
        )
    } == fired(talk((odd,), port=502))


def test_stays_silent_for_an_exception_of_the_server() -> None:
    """A server may send it."""
    assert not fired(talk(modbus_refused(3, 6), port=502))
