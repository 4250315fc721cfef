"""What the doctor says of machines that are not as they should be."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from otic.facts import Tick
from otic.folder import DataFolder
from otic.sensor import doctor
from otic.sensor.doctor import Finding, KernelClock
from otic.sensor.nic import NicFacts
from otic.settings import Interface, Ring, Settings

pytest.importorskip("otic._core", reason="the core is not built: make install")

GOOD = NicFacts(
    interface="eth1",
    exists=True,
    up=True,
    carrier=True,
    mtu=1500,
    speed_mbit_per_s=1000,
    promiscuous=True,
    has_address=False,
    arp=False,
    rx_packets=10,
    rx_dropped=0,
    rx_missed=0,
    rx_fifo=0,
    tx_packets=0,
    gro=False,
    lro=False,
    rx_vlan=False,
)
ETH1 = Interface(name="eth1")
GB = 1_000_000_000


def of_port(running: bool = True, one: Interface = ETH1, **facts: object) -> list[Finding]:
    changed = msgspec.structs.replace(GOOD, **facts)
    return doctor.interface_findings(one, changed, running=running)


def test_a_good_port_has_no_finding_to_act_on() -> None:
    """Everything is said, and all of it is ok."""
    findings = of_port()

    assert {"ok"} == {finding.level for finding in findings}
    assert any("1000 Mbit/s" in finding.text for finding in findings)


@pytest.mark.parametrize(
    ("facts", "level", "command"),
    [
        ({"exists": False}, "problem", "ip -brief link"),
        ({"up": False, "carrier": None}, "problem", "ip link set dev eth1 up"),
        ({"carrier": False}, "problem", "ethtool eth1"),
        ({"promiscuous": False}, "problem", "ip link set dev eth1 promisc on"),
        ({"mtu": 576}, "problem", "ip link set dev eth1 mtu 1500"),
        ({"mtu": 1 << 20}, "problem", "ip link set dev eth1 mtu 9000"),
        ({"lro": True}, "problem", "ethtool -K eth1 lro off"),
        ({"gro": True}, "warning", "ethtool -K eth1 gro off"),
        ({"rx_vlan": True}, "ok", "ethtool -K eth1 rxvlan off"),
        ({"has_address": True}, "problem", "ip addr flush dev eth1"),
        ({"has_link_local": True}, "problem", "sysctl -w net.ipv6.conf.eth1.disable_ipv6=1"),
        ({"arp": True}, "problem", "ip link set dev eth1 arp off"),
        ({"rx_missed": 3}, "warning", "ethtool -G eth1 rx 4096"),
    ],
)
def test_each_fault_of_a_port_is_named_with_its_fix(
    facts: dict[str, object], level: str, command: str
) -> None:
    """One fault gives one finding with a command, the others stay as they are."""
    acted = [finding for finding in of_port(**facts) if finding.command]

    assert [(level, command)] == [(finding.level, finding.command) for finding in acted]


@pytest.mark.parametrize(
    "name", ["up", "carrier", "mtu", "has_address", "arp", "gro", "lro", "rx_vlan"]
)
def test_what_the_kernel_does_not_say_stays_unknown(name: str) -> None:
    """Neither good nor bad is claimed."""
    changed = [finding for finding in of_port(**{name: None}) if finding not in of_port()]

    assert any(f.level == "warning" and "unknown" in f.text for f in changed), changed


def test_a_port_is_not_blamed_for_a_sensor_that_does_not_run() -> None:
    """Capture switches promiscuous on; before that it is off."""
    assert {"ok"} == {finding.level for finding in of_port(running=False, promiscuous=False)}


def test_rings_are_held_against_memory() -> None:
    """More than there is: a problem; more than a quarter: a warning; pipes need none."""
    rings = [Interface(name="eth1", fanout=4, ring_bytes=GB)]

    def level(total: int | None, free: int | None, running: bool = False) -> list[str]:
        return [f.level for f in doctor.memory_findings(rings, total, free, running=running)]

    assert ["problem"] == level(3 * GB, 3 * GB)
    assert ["problem"] == level(32 * GB, 2 * GB)
    assert ["ok"] == level(32 * GB, 2 * GB, running=True)
    assert ["warning"] == level(10 * GB, 9 * GB)
    assert ["warning"] == level(None, None)
    assert [] == doctor.memory_findings([Interface(name="a", pipe="b")], GB, GB, running=False)


def test_a_disk_is_measured_and_left_as_it_was(tmp_path: Path) -> None:
    """A speed above nothing, no file left; none for what cannot be written."""
    speed = doctor.write_speed(tmp_path, GB)

    assert speed is not None
    assert speed > 0
    assert [] == list(tmp_path.iterdir())
    assert doctor.write_speed(tmp_path / "absent", GB) is None


def test_a_ring_that_does_not_fit_is_named_with_what_fits(tmp_path: Path) -> None:
    """The suggested size is one that the doctor then accepts."""
    folder = DataFolder(tmp_path)
    folder.create()
    settings = Settings(ring=Ring(bytes=10**18), journal_bytes=64_000_000)
    found = doctor.disk_findings(folder, settings, None)
    command = next(finding.command for finding in found if finding.level == "problem")
    fits = int(command.rsplit("= ", 1)[1])
    settings = Settings(ring=Ring(bytes=fits - 100_000_000), journal_bytes=64_000_000)

    assert fits < 10**18
    assert "problem" not in [f.level for f in doctor.disk_findings(folder, settings, None)]


def test_the_speed_of_a_disk_is_held_against_budget_and_traffic() -> None:
    """Slower than the traffic: problem; slower than the budget: warning."""
    assert "problem" == doctor.speed_finding(1e6, 10_000_000, 2e6).level
    assert "warning" == doctor.speed_finding(1e6, 10_000_000, 1e5).level
    assert "warning" == doctor.speed_finding(1e6, 0, None).level
    assert "ok" == doctor.speed_finding(1e9, 10_000_000, 1e5).level


def tick(second: int, *, frames: int = 0, size: int = 0, ring: int = 0) -> Tick:
    return Tick(
        interface="eth1",
        wall_ns=0,
        monotonic_ns=second * GB,
        up=True,
        frames=frames,
        bytes=size,
        drops={"ring": ring, "filter": 5},
    )


def test_the_rate_is_what_ticks_counted_over_their_time() -> None:
    """Bytes of frames and what the ring adds to each, a second."""
    ticks = [tick(at, frames=100, size=6800) for at in range(11)]

    assert 11 * (6800 + 3200) / 10 == doctor.rate_of(ticks)
    assert doctor.rate_of(ticks[:1]) is None


def test_drops_of_capture_are_named() -> None:
    """By interface; nothing is said where nothing is known."""
    ticks = [tick(0, frames=90, ring=10), tick(1)]
    [finding] = doctor.drop_findings("eth1", ticks)

    assert "warning" == finding.level
    assert "10 of its last 100 frames" in finding.text
    assert [] == doctor.drop_findings("eth2", ticks)


def test_the_clock_is_judged() -> None:
    """Unknown, not synchronised, about to step and before the installation are told apart."""
    good = KernelClock(synchronised=True, offset_s=0.001, error_s=0.01)
    now = 4_000_000_000.0

    assert "ok" == doctor.clock_finding(good, now).level
    for clock in (
        None,
        msgspec.structs.replace(good, synchronised=False),
        msgspec.structs.replace(good, offset_s=-0.5),
    ):
        assert "warning" == doctor.clock_finding(clock, now).level
    assert "problem" == doctor.clock_finding(good, 0.0).level


def test_the_right_to_capture_is_needed_only_for_interfaces() -> None:
    """Missing it is a problem where an interface is to be opened and no sensor runs."""
    assert "problem" == doctor.right_finding(False, True, running=False).level
    assert "warning" == doctor.right_finding(None, True, running=False).level
    assert "ok" == doctor.right_finding(False, True, running=True).level
    assert "ok" == doctor.right_finding(False, False, running=False).level


def test_settings_that_say_nothing_or_nonsense_are_problems(tmp_path: Path) -> None:
    """No file, no interface, an unknown key, a filter that means nothing."""
    path = tmp_path / "otic.toml"
    said = {None: "no otic.toml"}
    assert said[None] in doctor.settings_findings(None)[1][0].text
    for text, word in [
        ("", "names no [[interface]]"),
        ('[[interface]]\nname = "a"\nspeed = 1\n', "interface[0].speed: is not a setting"),
        ('[[interface]]\nname = "a"\nfilter = "prot tcp"\n', "filter 'prot tcp'"),
    ]:
        path.write_text(text)
        [finding] = doctor.settings_findings(path)[1]
        assert "problem" == finding.level
        assert word in finding.text
    path.write_text('[[interface]]\nname = "a"\n')
    assert ["ok"] == [finding.level for finding in doctor.settings_findings(path)[1]]
