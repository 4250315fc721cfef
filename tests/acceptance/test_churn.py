"""Hosts whose addresses change every few days stay the hosts they are."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from support.churn import (
    CONTROLLER,
    DAY_NS,
    HOSTS,
    SERVER,
    Churn,
    agent_of,
    churn,
    mac_of,
    name_of,
    polls,
)
from support.frames import START_NS, write_pcap
from support.program import document


@pytest.fixture(scope="module")
def month() -> Churn:
    """The frames of the month and who held what."""
    return churn()


@pytest.fixture(scope="module")
def found(month: Churn, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the whole month shows."""
    return document(write_pcap(tmp_path_factory.mktemp("churn") / "month.pcap", month.frames))


def by_mac(found: dict[str, Any]) -> dict[str, Any]:
    """The devices by their MACs."""
    return {mac: device for device in found["devices"] for mac in device["macs"]}


def test_two_hundred_hosts_are_two_hundred_devices(found: dict[str, Any]) -> None:
    """Whatever addresses they had: one device a host, and the server and the controller."""
    macs = by_mac(found)

    assert HOSTS + 2 == len(found["devices"])
    assert {*map(mac_of, range(HOSTS)), SERVER.mac, CONTROLLER.mac} == macs.keys()
    assert all(len(device["macs"]) == 1 for device in found["devices"])
    assert all(device["type"] not in ("Router", "Group") for device in found["devices"])


def test_each_has_its_own_history(month: Churn, found: dict[str, Any]) -> None:
    """What was told and done at an address is its holder's of that time alone."""
    macs = by_mac(found)
    working = 0
    for number in range(HOSTS):
        device = macs[mac_of(number)]
        told = {(claim["attribute"], claim["value"]) for claim in device["claims"]}
        names = {value for attribute, value in told if attribute == "name"}
        agents = {value for attribute, value in told if attribute == "user_agent"}
        assert names <= {name_of(number)}
        assert agents <= (set() if polls(number) else {agent_of(number)})
        own = {"modbus" if polls(number) else "http"}
        assert set(device["protocols"]) & {"modbus", "http"} <= own, device["name"]
        working += own <= set(device["protocols"])
    # What an earlier holder did from the same address to the same server is no news of a later one.
    assert working > HOSTS * 2 // 3


def test_an_address_stands_with_its_last_holder(month: Churn, found: dict[str, Any]) -> None:
    """Each address is one device's, and the reason of each earlier holder says until when."""
    holders = Counter(ip for device in found["devices"] for ip in device["ips"])
    last = {lease.ip: mac_of(lease.host) for lease in month.leases}
    macs = by_mac(found)

    assert {1} == set(holders.values())
    right = sum(ip in macs[mac]["ips"] for ip, mac in last.items())
    assert right > 0.9 * len(last), "the mirror missed how a few got their addresses"
    held = {(mac_of(lease.host), lease.ip) for lease in month.leases}
    for mac, device in macs.items():
        for ip, reason in device["reasons"].get("ips", {"by": {}})["by"].items():
            assert (mac, ip) in held or mac in (SERVER.mac, CONTROLLER.mac)
            assert "conflict" not in reason


def test_nobody_is_alarmed(found: dict[str, Any]) -> None:
    """Leases that go from one to the next are neither conflicts nor switch-overs."""
    assert [] == [alert["rule"] for alert in found["alerts"]]
    kinds = {event["kind"] for event in found["events"]}
    assert not kinds & {"address-conflict", "switch-over"}


def test_ids_stay(month: Churn, found: dict[str, Any], tmp_path: Path) -> None:
    """A device of the first days has the same id at the end of the month."""
    days = [frame for frame in month.frames if frame[0] < START_NS + 8 * DAY_NS]
    early = by_mac(document(write_pcap(tmp_path / "days.pcap", days)))
    late = by_mac(found)

    assert len(early) > HOSTS // 2
    assert {mac: device["id"] for mac, device in early.items()} == {
        mac: late[mac]["id"] for mac in early
    }


def test_order_and_number_of_files_change_nothing(
    month: Churn, found: dict[str, Any], tmp_path: Path
) -> None:
    """The month in thirds, named in any order: the same devices, down to each attribute."""
    third = len(month.frames) // 3
    pieces = month.frames[:third], month.frames[third : 2 * third], month.frames[2 * third :]
    parts = [
        write_pcap(tmp_path / f"{name}.pcap", piece)
        for name, piece in zip("abc", pieces, strict=True)
    ]

    def devices(document_: dict[str, Any]) -> list[Any]:
        kept = ("id", "name", "type", "vendor", "ips", "macs", "protocols", "roles", "reasons")
        return [{key: device[key] for key in kept} for device in document_["devices"]]

    for order in (parts, parts[::-1], [parts[1], parts[2], parts[0]]):
        assert devices(document(*order)) == devices(found)
