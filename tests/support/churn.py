"""A month of hosts that come and go, whose addresses a DHCP server gives to one after another."""

from __future__ import annotations

import random
import struct
from dataclasses import dataclass, field
from ipaddress import IPv4Address

from support.frames import (
    BROADCAST,
    MS_NS,
    SECOND_NS,
    START_NS,
    Conversation,
    Host,
    Timed,
    arp,
    ethernet,
    ipv4,
    mac_bytes,
    modbus,
    udp,
)

DAY_NS = 86_400 * SECOND_NS
HOSTS = 200
DAYS = 30
POOL = 160
"""Fewer addresses than hosts: most are held by several hosts, one after the other."""

SERVER = Host(mac="00:1b:1b:00:10:01", ip="10.20.0.2")
CONTROLLER = Host(mac="28:63:36:00:10:02", ip="10.20.0.3")
PREFIXES = ("28:63:36", "00:00:bc", "00:1b:1b", "00:0e:8c")


@dataclass
class Lease:
    """A host holds an address from one time to another."""

    host: int
    ip: str
    start_ns: int
    end_ns: int


@dataclass
class Churn:
    """The frames, and who held which address when."""

    frames: list[Timed] = field(default_factory=list)
    leases: list[Lease] = field(default_factory=list)


def mac_of(number: int) -> str:
    """The MAC of a host."""
    return f"{PREFIXES[number % 4]}:20:{number >> 8:02x}:{number & 255:02x}"


def name_of(number: int) -> str:
    """What a host calls itself."""
    return f"host-{number:03}"


def agent_of(number: int) -> str:
    """The User-Agent of a host that reads pages."""
    return f"panel-{number:03}/1.0"


def polls(number: int) -> bool:
    """Whether the host polls the controller; the others read pages."""
    return number % 2 == 0


def dhcp(operation: int, kind: int, number: int, xid: int, given: str = "0.0.0.0") -> bytes:
    """A DHCP message (RFC 2131 §2) with message type and, of clients, host name."""
    head = struct.pack("!BBBBIHH", operation, 1, 6, 0, xid, 0, 0x8000)
    head += bytes(4) + IPv4Address(given).packed + bytes(8)
    head += mac_bytes(mac_of(number)).ljust(16, b"\0") + bytes(192)
    options = bytes([53, 1, kind])
    if operation == 1:
        name = name_of(number).encode()
        options += bytes([12, len(name)]) + name
    return head + b"\x63\x82\x53\x63" + options + b"\xff"


def _leased(number: int, ip: str, xid: int, at_ns: int) -> list[Timed]:
    """Discover, offer, request, acknowledge, all by broadcast."""
    frames = []
    for step, (operation, kind) in enumerate(((1, 1), (2, 2), (1, 3), (2, 5))):
        if operation == 1:
            mac, source, target, ports = mac_of(number), "0.0.0.0", "255.255.255.255", (68, 67)
            body = dhcp(1, kind, number, xid)
        else:
            mac, source, target, ports = SERVER.mac, SERVER.ip, "255.255.255.255", (67, 68)
            body = dhcp(2, kind, number, xid, ip)
        packet = ipv4(
            source, target, 17, udp(source, target, ports, body), identification=xid % 65535
        )
        frames.append((at_ns + step * MS_NS, ethernet(mac, BROADCAST, 0x0800, packet)))
    return frames


def _works(number: int, ip: str, port: int, at_ns: int) -> list[Timed]:
    """What a host does all day."""
    host = Host(mac=mac_of(number), ip=ip)
    if polls(number):
        talk = Conversation(host, CONTROLLER, (port, 502), at_ns=at_ns).open()
        talk.ask(
            modbus(1, 1, 3, struct.pack("!HH", 10, 2)), modbus(1, 1, 3, bytes([4, 0, 1, 0, 7]))
        )
        return talk.close().frames
    talk = Conversation(host, SERVER, (port, 80), at_ns=at_ns).open()
    request = f"GET /status HTTP/1.1\r\nHost: plant\r\nUser-Agent: {agent_of(number)}\r\n\r\n"
    talk.ask(request.encode(), b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
    return talk.close().frames


def churn(seed: int = 6, hosts: int = HOSTS, days: int = DAYS, pool: int = POOL) -> Churn:
    """A month: leases end over night, some hosts are away for days, some say hardly anything."""
    rng = random.Random(seed)
    month = Churn()
    held: dict[int, str] = {}
    addresses = [f"10.20.0.{10 + number}" for number in range(pool)]
    away = {number: rng.choice((0, 0, 0, 3, 7, 12)) for number in range(hosts)}
    for day in range(days):
        begin = START_NS + day * DAY_NS
        here = [n for n in range(hosts) if day % 15 >= away[n] and rng.random() < 0.75]
        here = here[:pool] if len(here) > pool else here
        rng.shuffle(here)
        held = {n: ip for n, ip in held.items() if n in here and rng.random() < 0.6}
        for order, number in enumerate(here):
            at_ns = begin + order * 20 * SECOND_NS
            ip = held.get(number)
            renewed = ip is not None
            if ip is None:
                ip = rng.choice(sorted(set(addresses) - set(held.values())))
                held[number] = ip
            end_ns = begin + DAY_NS - SECOND_NS
            month.leases.append(Lease(number, ip, at_ns, end_ns))
            host = Host(mac=mac_of(number), ip=ip)
            if rng.random() < 0.06:
                # The mirror missed how the host got its address, and shows one datagram of it.
                said = udp(ip, SERVER.ip, (40000, 9999), b"state of %d" % number)
                month.frames.append((at_ns, host.frame(SERVER, 17, said, day * 300 + order + 1)))
                continue
            if not renewed and rng.random() < 0.9:
                month.frames += _leased(number, ip, day * 1000 + number + 1, at_ns)
            month.frames.append((at_ns + SECOND_NS, arp(host.mac, ip, ip)))
            for hour in sorted(rng.sample(range(1, 9), 2)):
                port = 30000 + (day * 311 + number) % 20000
                month.frames += _works(number, ip, port, at_ns + hour * 3600 * SECOND_NS)
        for fixed in (SERVER, CONTROLLER):
            month.frames.append((begin, arp(fixed.mac, fixed.ip, "10.20.0.1")))
    month.frames.sort(key=lambda frame: frame[0])
    return month
