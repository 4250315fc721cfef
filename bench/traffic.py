"""Capture files for the bench: steady OT polling, and a mix of OT and IT protocols.

Deterministic: the same arguments give the same bytes. Frames are built from the protocols' public
specifications; addresses are from documentation and private ranges.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from pathlib import Path

CLIENT_PORT = 40000
START_S = 1_700_000_000


class Pair:
    """Two hosts that talk, with their sequence numbers."""

    def __init__(self, number: int, port: int, *, udp: bool = False) -> None:
        self.macs = (
            b"\x02\x00\x00\x00\x01" + bytes([number % 5]),
            struct.pack(">HI", 0x0201, number),
        )
        self.addresses = (bytes([10, 0, 0, 1 + number % 5]), struct.pack(">I", 0x0A010001 + number))
        self.ports = (CLIENT_PORT + number % 20000, port)
        self.sequence = [1000, 5000]
        self.identification = number * 7
        self.turn = 0
        self.udp = udp

    def frame(self, sender: int, payload: bytes) -> bytes:
        """One Ethernet frame with `payload` from the client (0) or the server (1)."""
        other = 1 - sender
        if self.udp:
            length = 8 + len(payload)
            segment = (
                struct.pack(">HHHH", self.ports[sender], self.ports[other], length, 0) + payload
            )
        else:
            segment = (
                struct.pack(
                    ">HHIIBBHHH",
                    self.ports[sender],
                    self.ports[other],
                    self.sequence[sender] & 0xFFFFFFFF,
                    self.sequence[other] & 0xFFFFFFFF,
                    0x50,
                    0x18,
                    8192,
                    0,
                    0,
                )
                + payload
            )
            self.sequence[sender] += len(payload)
        self.identification = self.identification % 0xFFFF + 1
        packet = struct.pack(
            ">BBHHHBBH4s4s",
            0x45,
            0,
            20 + len(segment),
            self.identification,
            0x4000,
            64,
            17 if self.udp else 6,
            0,
            self.addresses[sender],
            self.addresses[other],
        )
        return self.macs[other] + self.macs[sender] + b"\x08\x00" + packet + segment


Exchange = Callable[[int], tuple[bytes, bytes]]


def modbus(turn: int) -> tuple[bytes, bytes]:
    """Read 10 holding registers (function 3) at one of four addresses."""
    request = struct.pack(">HHHBBHH", turn & 0xFFFF, 0, 6, 1, 3, turn % 4 * 100, 10)
    return request, struct.pack(">HHHBBB", turn & 0xFFFF, 0, 23, 1, 3, 20) + bytes(20)


def s7(turn: int) -> tuple[bytes, bytes]:
    """Read two bytes of data block 1 (job, read var)."""
    reference = turn & 0xFFFF
    item = bytes.fromhex("120a10020002000184000000")
    job = struct.pack(">BBHHHH", 0x32, 1, 0, reference, 2 + len(item), 0) + b"\x04\x01" + item
    answer = (
        struct.pack(">BBHHHHH", 0x32, 3, 0, reference, 2, 6, 0)
        + b"\x04\x01\xff\x04\x00\x10\x00\x2a"
    )
    frame = lambda pdu: struct.pack(">BBHBBB", 3, 0, 7 + len(pdu), 2, 0xF0, 0x80) + pdu  # noqa: E731
    return frame(job), frame(answer)


def iec104(turn: int) -> tuple[bytes, bytes]:
    """A measured value (type 13) and the other side's supervisory frame."""
    count = (turn & 0x7FFF) << 1
    asdu = bytes.fromhex("0d0103000100640000") + struct.pack("<f", turn % 50) + b"\x00"
    value = struct.pack("<BBHH", 0x68, 4 + len(asdu), count, 0) + asdu
    return struct.pack("<BBHH", 0x68, 4, 1, count), value


def enip(turn: int) -> tuple[bytes, bytes]:
    """List identity over TCP."""
    request = struct.pack("<HHII8sI", 0x63, 0, 0, 0, bytes(8), 0)
    identity = (
        struct.pack("<H", 1)
        + bytes(16)
        + struct.pack("<HHHBBHIB", 1, 14, 55, 20, 11, 0x60, 0x1234, 5)
    )
    identity += b"BENCH\x03"
    items = struct.pack("<HHH", 1, 0x0C, len(identity)) + identity
    return request, struct.pack("<HHII8sI", 0x63, len(items), 0, 0, bytes(8), 0) + items


def bacnet(turn: int) -> tuple[bytes, bytes]:
    """Read the present value of analog input 1."""
    invoke = turn & 0xFF
    request = (
        bytes.fromhex("0104") + bytes([0x00, 0x05, invoke]) + bytes.fromhex("0c0c000000011955")
    )
    answer = (
        bytes.fromhex("0100")
        + bytes([0x30, invoke])
        + bytes.fromhex("0c0c0000000119553e44424800003f")
    )
    bvlc = lambda npdu: struct.pack(">BBH", 0x81, 0x0A, 4 + len(npdu)) + npdu  # noqa: E731
    return bvlc(request), bvlc(answer)


