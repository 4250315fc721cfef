"""`modbus-function-zero`: a request carries function code 0, which the standard does not allow."""

from support.alerts import Said, fired
from support.frames import HMI, PLC
from support.messages import modbus_refused, talk


def test_fires_once_for_function_0_and_its_refusal() -> None:
    """The server's exception is the answer to the same request, and not told again."""
    request, refusal = modbus_refused(0, 1)

    assert {
        "modbus-function-zero": Said(
            "major",
            [HMI.ip],
            [PLC.ip],
            1,
            "10.0.0.2 sent 10.0.0.1 function code 0.",
            [request],
        )
    } == fired(talk((request, refusal), port=502))


def test_stays_silent_for_another_unknown_function() -> None:
    """Function 99 is unknown, but allowed; the refusal is told."""
    assert {"modbus-illegal-function"} == fired(talk(modbus_refused(99, 1), port=502)).keys()
