"""Conversations that speak no protocol: what is in them came by chance, or from another layer."""

from __future__ import annotations

import base64
import gzip
import random
import struct
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import zstandard
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from support.frames import MS_NS, START_NS, Conversation, Host, Timed

TEXT = (
    "the pump was stopped after a shift leader had seen that water rose in basin two and called "
    "for help; before noon all valves were closed, tested and opened again by hand, which took "
    "longer than it should have, for nobody had the list of 24 keys that Mr. Brown keeps"
)
WORDS = TEXT.split()

LENGTHS = (1, 2, 4, 7, 8, 12, 16, 22, 29, 48, 64, 100, 180, 255, 256, 400, 700, 1000, 1400)
"""Of messages: short ones are as likely as long ones."""


def _random(chance: random.Random, size: int) -> bytes:
    return chance.randbytes(size)


def _encrypted(chance: random.Random, size: int) -> bytes:
    key = Cipher(algorithms.AES(chance.randbytes(16)), modes.CTR(chance.randbytes(16)))
    return key.encryptor().update(_text(chance, size))


def _text(chance: random.Random, size: int) -> bytes:
    many = size // 2 + 1  # no word with its blank is shorter than two
    words = chance.choices(WORDS, k=many)
    gaps = chance.choices((" ", ", ", ".\n", "\r\n"), (9, 2, 1, 1), k=many)
    return "".join(map("".join, zip(words, gaps, strict=True))).encode()[:size]


def _from_within(chance: random.Random, whole: bytes, size: int) -> bytes:
    """A part of a longer stream, its head now and then."""
    start = chance.choice((0, chance.randrange(max(1, len(whole) - size))))
    return whole[start : start + size]


def _zlib(chance: random.Random, size: int) -> bytes:
    return _from_within(chance, zlib.compress(_text(chance, 4 * size + 60)), size)


def _gzip(chance: random.Random, size: int) -> bytes:
    return _from_within(chance, gzip.compress(_text(chance, 4 * size + 60), mtime=0), size)


def _zstd(chance: random.Random, size: int) -> bytes:
    whole = zstandard.ZstdCompressor().compress(_text(chance, 4 * size + 60))
    return _from_within(chance, whole, size)


def _base64(chance: random.Random, size: int) -> bytes:
    return base64.b64encode(chance.randbytes(size))[:size]


def _digits(chance: random.Random, size: int) -> bytes:
    return bytes(chance.choices(b"0123456789ABCDEF", k=size))


def _zeros(_: random.Random, size: int) -> bytes:
    return bytes(size)


def _ones(_: random.Random, size: int) -> bytes:
    return b"\xff" * size


def _repeated(chance: random.Random, size: int) -> bytes:
    return bytes([chance.randrange(256)]) * size


def _bytes_counted(chance: random.Random, size: int) -> bytes:
    start = chance.randrange(256)
    return bytes((start + at) % 256 for at in range(size))


def _counted(chance: random.Random, size: int) -> bytes:
    """16- or 32-bit numbers of either order that go up."""
    start, width = chance.randrange(1 << 12), chance.choice("HI")
    many = size // struct.calcsize(width) + 1
    order = chance.choice("<>")
    return struct.pack(f"{order}{many}{width}", *range(start, start + many))[:size]


def _measured(chance: random.Random, size: int) -> bytes:
    """Floats near each other, as raw samples are sent."""
    at, order = chance.uniform(-50, 400), chance.choice("<>")
    many = size // 4 + 1
    values = (at + chance.gauss(0, 1) for _ in range(many))
    return struct.pack(f"{order}{many}f", *values)[:size]


KINDS: dict[str, Callable[[random.Random, int], bytes]] = {
    "random": _random,
    "encrypted": _encrypted,
    "zlib": _zlib,
    "gzip": _gzip,
    "zstd": _zstd,
    "base64": _base64,
    "text": _text,
    "digits": _digits,
    "zeros": _zeros,
    "ones": _ones,
    "repeated": _repeated,
    "bytes-counted": _bytes_counted,
    "counted": _counted,
    "measured": _measured,
}
"""By name: what gives so many bytes of a kind."""


@dataclass(frozen=True)
class Flow:
    """A conversation; all of it follows from these."""

    transport: str
    port: int
    kind: str
    variant: int

    @property
    def chance(self) -> random.Random:
        """Where its numbers come from, from the start."""
        return random.Random(f"{self.transport} {self.port} {self.kind} {self.variant}")

    @property
    def client(self) -> Host:
        """Of each kind there is one."""
        number = list(KINDS).index(self.kind)
        return Host(mac=f"02:00:00:00:01:{number:02x}", ip=f"10.0.1.{number + 1}")

    @property
    def server(self) -> Host:
        """Of each variant there is one."""
        number = self.variant % 250 + 1
        return Host(mac=f"02:00:00:00:02:{number:02x}", ip=f"10.0.2.{number}")

    @property
    def source(self) -> int:
        """The client's port: no protocol is at home there."""
        return self.chance.randrange(49152, 65536)

    @property
    def ends(self) -> frozenset[tuple[str, int]]:
        """Addresses and ports."""
        return frozenset({(self.client.ip, self.source), (self.server.ip, self.port)})

    def _messages(self) -> Iterator[tuple[bool, bytes]]:
        """Who sends (the client?) and what."""
        chance = self.chance
        for number in range(chance.randrange(2, 9)):
            yield number % 2 == 0, KINDS[self.kind](chance, chance.choice(LENGTHS))

    def frames(self, at_ns: int) -> list[Timed]:
        """A connection, or datagrams to and fro. Every third connection is joined in the middle."""
        ports = (self.source, self.port)
        talk = Conversation(self.client, self.server, ports, at_ns=at_ns)
        if self.transport == "tcp" and self.variant % 3 != 2:
            talk.open()
        for from_client, payload in self._messages():
            if self.transport == "udp":
                talk.datagram(from_client, payload)
            elif from_client:
                talk.ask(payload)
            else:
                talk.answer(payload)
        return talk.frames


def flows(ports: dict[str, list[int]], variants: range) -> list[Flow]:
    """On each port of `tcp` and `udp` one of each kind, in each variant."""
    return [
        Flow(transport, port, kind, variant)
        for variant in variants
        for transport, numbers in ports.items()
        for port in numbers
        for kind in KINDS
    ]


def frames(of: Iterable[Flow]) -> Iterator[Timed]:
    """The frames of these flows, one after the other."""
    at_ns = START_NS
    for flow in of:
        made = flow.frames(at_ns)
        yield from made
        at_ns = made[-1][0] + MS_NS
