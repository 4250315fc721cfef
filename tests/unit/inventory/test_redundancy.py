"""Redundancy groups: a switch-over is one event and no new machine; spoofing alerts."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import pytest

from otic.detect.rules import load
from otic.sensor.analysis import Result
from otic.sensor.document import Document
from otic.sensor.pipeline import analyse, open_captures
from otic.settings import Settings
from otic.store.database import Database
from otic.store.queries import devices
from otic.store.queries.common import Store
from support.frames import HMI, Host, Timed, polling, write_pcap
from support.redundancy import ACTIVE, STANDBY, at, claims, hsrp, vrrp

ROCKWELL_A, ROCKWELL_B = "00:00:bc:00:00:0a", "00:00:bc:00:01:0b"
SIEMENS_A, SIEMENS_B = "28:63:36:00:00:0a", "28:63:36:00:01:0b"
INTEL_1, INTEL_2 = "00:1b:21:00:00:10", "00:1b:21:00:00:11"
CISCO_A, CISCO_B = "00:00:0c:00:00:0a", "00:00:0c:00:01:0b"
ATTACKER = "00:1b:21:77:00:01"


def seen(frames: list[Timed]) -> dict[str, Any]:
    """The document of a run over these frames."""
    with tempfile.TemporaryDirectory() as folder:
        path = write_pcap(Path(folder) / "seen.pcap", sorted(frames, key=lambda one: one[0]))
        found: Result = analyse(
            open_captures([path], Settings()), settings=Settings(), rules=load([], {})
        )
        return Document(
            found.state, found.inventory, found.captures, found.alerts, found.notices
        ).build()


def machines(document: dict[str, Any]) -> list[dict[str, Any]]:
    return [device for device in document["devices"] if device["type"] != "Group"]


def macs(document: dict[str, Any]) -> list[list[str]]:
    return sorted(device["macs"] for device in machines(document))


def groups(document: dict[str, Any]) -> list[dict[str, Any]]:
    return [device for device in document["devices"] if device["type"] == "Group"]


def switch_overs(document: dict[str, Any]) -> list[dict[str, Any]]:
    return [event for event in document["events"] if event["kind"] == "switch-over"]


def rules(document: dict[str, Any]) -> list[str]:
    return sorted(alert["rule"] for alert in document["alerts"])


def uses(second: float, mac: str, ip: str) -> list[Timed]:
    """A panel polls the address while this machine holds it."""
    return polling(HMI, Host(mac=mac, ip=ip), at_ns=at(second), identification=int(second) * 10)


CONTROLLOGIX = (
    [
        claims(0, ROCKWELL_A, "10.0.0.10"),
        claims(1, ROCKWELL_B, "10.0.0.11"),
        *uses(5, ROCKWELL_A, "10.0.0.10"),
        claims(60, ROCKWELL_A, "10.0.0.10", about=HMI.ip),
    ],
    [
        claims(100, ROCKWELL_B, "10.0.0.10"),
        claims(100.3, ROCKWELL_A, "10.0.0.11"),
        *uses(105, ROCKWELL_B, "10.0.0.10"),
        claims(160, ROCKWELL_A, "10.0.0.11", about=HMI.ip),
    ],
)
"""Partner modules: the secondary takes the primary's address and gives its own."""

S7_1500_RH = (
    [
        claims(0, SIEMENS_A, "10.0.0.21"),
        claims(1, SIEMENS_B, "10.0.0.22"),
        claims(2, SIEMENS_A, "10.0.0.20"),
        *uses(5, SIEMENS_A, "10.0.0.20"),
    ],
    [
        claims(100, SIEMENS_B, "10.0.0.20"),
        *uses(105, SIEMENS_B, "10.0.0.20"),
        claims(150, SIEMENS_A, "10.0.0.21", about=HMI.ip),
    ],
)
"""Two machines with their own addresses and a system address that the leading one holds."""

