"""What the kernel says of a network interface, as the core read it."""

from __future__ import annotations

import msgspec


class NicFacts(msgspec.Struct, frozen=True, kw_only=True):
    """Facts of one interface (the core's `NicFacts`); none is what the kernel did not say.

    Counters are frames since the interface was made.
    """

    interface: str
    exists: bool = False
    up: bool | None = None
    carrier: bool | None = None
    mtu: int | None = None
    speed_mbit_per_s: int | None = None
    promiscuous: bool | None = None
    has_address: bool | None = None
    has_link_local: bool = False
    arp: bool | None = None
    rx_packets: int | None = None
    rx_dropped: int | None = None
    rx_missed: int | None = None
    rx_fifo: int | None = None
    tx_packets: int | None = None
    gro: bool | None = None
    lro: bool | None = None
    rx_vlan: bool | None = None


def read(interface: str) -> NicFacts:
    """The facts of the interface of this name in this network namespace."""
    from otic import _core

    return msgspec.json.decode(_core.interface_facts(interface), type=NicFacts)


def ways_to_speak(facts: NicFacts) -> list[tuple[str, str]]:
    """Why the kernel itself may send on this port: (reason, command that ends it)."""
    name = facts.interface
    ways = []
    if facts.has_address:
        ways.append(
            (
                f"{name} has an IP address, so this machine answers there",
                f"ip addr flush dev {name}",
            )
        )
    if facts.has_link_local:
        ways.append(
            (
                f"{name} has a link-local IPv6 address, so the kernel announces itself there",
                f"sysctl -w net.ipv6.conf.{name}.disable_ipv6=1",
            )
        )
    if facts.arp:
        # ip-sysctl(7), arp_ignore: by default any local address is answered for on any port.
        ways.append(
            (
                f"the kernel answers ARP requests on {name} for this machine's other addresses",
                f"ip link set dev {name} arp off",
            )
        )
    return ways
