"""Frames with right checksums and captures that hold them, byte by byte.

Addresses are text (`02:00:00:00:00:01`, `10.0.0.1`), times nanoseconds since 1970 UTC.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Address
from pathlib import Path

START_NS = 1_700_000_000_000_000_000
MS_NS = 1_000_000
SECOND_NS = 1_000_000_000
BROADCAST = "ff:ff:ff:ff:ff:ff"
ETHERNET = 1
RAW_IP = 101

Timed = tuple[int, bytes]
"""A frame and when it was captured."""


def mac_bytes(mac: str) -> bytes:
    """The six bytes of a MAC address."""
    return bytes.fromhex(mac.replace(":", ""))


def checksum(data: bytes) -> int:
    """The ones' complement sum of RFC 1071."""
    if len(data) % 2:
        data += b"\0"
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def ethernet(
    source: str, destination: str, kind: int, payload: bytes, vlans: Sequence[int] = ()
) -> bytes:
    """An Ethernet II frame, padded to 60 bytes, with 802.1Q tags from the outside in."""
    tags = b"".join(struct.pack("!HH", 0x8100, vlan) for vlan in vlans)
    frame = mac_bytes(destination) + mac_bytes(source) + tags + struct.pack("!H", kind) + payload
    return frame.ljust(60, b"\0")


def arp(source_mac: str, source_ip: str, wanted_ip: str, vlans: Sequence[int] = ()) -> bytes:
    """An ARP request (RFC 826)."""
    body = struct.pack("!HHBBH", 1, 0x0800, 6, 4, 1)
    body += mac_bytes(source_mac) + IPv4Address(source_ip).packed
    body += bytes(6) + IPv4Address(wanted_ip).packed
    return ethernet(source_mac, BROADCAST, 0x0806, body, vlans)


def ipv4(
    source: str,
    destination: str,
    protocol: int,
    payload: bytes,
    *,
    ttl: int = 64,
    identification: int = 0,
) -> bytes:
    """An IPv4 packet without options (RFC 791)."""
    head = struct.pack(
        "!BBHHHBBH4s4s",
        0x45,
        0,
        20 + len(payload),
        identification,
        0x4000,
        ttl,
        protocol,
        0,
        IPv4Address(source).packed,
        IPv4Address(destination).packed,
    )
    return head[:10] + struct.pack("!H", checksum(head)) + head[12:] + payload


def _pseudo_header(source: str, destination: str, protocol: int, length: int) -> bytes:
    ends = IPv4Address(source).packed + IPv4Address(destination).packed
    return ends + struct.pack("!BBH", 0, protocol, length)


def udp(source: str, destination: str, ports: tuple[int, int], payload: bytes) -> bytes:
    """A UDP datagram (RFC 768) for these addresses."""
    head = struct.pack("!HHHH", *ports, 8 + len(payload), 0)
    pseudo = _pseudo_header(source, destination, 17, 8 + len(payload))
    total = checksum(pseudo + head + payload) or 0xFFFF
    return head[:6] + struct.pack("!H", total) + payload


def tcp(
    source: str,
    destination: str,
    ports: tuple[int, int],
    numbers: tuple[int, int],
    flags: int,
    payload: bytes = b"",
) -> bytes:
    """A TCP segment (RFC 9293) for these addresses; `numbers` are sequence and acknowledgement."""
    head = struct.pack("!HHIIBBHHH", *ports, *numbers, 0x50, flags, 8192, 0, 0)
    pseudo = _pseudo_header(source, destination, 6, len(head) + len(payload))
    total = checksum(pseudo + head + payload)
    return head[:16] + struct.pack("!HH", total, 0) + payload


@dataclass(frozen=True, kw_only=True)
class Host:
    """A machine: its MAC (or its router's, as the tap sees it), its address, its VLANs."""

    mac: str
    ip: str
    vlans: tuple[int, ...] = ()
    ttl: int = 64

    def frame(self, to: Host, protocol: int, payload: bytes, identification: int = 0) -> bytes:
        """A frame from this machine to another."""
        packet = ipv4(
            self.ip, to.ip, protocol, payload, ttl=self.ttl, identification=identification
        )
        return ethernet(self.mac, to.mac, 0x0800, packet, self.vlans)


PLC = Host(mac="02:00:00:00:00:01", ip="10.0.0.1")
HMI = Host(mac="02:00:00:00:00:02", ip="10.0.0.2")
STATION = Host(mac="02:00:00:00:00:03", ip="10.0.0.3")
ROUTER_MAC = "02:00:00:00:00:fe"
OUTSIDE = Host(mac=ROUTER_MAC, ip="8.8.8.8", ttl=57)
"""Some machines: a controller, its panel, an engineering station, and one of the internet."""

SYN, ACK, PSH, FIN = 0x02, 0x10, 0x08, 0x01