NIC_TEAM = (
    [
        claims(0, INTEL_1, "10.0.0.30"),
        claims(1, INTEL_2, "169.254.7.7"),
        *uses(5, INTEL_1, "10.0.0.30"),
    ],
    [claims(100, INTEL_2, "10.0.0.30"), *uses(105, INTEL_2, "10.0.0.30")],
)
"""A bond whose address goes to the MAC of its other card."""

VRRP = (
    [
        claims(0, CISCO_A, "10.0.0.2"),
        claims(0.5, CISCO_B, "10.0.0.3"),
        *[vrrp(second, "10.0.0.2", "10.0.0.1") for second in range(20)],
        claims(1, "00:00:5e:00:01:0a", "10.0.0.1"),
    ],
    [
        *[vrrp(104 + second, "10.0.0.3", "10.0.0.1") for second in range(20)],
        claims(104, "00:00:5e:00:01:0a", "10.0.0.1"),
    ],
)
"""A backup becomes master; the group's MAC stays."""

HSRP = (
    [
        claims(0, CISCO_A, "10.0.0.2"),
        claims(0.5, CISCO_B, "10.0.0.3"),
        *[hsrp(3 * n, CISCO_A, "10.0.0.2", "10.0.0.1", ACTIVE) for n in range(6)],
        *[hsrp(3 * n + 1, CISCO_B, "10.0.0.3", "10.0.0.1", STANDBY) for n in range(6)],
    ],
    [
        *[hsrp(100 + 3 * n, CISCO_B, "10.0.0.3", "10.0.0.1", ACTIVE) for n in range(6)],
        *[hsrp(101 + 3 * n, CISCO_A, "10.0.0.2", "10.0.0.1", STANDBY) for n in range(6)],
    ],
)
"""The standby router becomes active."""

CASES = {
    "ControlLogix": (CONTROLLOGIX, {"10.0.0.10", "10.0.0.11"}),
    "S7-1500R/H": (S7_1500_RH, {"10.0.0.20"}),
    "NIC team": (NIC_TEAM, {"10.0.0.30"}),
    "VRRP": (VRRP, {"10.0.0.1"}),
    "HSRP": (HSRP, {"10.0.0.1"}),
}


@pytest.mark.parametrize("case", CASES)
def test_a_switch_over_is_one_event_and_changes_no_machine(case: str) -> None:
    """One event, one low alert, the same machines, a group with both as members, no conflict."""
    (before, after), addresses = CASES[case]

    first, then = seen(before), seen([*before, *after])

    assert not switch_overs(first)
    (event,) = switch_overs(then)
    assert (1, set(event["values"]["addresses"].split(", "))) == (event["count"], addresses)
    assert ["switch-over"] == rules(then)
    assert [] == [event for event in then["events"] if event["kind"] == "address-conflict"]
    assert macs(first) == macs(then)
    assert len(machines(first)) == len(machines(then))
    (group,) = groups(then)
    assert addresses == set(group["ips"])
    members = [device for device in then["devices"] if device["id"] in group["members"]]
    assert len(members) == 2
    assert all(not addresses & set(device["ips"]) for device in members)


def test_the_store_tells_a_group_its_members_and_a_member_its_group(tmp_path: Path) -> None:
    """What the device pages link to, both ways."""
    (before, after), _ = CASES["ControlLogix"]
    frames = sorted([*before, *after], key=lambda one: one[0])
    path, settings = write_pcap(tmp_path / "seen.pcap", frames), Settings()
    sink = Database(tmp_path / "seen.db", settings, [path])
    analyse(open_captures([path], settings), settings=settings, rules=load([], {}), sink=sink)
    sink.close()
    store = Store(tmp_path / "seen.db")

    (row,) = devices.page(store, devices.DeviceFilter(type=["Group"])).items
    group = devices.detail(store, row.id)
    assert group is not None
    members = [devices.detail(store, member.id) for member in group.members]
    store.close()

    assert 2 == len(members)
    assert all(
        member is not None and [row.id] == [g.id for g in member.groups] for member in members
    )


