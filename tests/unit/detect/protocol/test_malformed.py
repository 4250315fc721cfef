"""`malformed`: bytes or their order break the specification of an industrial protocol."""

from support.alerts import Said, fired
from support.frames import HMI, PLC, modbus
from support.messages import modbus_read, talk


def test_fires_for_a_request_that_is_too_short() -> None:
    """A read without its quantity breaks Modbus; the whole message is cited."""
    short = modbus(1, 1, 3, b"\0\x01\0")

    assert {
        "malformed": Said(
            "minor",
            [HMI.ip],
            [PLC.ip],
            1,
            "10.0.0.2 sent 10.0.0.1 what breaks modbus-pdu-length (modbus).",
            [short],
        )
    } == fired(talk((short,), port=502))


def test_stays_silent_for_a_whole_request() -> None:
    """The same read with its quantity is in order."""
    assert not fired(talk(modbus_read(), port=502))


def test_stays_silent_where_the_violation_has_its_own_rule() -> None:
    """Function code 0 is told once."""
    assert {"modbus-function-zero"} == fired(talk((modbus(1, 1, 0, b"\0\0"),), port=502)).keys()
