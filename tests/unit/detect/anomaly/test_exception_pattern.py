"""`exception-pattern`: a server answers 20 or more requests with an exception within an hour."""

from support.alerts import Said, fired
from support.frames import HMI, PLC, SECOND_NS
from support.messages import modbus_refused, talk


def refused(count: int, step_ns: int = SECOND_NS) -> list[tuple[int, bytes]]:
    """Reads that a busy server refuses (exception 6)."""
    reads = [modbus_refused(3, 6, transaction=number) for number in range(count)]
    return talk(*reads, port=502, step_ns=step_ns)


def test_fires_for_twenty_exceptions() -> None:
    """The pair, how many, and of which function are told; the first exception is cited."""
    assert {
        "exception-pattern": Said(
            "minor",
            [HMI.ip],
            [PLC.ip],
            20,
            "10.0.0.1 answered 10.0.0.2 with 20 exceptions"
            " (20 within 3600 s are too many; functions 3).",
            [b"\x83\x06"],
        )
    } == fired(refused(20))


def test_stays_silent_for_one_exception_less() -> None:
    """19 exceptions are no pattern."""
    assert not fired(refused(19))


def test_stays_silent_when_no_hour_holds_twenty() -> None:
    """20 exceptions over more than two hours are no pattern."""
    assert not fired(refused(20, step_ns=180 * SECOND_NS))
