"""Cables as tests get them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from support.cable import MONITOR, Cable


@pytest.fixture
def silent_cable() -> Iterator[Cable]:
    """A cable on whose end at the sensor the kernel answers nothing."""
    made = Cable()
    made.within(made.sensor, "ip", "link", "set", MONITOR, "arp", "off")
    yield made
    made.close()