def dns(turn: int) -> tuple[bytes, bytes]:
    """An address query and its answer."""
    question = b"\x09historian\x05plant\x07example\x00" + struct.pack(">HH", 1, 1)
    query = struct.pack(">HHHHHH", turn & 0xFFFF, 0x0100, 1, 0, 0, 0) + question
    answer = struct.pack(">HHHIH", 0xC00C, 1, 1, 60, 4) + bytes([10, 1, 0, 9])
    return query, struct.pack(">HHHHHH", turn & 0xFFFF, 0x8180, 1, 1, 0, 0) + question + answer


def http(turn: int) -> tuple[bytes, bytes]:
    """A small page."""
    body = b"<html>ok</html>"
    head = b"HTTP/1.1 200 OK\r\nServer: bench/1\r\nContent-Length: %d\r\n\r\n" % len(body)
    return b"GET /status HTTP/1.1\r\nHost: hmi\r\nUser-Agent: bench/1\r\n\r\n", head + body


def snmp(turn: int) -> tuple[bytes, bytes]:
    """sysUpTime, version 2c."""
    number = struct.pack(">BBH", 2, 2, turn & 0x7FFF)
    oid = bytes.fromhex("06082b06010201010300")

    def message(tag: int, value: bytes) -> bytes:
        binding = b"\x30" + bytes([len(oid) + len(value)]) + oid + value
        content = number + b"\x02\x01\x00\x02\x01\x00\x30" + bytes([len(binding)]) + binding
        pdu = bytes([tag, len(content)]) + content
        inner = b"\x02\x01\x01\x04\x06public" + pdu
        return b"\x30" + bytes([len(inner)]) + inner

    return message(0xA0, b"\x05\x00"), message(0xA2, b"\x43\x02\x10\x00")


MIX: list[tuple[Exchange, int, bool, int]] = [
    (modbus, 502, False, 60),
    (s7, 102, False, 30),
    (iec104, 2404, False, 20),
    (enip, 44818, False, 10),
    (bacnet, 47808, True, 30),
    (dns, 53, True, 20),
    (http, 80, False, 10),
    (snmp, 161, True, 20),
]


def conversations(kind: str) -> list[tuple[Pair, Exchange]]:
    """The pairs of a file: 200 Modbus sessions for `polling`, eight protocols for `mixed`."""
    if kind == "polling":
        return [(Pair(number, 502), modbus) for number in range(200)]
    pairs = []
    for exchange, port, udp, count in MIX:
        for _ in range(count):
            pairs.append((Pair(len(pairs), port, udp=udp), exchange))
    return pairs


def frames(kind: str, count: int) -> Iterator[bytes]:
    """`count` frames, request and response in turn, round robin over all pairs."""
    made = 0
    pairs = conversations(kind)
    while True:
        for pair, exchange in pairs:
            pair.turn += 1
            for sender, payload in enumerate(exchange(pair.turn)):
                if made == count:
                    return
                yield pair.frame(sender, payload)
                made += 1


def large_plant(devices: int, connections: int) -> Iterator[bytes]:
    """Every device says its address, then each connection reads registers once."""

    def mac(number: int) -> bytes:
        return struct.pack(">HI", 0x0202, number)

    def address(number: int) -> bytes:
        return struct.pack(">I", 0x0A000000 + number)

    for number in range(1, devices + 1):
        asked = number * 7 % devices + 1
        body = struct.pack(">HHBBH", 1, 0x0800, 6, 4, 1) + mac(number) + address(number)
        yield b"\xff" * 6 + mac(number) + b"\x08\x06" + body + bytes(6) + address(asked)
    for number in range(connections):
        client = number * 7 % devices + 1
        server = (number * 13 + number // devices * 17 + 1) % devices + 1
        pair = Pair(number, 502)
        pair.macs = mac(client), mac(server)
        pair.addresses = address(client), address(server)
        for sender, payload in enumerate(modbus(number)):
            yield pair.frame(sender, payload)


def file_header() -> bytes:
    """The header of a pcap file (microseconds, Ethernet)."""
    return struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1)


def record(frame: bytes, time_s: float) -> bytes:
    """A frame in a pcap file, at this time since 1970 UTC."""
    seconds, rest = divmod(int(time_s * 1_000_000), 1_000_000)
    return struct.pack("<IIII", seconds, rest, len(frame), len(frame)) + frame


def write(path: Path, kind: str, count: int, *, frames_per_s: int = 50_000) -> None:
    """Writes a pcap file."""
    with path.open("wb") as file:
        file.write(file_header())
        for number, frame in enumerate(frames(kind, count)):
            file.write(record(frame, START_S + number / frames_per_s))
