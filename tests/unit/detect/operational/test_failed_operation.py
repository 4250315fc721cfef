"""`failed-operation`: a device refuses a request that would change it."""

import struct

from support.alerts import Said, fired
from support.frames import HMI, PLC
from support.messages import (
    dnp3,
    dnp3_request,
    dnp3_response,
    dnp3_talk,
    modbus_refused,
    modbus_write,
    talk,
)

VALUE = struct.pack("!HH", 20, 7)


def test_fires_for_a_refused_write() -> None:
    """A busy server refuses a write (exception 6); the request is cited."""
    request, refusal = modbus_refused(6, 6, VALUE)

    assert {
        "failed-operation": Said(
            "minor",
            [HMI.ip],
            [PLC.ip],
            1,
            "10.0.0.1 refused write-single-register of 10.0.0.2 (modbus).",
            [request],
        )
    } == fired(talk((request, refusal), port=502))


def test_fires_for_a_refused_point() -> None:
    """An outstation that refuses one point of an operation (status 4) refused it."""
    point = bytes([12, 1, 0x17, 1, 3, 3, 1, 100, 0, 0, 0, 100, 0, 0, 0])
    asked = dnp3_request(5, point + b"\0")
    alert = fired(dnp3_talk((asked, dnp3_response(objects=point + b"\x04"))))

    assert {"failed-operation"} == alert.keys()


def test_fires_beside_the_refusal_of_another_function() -> None:
    """A read that an outstation does not understand explains no refused point."""
    point = bytes([12, 1, 0x17, 1, 3, 3, 1, 100, 0, 0, 0, 100, 0, 0, 0])
    operated = dnp3_request(5, point + b"\0"), dnp3_response(objects=point + b"\x04")
    alert = fired(dnp3_talk(operated, dnp3(1, b"\x3c\x02\x06", iin=0x0004, sequence=1)))

    assert {"failed-operation", "dnp3-parameter-error"} == alert.keys()


def test_stays_silent_for_a_refused_read() -> None:
    """Nothing would have changed."""
    assert not fired(talk(modbus_refused(3, 6), port=502))


def test_stays_silent_where_the_refusal_has_its_own_rule() -> None:
    """A function that the server does not have is told once, with its reason."""
    assert {"modbus-illegal-function"} == fired(talk(modbus_refused(6, 1, VALUE), port=502)).keys()


def test_stays_silent_for_an_accepted_write() -> None:
    """A write that is carried out failed nowhere."""
    assert not fired(talk(modbus_write(), port=502))
