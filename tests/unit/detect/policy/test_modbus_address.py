"""`modbus-address`: a known Modbus function touches a range that was not learned."""

from support.alerts import Said, fired
from support.frames import HMI, PLC
from support.messages import MODBUS_READ_INPUTS, modbus_read, talk

NORMAL = talk(modbus_read(10, 2), port=502)


def test_fires_for_another_range() -> None:
    """The same function on other registers is told once, with the range."""
    request, answer = modbus_read(30, 2)

    assert {
        "modbus-address": Said(
            "major",
            [HMI.ip],
            [PLC.ip],
            1,
            "10.0.0.2 → 10.0.0.1, modbus-unit 1: read-holding-registers, holding-register 30-31.",
            [request],
        )
    } == fired(talk(modbus_read(10, 2), (request, answer), port=502), learn=NORMAL)


def test_stays_silent_for_the_learned_range() -> None:
    """The same registers again are known."""
    assert not fired(talk(modbus_read(10, 2, transaction=9), port=502), learn=NORMAL)


def test_stays_silent_where_the_function_is_new() -> None:
    """A new function names its range in its own alert."""
    assert {"modbus-function"} == fired(talk(MODBUS_READ_INPUTS, port=502), learn=NORMAL).keys()
