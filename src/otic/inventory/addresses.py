"""What an address text says about itself."""

from __future__ import annotations

import ipaddress
import re
from functools import lru_cache

_MAC = re.compile(r"(?:[0-9a-f]{2}:){5}[0-9a-f]{2}")
_VIRTUAL = re.compile(
    r"00:00:5e:00:0[12]:..|00:00:0c:07:ac:..|00:00:0c:9f:f.:..|00:05:73:a0:0.:..|00:07:b4:00:..:.."
)
"""MACs of VRRP (RFC 9568 §7.3), HSRP 1, 2 and IPv6, and GLBP: they float between routers."""


def is_mac(address: str) -> bool:
    """Whether the text is a MAC address (also one byte of ARCNET or MS/TP written in full)."""
    return _MAC.fullmatch(address) is not None


def is_virtual_mac(address: str) -> bool:
    """Whether the MAC belongs to a group of routers, not to one machine."""
    return _VIRTUAL.fullmatch(address) is not None


def is_group_mac(address: str) -> bool:
    """Whether the MAC names a group: bit 0 of its first byte."""
    return is_mac(address) and bool(int(address[:2], 16) & 1)


def is_local_mac(address: str) -> bool:
    """Whether the MAC was given by an administrator and so names no maker."""
    return bool(int(address[:2], 16) & 2)


@lru_cache(maxsize=32768)
def parse(address: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """The IP address of this text; none where it is no IP address."""
    try:
        return ipaddress.ip_address(address)
    except ValueError:
        return None


def is_group(address: str) -> bool:
    """Whether the address names a group of receivers."""
    if is_mac(address):
        return is_group_mac(address)
    ip = parse(address)
    return ip is not None and (ip.is_multicast or address == "255.255.255.255")


def is_public(address: str) -> bool:
    """Whether the address is routed in the internet."""
    ip = parse(address)
    return ip is not None and ip.is_global and not ip.is_multicast


def plainness(address: str) -> int:
    """How plainly an address names its machine to a person, smallest best: IPv4, IPv6, an IPv6
    address of the link alone, a MAC.
    """
    ip = parse(address)
    if ip is None:
        return 3
    if ip.version == 4:
        return 0
    return 2 if ip.is_link_local else 1


def eui64(mac: str) -> bytes:
    """The IPv6 interface identifier made from a MAC (RFC 4291 appendix A)."""
    octets = bytes.fromhex(mac.replace(":", ""))
    return bytes([octets[0] ^ 2]) + octets[1:3] + b"\xff\xfe" + octets[3:]


def sort_key(address: str) -> tuple[int, int, str]:
    """Orders IPv4 before IPv6 before everything else, each by number."""
    ip = parse(address)
    return (ip.version, int(ip), "") if ip is not None else (9, 0, address)
