"""`ring-open`: the manager of an MRP ring says that it is broken."""

from support.alerts import fired
from support.redundancy import ring_test

MANAGER = "00:00:bc:00:00:0a"


def test_fires_once_while_the_ring_is_open() -> None:
    """The test frame that says so first is cited."""
    frames = [ring_test(second, MANAGER, closed=second < 5) for second in range(10)]
    told = fired(frames)["ring-open"]

    assert ("major", [MANAGER], 1) == (told.severity, told.sources, told.count)
    assert b"\x00\x00\x00\x00" in told.cited[0]


def test_stays_silent_while_the_ring_is_closed() -> None:
    """Test frames that come back say that all is well."""
    assert not fired([ring_test(second, MANAGER, closed=True) for second in range(10)])
