"""`modbus-function`: a pair uses a Modbus function that was not learned."""

from support.alerts import Said, fired
from support.frames import HMI, PLC
from support.messages import MODBUS_READ_INPUTS, modbus_read, modbus_refused, talk

NORMAL = talk(modbus_read(), port=502)


def test_fires_for_a_new_function() -> None:
    """Reading input registers is new for a client that read holding registers."""
    assert {
        "modbus-function": Said(
            "major",
            [HMI.ip],
            [PLC.ip],
            1,
            "10.0.0.2 → 10.0.0.1, modbus-unit 1: function 4, read-input-registers.",
            [MODBUS_READ_INPUTS[0]],
        )
    } == fired(talk(modbus_read(), MODBUS_READ_INPUTS, port=502), learn=NORMAL)


def test_stays_silent_for_the_learned_function() -> None:
    """Other registers are told as such."""
    assert {"modbus-address"} == fired(talk(modbus_read(30), port=502), learn=NORMAL).keys()


def test_stays_silent_where_the_function_does_not_exist() -> None:
    """A function that the server refuses is told as such."""
    refused = talk(modbus_refused(0x63, 1), port=502)

    assert {"modbus-illegal-function"} == fired(refused, learn=NORMAL).keys()
