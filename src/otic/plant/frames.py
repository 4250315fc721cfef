"""Builds frames byte by byte: Ethernet, ARP, IPv4, UDP, and TCP conversations with handshake.

Checksums, lengths, sequence and acknowledge numbers are right, so that every decoder accepts them.
Sources: IEEE 802.3, RFC 826, RFC 791, RFC 768, RFC 9293.
"""

from __future__ import annotations

import ipaddress
import struct
from pathlib import Path

import msgspec

FIN, SYN, RST, PSH, ACK = 0x01, 0x02, 0x04, 0x08, 0x10

ETHERTYPE_IPV4 = 0x0800
ETHERTYPE_ARP = 0x0806
ETHERTYPE_LLDP = 0x88CC

SHORTEST_FRAME = 60


class Host(msgspec.Struct, frozen=True):
    """A network card of the plant; `hops` is the hop limit that its packets have left here."""

    mac: str
    ip: str
    hops: int = 64

    @property
    def mac_bytes(self) -> bytes:
        """The six bytes of the MAC."""
        return bytes.fromhex(self.mac.replace(":", ""))

    @property
    def ip_bytes(self) -> bytes:
        """The four bytes of the address."""
        return ipaddress.IPv4Address(self.ip).packed


def checksum(data: bytes) -> int:
    """The Internet checksum (RFC 1071)."""
    if len(data) % 2:
        data += b"\0"
    total: int = sum(struct.unpack(f">{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def ethernet(source: bytes, destination: bytes, kind: int, payload: bytes) -> bytes:
    """An Ethernet II frame without its check sequence, padded to the shortest length."""
    frame = destination + source + struct.pack(">H", kind) + payload
    return frame.ljust(SHORTEST_FRAME, b"\0")


class Wire:
    """Frames in the order they were sent, each at its time."""

    def __init__(self, start_ns: int) -> None:
        self.now_ns = start_ns
        self.frames: list[tuple[int, int, str, bytes]] = []
        self._ip_ids: dict[str, int] = {}

    def wait(self, seconds: float) -> None:
        """Lets time pass."""
        self.now_ns += int(seconds * 1_000_000_000)

    def send(self, frame: bytes) -> None:
        """Puts one frame on the wire; the next can be sent 150 microseconds later."""
        self.frames.append((self.now_ns, len(frame), "ethernet", frame))
        self.now_ns += 150_000

    def write(self, path: Path) -> None:
        """Writes all frames as pcapng."""
        from otic import _core

        _core.write_pcapng(str(path), self.frames)

    def arp(self, asker: Host, answerer: Host) -> None:
        """A question who has an address, and the answer."""
        head = struct.pack(">HHBBH", 1, ETHERTYPE_IPV4, 6, 4, 1)
        ask = head + asker.mac_bytes + asker.ip_bytes + bytes(6) + answerer.ip_bytes
        self.send(ethernet(asker.mac_bytes, b"\xff" * 6, ETHERTYPE_ARP, ask))
        head = struct.pack(">HHBBH", 1, ETHERTYPE_IPV4, 6, 4, 2)
        told = head + answerer.mac_bytes + answerer.ip_bytes + asker.mac_bytes + asker.ip_bytes
        self.send(ethernet(answerer.mac_bytes, asker.mac_bytes, ETHERTYPE_ARP, told))

    def ask(self, asker: Host, address: str) -> None:
        """A question who has an address that nobody answers."""
        head = struct.pack(">HHBBH", 1, ETHERTYPE_IPV4, 6, 4, 1)
        wanted = ipaddress.IPv4Address(address).packed
        ask = head + asker.mac_bytes + asker.ip_bytes + bytes(6) + wanted
        self.send(ethernet(asker.mac_bytes, b"\xff" * 6, ETHERTYPE_ARP, ask))

    def ip(self, source: Host, destination: Host, protocol: int, payload: bytes) -> None:
        """An IPv4 packet with a rising identification."""
        number = self._ip_ids[source.ip] = self._ip_ids.get(source.ip, 1000) + 1
        head = struct.pack(
            ">BBHHHBBH4s4s",
            0x45,
            0,
            20 + len(payload),
            number & 0xFFFF,
            0x4000,
            source.hops,
            protocol,
            0,
            source.ip_bytes,
            destination.ip_bytes,
        )
        head = head[:10] + struct.pack(">H", checksum(head)) + head[12:]
        self.send(ethernet(source.mac_bytes, destination.mac_bytes, ETHERTYPE_IPV4, head + payload))

    def udp(
        self, source: Host, source_port: int, destination: Host, port: int, data: bytes
    ) -> None:
        """A UDP datagram."""
        length = 8 + len(data)
        pseudo = source.ip_bytes + destination.ip_bytes + struct.pack(">BBH", 0, 17, length)
        head = struct.pack(">HHHH", source_port, port, length, 0)
        total = checksum(pseudo + head + data) or 0xFFFF
        self.ip(source, destination, 17, head[:6] + struct.pack(">H", total) + data)

    def tcp(
        self,
        source: tuple[Host, int],
        destination: tuple[Host, int],
        sequence: int,
        acknowledged: int,
        flags: int,
        data: bytes = b"",
    ) -> None:
        """A TCP segment."""
        (sender, sender_port), (receiver, receiver_port) = source, destination
        options = b"\x02\x04\x05\xb4" if flags & SYN else b""
        head = struct.pack(
            ">HHIIBBHHH",
            sender_port,
            receiver_port,
            sequence & 0xFFFFFFFF,
            acknowledged & 0xFFFFFFFF,
            (5 + len(options) // 4) << 4,
            flags,
            8192,
            0,
            0,
        )
        whole = head + options + data
        pseudo = sender.ip_bytes + receiver.ip_bytes + struct.pack(">BBH", 0, 6, len(whole))
        total = checksum(pseudo + whole)
        self.ip(sender, receiver, 6, whole[:16] + struct.pack(">H", total) + whole[18:])


class Talk:
    """A TCP conversation, opened by its client."""

    def __init__(self, wire: Wire, client: Host, port: int, server: Host, server_port: int) -> None:
        self.wire = wire
        self.client = client, port
        self.server = server, server_port
        self.sent = 0x1000 + port * 7
        self.returned = 0x8000 + port * 11
        wire.tcp(self.client, self.server, self.sent, 0, SYN)
        self.sent += 1
        wire.tcp(self.server, self.client, self.returned, self.sent, SYN | ACK)
        self.returned += 1
        wire.tcp(self.client, self.server, self.sent, self.returned, ACK)

    def say(self, data: bytes) -> None:
        """The client sends."""
        self.wire.tcp(self.client, self.server, self.sent, self.returned, PSH | ACK, data)
        self.sent += len(data)

    def hear(self, data: bytes) -> None:
        """The server sends."""
        self.wire.tcp(self.server, self.client, self.returned, self.sent, PSH | ACK, data)
        self.returned += len(data)

    def ask(self, question: bytes, answer: bytes) -> None:
        """The client sends, the server answers, the client acknowledges."""
        self.say(question)
        self.wire.wait(0.002)
        self.hear(answer)
        self.wire.tcp(self.client, self.server, self.sent, self.returned, ACK)

    def close(self) -> None:
        """Both sides end."""
        self.wire.tcp(self.client, self.server, self.sent, self.returned, FIN | ACK)
        self.wire.tcp(self.server, self.client, self.returned, self.sent + 1, FIN | ACK)
        self.wire.tcp(self.client, self.server, self.sent + 1, self.returned + 1, ACK)
