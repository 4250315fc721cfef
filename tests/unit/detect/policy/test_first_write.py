"""`first-write`: a machine writes to a controller that it never wrote to before."""

from otic.plant import messages as m
from support.alerts import Said, fired
from support.frames import HMI, PLC
from support.messages import modbus_read, modbus_refused, modbus_write, s7_read, s7_talk, talk

READ, WRITE = modbus_read(), modbus_write()
NORMAL = talk(READ, port=502)


def test_fires_for_the_first_write() -> None:
    """The write is told with its function; that the function is new is the same cause."""
    assert {
        "first-write": Said(
            "major",
            [HMI.ip],
            [PLC.ip],
            1,
            "10.0.0.2 wrote to 10.0.0.1 for the first time (modbus: write-single-register).",
            [WRITE[0]],
        )
    } == fired(talk(READ, WRITE, port=502), learn=NORMAL)


def test_fires_until_a_named_person_signs_it_off() -> None:
    """A write seen while learning is kept back, not learned."""
    both = talk(READ, WRITE, port=502)

    assert {"first-write"} == fired(both, learn=both).keys()


def test_stays_silent_for_a_signed_off_pair() -> None:
    """Whoever may write, writes."""
    both = talk(READ, WRITE, port=502)

    assert not fired(both, learn=both, sign=True)


def test_stays_silent_for_a_refused_write() -> None:
    """Nothing was written; the refusal is told."""
    refused = modbus_refused(6, 6, b"\0\x14\0\x07")

    assert {"failed-operation"} == fired(talk(READ, refused, port=502), learn=NORMAL).keys()


def test_stays_silent_for_a_question_to_an_s7_controller() -> None:
    """Stations that are online read the list of jobs again and again; that writes nothing."""
    parameters, data = bytes.fromhex("000112 08 12 41 10 00 00 00 0000"), b"\xff\x09\0\x02\0\0"
    asked = s7_talk(s7_read(), (m.s7(7, 5, parameters, data),))

    assert "first-write" not in fired(asked, learn=s7_talk(s7_read()))
