"""Which interface looks like a mirror port, and why another does not."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from otic.sensor import setup
from otic.sensor.doctor import KernelClock
from otic.sensor.nic import NicFacts
from otic.sensor.setup import Concern, Counters, Port, port

DEV = """\
Inter-|   Receive                                                |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop
    lo: 84992043   46275    0    0    0     0          0         0 84992043   46275    0    0
eth1.7:7314218220 202864    0    0    0     0          0        12 15263141  128235    0    0
"""

QUIET = Counters(rx_bytes=1000, rx_frames=10, rx_multicast=4, tx_frames=0)
MIRROR = NicFacts(interface="none0", exists=True, up=True, carrier=True, has_address=False)


def seen(facts: NicFacts = MIRROR, **more: int) -> Port:
    """A port after two seconds in which its counters grew so much."""
    grown = {name: getattr(QUIET, name) + count for name, count in more.items()}
    return port(facts, QUIET, msgspec.structs.replace(QUIET, **grown), 2.0)


def test_counters_are_read_by_name(tmp_path: Path) -> None:
    """Names may touch their first number, and end in a VLAN id."""
    path = tmp_path / "dev"
    path.write_text(DEV)
    assert setup.counters(path) == {
        "lo": Counters(rx_bytes=84992043, rx_frames=46275, rx_multicast=0, tx_frames=46275),
        "eth1.7": Counters(
            rx_bytes=7314218220, rx_frames=202864, rx_multicast=12, tx_frames=128235
        ),
    }


def test_a_port_that_only_hears_may_be_the_mirror_port() -> None:
    """Link, frames, no address, nothing sent; rates are of a second."""
    found = seen(rx_frames=100, rx_bytes=6400, rx_multicast=20)
    assert found.may_mirror
    assert (found.frames_per_s, found.bytes_per_s, found.multicast_per_s) == (50, 3200, 10)
    assert (found.frames, found.bytes) == (110, 7400)


def test_a_driver_that_counts_no_multicast_is_not_taken_for_none() -> None:
    """Virtual ports count none, whatever comes in."""
    before = msgspec.structs.replace(QUIET, rx_multicast=0)
    after = msgspec.structs.replace(before, rx_frames=before.rx_frames + 5)
    assert port(MIRROR, before, after, 1.0).multicast_per_s is None


@pytest.mark.parametrize(
    ("changes", "grown", "concern"),
    [
        ({"up": False, "carrier": None}, {"rx_frames": 1}, "off"),
        ({"carrier": False}, {}, "no-link"),
        ({"has_address": True}, {"rx_frames": 1}, "address"),
        ({}, {"rx_frames": 1, "tx_frames": 1}, "sends"),
        ({}, {}, "no-frames"),
    ],
)
def test_what_speaks_against_a_port_is_named(
    changes: dict[str, bool | None], grown: dict[str, int], concern: Concern
) -> None:
    """One cause, one word; such a port is not offered."""
    found = seen(msgspec.structs.replace(MIRROR, **changes), **grown)
    assert found.concerns == [concern]
    assert not found.may_mirror


def test_this_machine_s_loopback_is_known_as_such() -> None:
    """The kernel answers for a real interface: its address, and that it is no port at all."""
    [found] = [one for one in setup.ports(0.01) if one.name == "lo"]
    assert "loopback" in found.concerns
    assert "127.0.0.1" in found.addresses
    assert found.mac is None
    assert not found.may_mirror


def test_a_service_that_may_not_ask_the_kernel_asks_the_time_service(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What neither says is unknown, and not a clock that is wrong."""
    monkeypatch.setattr(setup, "kernel_clock", lambda: (None, 1.0))
    mark = tmp_path / "synchronized"
    assert setup.clock(mark).synchronised is None
    mark.touch()
    assert setup.clock(mark) == setup.Clock(
        now_s=1.0, synchronised=True, offset_s=None, error_s=None
    )


@pytest.mark.parametrize("synchronised", [False, True])
def test_the_kernel_s_word_counts_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, synchronised: bool
) -> None:
    """A clock that was synchronised once may not be any more."""
    (tmp_path / "synchronized").touch()
    said = KernelClock(synchronised=synchronised, offset_s=0.001, error_s=0.25)
    monkeypatch.setattr(setup, "kernel_clock", lambda: (said, 2.0))
    assert setup.clock(tmp_path / "synchronized") == setup.Clock(
        now_s=2.0, synchronised=synchronised, offset_s=0.001, error_s=0.25
    )