def test_a_group_of_controllers_is_no_merge_of_them() -> None:
    """Each module keeps its MAC and what it says of itself at its own address."""
    (before, after), _ = CASES["ControlLogix"]

    found = machines(seen([*before, *after]))

    assert [[ROCKWELL_A], [ROCKWELL_B]] == sorted(d["macs"] for d in found if d["vendor"])[:2]


def test_switching_back_later_is_a_second_event() -> None:
    """Each takeover is an event of its own time."""
    (before, after), _ = CASES["S7-1500R/H"]
    back = [claims(400, SIEMENS_A, "10.0.0.20"), *uses(405, SIEMENS_A, "10.0.0.20")]

    found = seen([*before, *after, *back])

    assert 2 == len(switch_overs(found))
    assert {"switch-over"} == set(rules(found))


SPOOFED = {
    "the owner still claims its address": [
        claims(0, SIEMENS_A, "10.0.0.21"),
        claims(1, ATTACKER, "10.0.0.66"),
        claims(100, ATTACKER, "10.0.0.21"),
        claims(102, SIEMENS_A, "10.0.0.21", about=HMI.ip),
        claims(104, ATTACKER, "10.0.0.21"),
    ],
    "a machine of the same maker, both go on": [
        claims(0, SIEMENS_A, "10.0.0.21"),
        claims(1, SIEMENS_B, "10.0.0.22"),
        claims(100, SIEMENS_B, "10.0.0.21"),
        claims(101, SIEMENS_A, "10.0.0.21", about=HMI.ip),
        claims(102, SIEMENS_B, "10.0.0.21"),
    ],
    "both ends of a conversation are taken": [
        claims(0, SIEMENS_A, "10.0.0.21"),
        claims(0, SIEMENS_A, "10.0.0.31"),
        claims(1, SIEMENS_B, "10.0.0.22"),
        claims(1, SIEMENS_B, "10.0.0.32"),
        claims(2, "28:63:36:00:02:0c", "10.0.0.66"),
        claims(100, "28:63:36:00:02:0c", "10.0.0.21"),
        claims(100.5, "28:63:36:00:02:0c", "10.0.0.22"),
    ],
    "the routers' address is taken by no member": [
        *VRRP[0],
        claims(10, ATTACKER, "10.0.0.66"),
        claims(50, ATTACKER, "10.0.0.1"),
    ],
    "a swap that does not end": [
        *CONTROLLOGIX[0],
        *CONTROLLOGIX[1],
        claims(110, ROCKWELL_A, "10.0.0.10"),
        claims(112, ROCKWELL_B, "10.0.0.10"),
    ],
}


@pytest.mark.parametrize("case", SPOOFED)
def test_spoofing_is_an_alert_and_no_group(case: str) -> None:
    """Whoever claims what another still claims, or what is many machines', is told."""
    found = seen(SPOOFED[case])

    assert "address-conflict" in rules(found)
    assert not switch_overs(found)


def test_who_answers_for_many_machines_is_one_alert() -> None:
    """A machine that takes all addresses of a link is no proxy: one alert names it."""
    hosts = [f"10.0.0.{100 + number}" for number in range(12)]
    frames = [claims(n, f"28:63:36:00:03:{n:02x}", ip) for n, ip in enumerate(hosts)]
    frames += [claims(100 + n / 10, ATTACKER, ip) for n, ip in enumerate(hosts)]

    found = seen(frames)

    (told,) = (alert for alert in found["alerts"] if alert["rule"] == "address-conflict")
    assert [ATTACKER] == told["destinations"]
    assert 12 == len(told["sources"])


def test_an_unknown_machine_that_takes_an_address_makes_no_group() -> None:
    """A replaced machine is neither a switch-over nor a conflict."""
    found = seen([claims(0, SIEMENS_A, "10.0.0.21"), claims(900, SIEMENS_B, "10.0.0.21")])

    assert [] == [*switch_overs(found), *groups(found), *found["alerts"]]
