"""`modbus-schneider-extension`: a pair uses function 90 in a way that was not learned."""

from support.alerts import Said, fired
from support.frames import HMI, PLC, modbus
from support.messages import MODBUS_READ_INPUTS, modbus_read, talk

NORMAL = talk(modbus_read(), port=502)
READ_ID = modbus(5, 1, 0x5A, b"\0\x02"), modbus(5, 1, 0x5A, b"\0\xfe\0")


def test_fires_for_the_makers_own_protocol() -> None:
    """Engineering tools speak UMAS; that it is a new function is the same cause."""
    assert {
        "modbus-schneider-extension": Said(
            "major",
            [HMI.ip],
            [PLC.ip],
            1,
            "10.0.0.2 → 10.0.0.1: umas-read-id.",
            [READ_ID[0]],
        )
    } == fired(talk(modbus_read(), READ_ID, port=502), learn=NORMAL)


def test_stays_silent_for_another_function() -> None:
    """Function 4 is nobody's own."""
    assert {"modbus-function"} == fired(talk(MODBUS_READ_INPUTS, port=502), learn=NORMAL).keys()


def test_stays_silent_where_it_stops_the_controller() -> None:
    """A stop by UMAS is told as the stop it is."""
    stop = modbus(5, 1, 0x5A, b"\0\x41\xff\0"), modbus(5, 1, 0x5A, b"\0\xfe")

    assert {"controller-stop"} == fired(talk(stop, port=502), learn=NORMAL).keys()


def test_stays_silent_after_sign_off() -> None:
    """An engineering station that a named person allowed is allowed."""
    seen = talk(modbus_read(), READ_ID, port=502)

    assert not fired(seen, learn=seen, sign=True)
