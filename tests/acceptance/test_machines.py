"""Who is one machine, seen through routers and across cells with equal addresses."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import pytest

from support.frames import (
    MS_NS,
    START_NS,
    Host,
    Timed,
    arp,
    ethernet,
    ipv4,
    polling,
    udp,
    write_pcap,
)
from support.program import document

HOSTS = 500
ROUTER_INSIDE, ROUTER_OUTSIDE = "00:1b:1b:00:00:01", "00:1b:1b:00:00:02"
SERVER = Host(mac="02:00:00:00:ff:01", ip="10.9.0.1")


def host(number: int) -> Host:
    """A host of the inner network as it is seen there; every second one is Siemens' by its MAC."""
    vendor = ("28:63:36", "00:00:bc")[number % 2]
    return Host(
        mac=f"{vendor}:01:{number >> 8:02x}:{number & 255:02x}",
        ip=f"10.1.{number // 200}.{1 + number % 200}",
    )


def datagram(number: int) -> bytes:
    """The same packet is seen on both sides of the router, one hop apart."""
    return udp(host(number).ip, SERVER.ip, (40000 + number, 9999), b"state of host %d" % number)


def inside(number: int) -> list[Timed]:
    """A host's packet on its own side: its MAC, to the router's."""
    sender, at_ns = host(number), START_NS + number * MS_NS
    packet = ipv4(sender.ip, SERVER.ip, 17, datagram(number), ttl=64, identification=number + 1)
    return [
        (at_ns, arp(sender.mac, sender.ip, "10.1.0.254")),
        (at_ns + 1000, ethernet(sender.mac, ROUTER_INSIDE, 0x0800, packet)),
    ]


def outside(number: int) -> list[Timed]:
    """The same packet behind the router: the router's MAC, one hop less."""
    sender, at_ns = host(number), START_NS + number * MS_NS
    packet = ipv4(sender.ip, SERVER.ip, 17, datagram(number), ttl=63, identification=number + 1)
    return [(at_ns + 2000, ethernet(ROUTER_OUTSIDE, SERVER.mac, 0x0800, packet))]


def by_time(frames: list[Timed]) -> list[Timed]:
    """As one tap on both sides sees them."""
    return sorted(frames, key=lambda frame: frame[0])


def at_random(frames: list[Timed]) -> list[Timed]:
    """In any order, with the times of the places they came to."""
    times = sorted(ts_ns for ts_ns, _ in frames)
    shuffled = [frame for _, frame in frames]
    random.Random(3).shuffle(shuffled)
    return list(zip(times, shuffled, strict=True))


def outside_first(frames: list[Timed]) -> list[Timed]:
    """All of the far side before the near side."""
    times = sorted(ts_ns for ts_ns, _ in frames)
    far_first = sorted(frames, key=lambda frame: frame[1][6:12].hex(":") != ROUTER_OUTSIDE)
    return [(ts_ns, frame) for ts_ns, (_, frame) in zip(times, far_first, strict=True)]


@pytest.mark.parametrize("order", [by_time, at_random, outside_first])
def test_hosts_behind_one_router(
    tmp_path: Path, order: Callable[[list[Timed]], list[Timed]]
) -> None:
    """500 hosts seen from both sides are 500 devices and one router, with no wrong vendor."""
    answer = udp(SERVER.ip, host(0).ip, (9999, 40000), b"seen")
    frames = [frame for number in range(HOSTS) for frame in inside(number) + outside(number)]
    frames.append(
        (START_NS - MS_NS, SERVER.frame(Host(mac=ROUTER_OUTSIDE, ip=host(0).ip), 17, answer))
    )

    found = document(write_pcap(tmp_path / "router.pcap", order(frames)))["devices"]

    of_ip = {ip: device for device in found for ip in device["ips"]}
    inner = [of_ip[host(number).ip] for number in range(HOSTS)]
    assert len({device["id"] for device in inner}) == HOSTS
    for number, device in enumerate(inner):
        assert device["macs"] in ([host(number).mac], []), device["name"]
        assert (
            "Siemens" in (device["vendor"] or "")
            if number % 2 == 0
            else "Siemens" not in (device["vendor"] or "")
        ), device["name"]
    routers = [device for device in found if ROUTER_OUTSIDE in device["macs"]]
    assert len(routers) == 1
    assert not set(routers[0]["ips"]) & {host(number).ip for number in range(HOSTS)}


CELLS = 20


def cells(tagged: bool) -> list[Timed]:
    """Twenty machine cells with the same two addresses, each on a VLAN of its own."""
    frames: list[Timed] = []
    for cell in range(CELLS):
        vlans = (100 + cell,) if tagged else ()
        client = Host(mac=f"02:00:00:01:{cell:02x}:01", ip="192.168.1.10", vlans=vlans)
        server = Host(mac=f"02:00:00:01:{cell:02x}:02", ip="192.168.1.20", vlans=vlans)
        begin = START_NS + cell * MS_NS // 2
        frames.append((begin - MS_NS, arp(client.mac, client.ip, server.ip, vlans)))
        frames.append((begin - MS_NS, arp(server.mac, server.ip, client.ip, vlans)))
        frames += polling(client, server, at_ns=begin, identification=cell * 100)
    return by_time(frames)


def test_twenty_equal_cells_stay_apart_by_vlan(tmp_path: Path) -> None:
    """With a space a VLAN, twenty equal cells are forty devices and twenty connections."""
    capture = write_pcap(tmp_path / "cells.pcap", cells(tagged=True))

    found = document(capture, options=("--space-by", "vlan"))

    servers = [device for device in found["devices"] if device["ips"] == ["192.168.1.20"]]
    assert len(servers) == CELLS
    assert len({device["space"] for device in servers}) == CELLS
    assert all(len(device["macs"]) == 1 for device in servers)
    assert len([row for row in found["connections"] if row["protocol"] == "modbus"]) == CELLS


def test_twenty_equal_cells_without_tags_are_said(tmp_path: Path) -> None:
    """Without anything to tell them apart, Otic says so and averages no machines."""
    found = document(write_pcap(tmp_path / "flat.pcap", cells(tagged=False)))

    conflicts = [event for event in found["events"] if event["kind"] == "address-conflict"]
    assert {event["values"]["address"] for event in conflicts} == {"192.168.1.10", "192.168.1.20"}
    assert all(len(device["macs"]) <= 1 for device in found["devices"])
