"""Frames of redundancy protocols, byte by byte: VRRP, HSRP, PRP, MRP, and who claims an address."""

from __future__ import annotations

import struct
from ipaddress import IPv4Address

from support.frames import SECOND_NS, START_NS, Timed, arp, ethernet, ipv4, mac_bytes, udp

VRRP_GROUP, VRRP_GROUP_MAC = "224.0.0.18", "01:00:5e:00:00:12"
HSRP_GROUP, HSRP_GROUP_MAC = "224.0.0.2", "01:00:5e:00:00:02"
ACTIVE, STANDBY = 16, 8


def at(second: float) -> int:
    """Nanoseconds of this second of the capture."""
    return START_NS + int(second * SECOND_NS)


def claims(second: float, mac: str, ip: str, about: str = "") -> Timed:
    """A machine says by ARP that it has the address: an announcement, or asking about another."""
    return at(second), arp(mac, ip, about or ip)


def vrrp(second: float, router: str, address: str, group: int = 10, priority: int = 100) -> Timed:
    """A master's advertisement, version 3 (RFC 9568 §5.1), every second."""
    message = struct.pack("!BBBBHH", 0x31, group, priority, 1, 100, 0) + IPv4Address(address).packed
    packet = ipv4(router, VRRP_GROUP, 112, message, ttl=255)
    return at(second), ethernet(f"00:00:5e:00:01:{group:02x}", VRRP_GROUP_MAC, 0x0800, packet)


def hsrp(second: float, mac: str, router: str, address: str, state: int, group: int = 10) -> Timed:
    """A router's hello, version 1 (RFC 2281 §5), every 3 s; an active one uses the group's MAC."""
    message = struct.pack("!BBBBBBBB8s", 0, 0, state, 3, 10, 90, group, 0, b"cisco")
    datagram = udp(router, HSRP_GROUP, (1985, 1985), message + IPv4Address(address).packed)
    source = f"00:00:0c:07:ac:{group:02x}" if state == ACTIVE else mac
    packet = ipv4(router, HSRP_GROUP, 17, datagram, ttl=1)
    return at(second), ethernet(source, HSRP_GROUP_MAC, 0x0800, packet)


def prp(frame: bytes, lan: str, sequence: int) -> bytes:
    """The frame with the trailer of LAN A or B (IEC 62439-3:2016 §4.1.10)."""
    size = len(frame) - 14 + 6
    return frame + struct.pack("!HHH", sequence, {"A": 0xA000, "B": 0xB000}[lan] | size, 0x88FB)


def supervision(mac: str, number: int) -> bytes:
    """A node's supervision frame (IEC 62439-3:2016 table 6)."""
    message = struct.pack("!HHBB", 1, number, 20, 6) + mac_bytes(mac) + bytes(2)
    return ethernet(mac, "01:15:4e:00:01:00", 0x88FB, message)


def ring_test(second: float, mac: str, closed: bool) -> Timed:
    """A ring manager's test frame (IEC 62439-2:2016 §8)."""
    test = struct.pack("!BBH6sHHHI", 2, 18, 0x8000, mac_bytes(mac), 0, int(closed), 3, 9)
    common = struct.pack("!BBH", 1, 18, 5) + b"\xff" * 16
    message = struct.pack("!H", 1) + test + common + bytes(2)
    return at(second), ethernet(mac, "01:15:4e:00:00:01", 0x88E3, message)
