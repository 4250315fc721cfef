"""These tests run the real core and the real program."""

import pytest

pytest.importorskip("otic._core", reason="the core is not built: make install")

from collections.abc import Iterator  # noqa: E402

from support.cable import MONITOR, Cable  # noqa: E402


@pytest.fixture
def silent_cable() -> Iterator[Cable]:
    """A cable on whose end at the sensor the kernel answers nothing."""
    made = Cable()
    made.within(made.sensor, "ip", "link", "set", MONITOR, "arp", "off")
    yield made
    made.close()