@dataclass
class Conversation:
    """A TCP connection whose numbers are kept right."""

    client: Host
    server: Host
    ports: tuple[int, int]
    at_ns: int = START_NS
    step_ns: int = MS_NS
    frames: list[Timed] = field(default_factory=list)
    identification: int = 0
    _next: list[int] = field(default_factory=lambda: [1000, 5000])

    def _send(self, from_client: bool, flags: int, payload: bytes = b"") -> None:
        sender, receiver = (self.client, self.server)[:: 1 if from_client else -1]
        ports = self.ports if from_client else self.ports[::-1]
        own, other = (0, 1) if from_client else (1, 0)
        numbers = (self._next[own], self._next[other] if flags & ACK else 0)
        segment = tcp(sender.ip, receiver.ip, ports, numbers, flags, payload)
        self.identification += 1
        self.frames.append((self.at_ns, sender.frame(receiver, 6, segment, self.identification)))
        self._next[own] += len(payload) + (1 if flags & (SYN | FIN) else 0)
        self.at_ns += self.step_ns

    def open(self) -> Conversation:
        """The three-way handshake."""
        self._send(True, SYN)
        self._send(False, SYN | ACK)
        self._send(True, ACK)
        return self

    def ask(self, request: bytes, response: bytes = b"") -> Conversation:
        """One request, and its response when there is one."""
        self._send(True, PSH | ACK, request)
        if response:
            self._send(False, PSH | ACK, response)
        return self

    def answer(self, payload: bytes) -> Conversation:
        """The server sends."""
        self._send(False, PSH | ACK, payload)
        return self

    def datagram(self, from_client: bool, payload: bytes) -> Conversation:
        """One side sends a UDP datagram between the same ends."""
        sender, receiver = (self.client, self.server)[:: 1 if from_client else -1]
        ports = self.ports if from_client else self.ports[::-1]
        self.identification += 1
        packet = udp(sender.ip, receiver.ip, ports, payload)
        self.frames.append((self.at_ns, sender.frame(receiver, 17, packet, self.identification)))
        self.at_ns += self.step_ns
        return self

    def close(self) -> Conversation:
        """Both sides end."""
        self._send(True, FIN | ACK)
        self._send(False, FIN | ACK)
        self._send(True, ACK)
        return self


def attempts(
    source: Host, targets: Sequence[tuple[str, int]], *, step_ns: int = SECOND_NS
) -> list[Timed]:
    """Connection attempts to these addresses and ports that nobody answers, one after the other."""
    frames = []
    for number, (address, port) in enumerate(targets):
        target = Host(mac=f"02:00:00:01:{number >> 8:02x}:{number & 255:02x}", ip=address)
        segment = tcp(source.ip, address, (40000 + number, port), (1000, 0), SYN)
        frames.append((START_NS + number * step_ns, source.frame(target, 6, segment, number + 1)))
    return frames


def modbus(transaction: int, unit: int, function: int, data: bytes) -> bytes:
    """A Modbus/TCP message (Modbus Messaging on TCP/IP V1.0b §3.1.3)."""
    return struct.pack("!HHHBB", transaction, 0, 2 + len(data), unit, function) + data


def polling(
    client: Host,
    server: Host,
    *,
    rounds: int = 3,
    at_ns: int = START_NS,
    identification: int = 0,
) -> list[Timed]:
    """A Modbus client that reads two registers a few times and writes one.

    IP identifications count up from `identification`, so that machines with equal addresses do not
    send the same packet twice, which would be a copy.
    """
    talk = Conversation(
        client, server, (49152, 502), at_ns=at_ns, identification=identification
    ).open()
    for number in range(rounds):
        talk.ask(
            modbus(number, 1, 3, struct.pack("!HH", 10, 2)),
            modbus(number, 1, 3, bytes([4, 0, number % 256, 0, 7])),
        )
        talk.at_ns += 100 * MS_NS
    write = struct.pack("!HH", 20, 77)
    talk.ask(modbus(rounds, 1, 6, write), modbus(rounds, 1, 6, write))
    return talk.close().frames


def pcap(
    frames: Iterable[Timed], *, link_type: int = ETHERNET, snap_length: int = 262_144
) -> bytes:
    """A pcap file with nanosecond timestamps, little-endian."""
    parts = [struct.pack("<IHHiIII", 0xA1B23C4D, 2, 4, 0, 0, snap_length, link_type)]
    for ts_ns, frame in frames:
        kept = frame[:snap_length]
        parts.append(struct.pack("<IIII", *divmod(ts_ns, SECOND_NS), len(kept), len(frame)) + kept)
    return b"".join(parts)


def write_pcap(path: Path, frames: Iterable[Timed], *, link_type: int = ETHERNET) -> Path:
    """Writes a pcap file and gives its path."""
    path.write_bytes(pcap(frames, link_type=link_type))
    return path


def _block(kind: int, body: bytes) -> bytes:
    body = body.ljust(-(-len(body) // 4) * 4, b"\0")
    length = struct.pack("<I", 12 + len(body))
    return struct.pack("<I", kind) + length + body + length


def pcapng(link_types: Sequence[int], frames: Iterable[tuple[int, int, bytes]]) -> bytes:
    """A pcapng file with one interface a link type; frames are (interface, time, bytes)."""
    parts = [_block(0x0A0D0D0A, struct.pack("<IHHq", 0x1A2B3C4D, 1, 0, -1))]
    resolution = struct.pack("<HHB3xHH", 9, 1, 9, 0, 0)  # if_tsresol: 10^-9 s
    parts += [_block(1, struct.pack("<HHI", link, 0, 0) + resolution) for link in link_types]
    for interface, ts_ns, frame in frames:
        head = struct.pack(
            "<IIIII", interface, ts_ns >> 32, ts_ns & 0xFFFFFFFF, len(frame), len(frame)
        )
        parts.append(_block(6, head + frame))
    return b"".join(parts)
