"""Evidence: frame bytes and the decoding that gives a value again (contracts.md §8)."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Sequence

import msgspec

from otic.errors import EvidenceError
from otic.facts import Evidence, Span, pack_spans


def _text(encoding: str) -> Callable[[bytes], str]:
    return lambda data: data.decode(encoding, errors="replace")


def _unsigned(order: str) -> Callable[[bytes], str]:
    return lambda data: str(int.from_bytes(data, "little" if order == "le" else "big"))


def _hex32(order: str) -> Callable[[bytes], str]:
    return lambda data: f"0x{int.from_bytes(data, 'little' if order == 'le' else 'big'):08x}"


def _ip(data: bytes) -> str:
    if len(data) not in (4, 16):
        raise EvidenceError(f"an IP address has 4 or 16 bytes, not {len(data)}")
    return str(ipaddress.ip_address(data))


def _dns_name(data: bytes) -> str:
    """Length-prefixed labels joined by dots, compression already followed (RFC 1035 §3.1)."""
    labels, at = [], 0
    while at < len(data) and data[at]:
        length = data[at]
        labels.append(data[at + 1 : at + 1 + length].decode("utf-8", errors="replace"))
        at += 1 + length
    return ".".join(labels)


def _nbns_name(data: bytes) -> str:
    """First-level encoding: two letters A-P a byte (RFC 1001 §14.1); the 16th byte is the type."""
    if data[:1] == b"\x20" and len(data) >= 33:
        data = data[1:33]
    raw = bytes(
        ((data[at] - 0x41) & 0x0F) << 4 | ((data[at + 1] - 0x41) & 0x0F)
        for at in range(0, len(data) - 1, 2)
    )
    return raw[:15].decode("latin-1").rstrip(" \0")


def _oid(data: bytes) -> str:
    """Content bytes of an object identifier in dotted decimal (X.690 §8.19)."""
    numbers: list[int] = []
    value = 0
    for octet in data:
        value = value << 7 | octet & 0x7F
        if not octet & 0x80:
            numbers.append(value)
            value = 0
    if not numbers:
        return ""
    first = min(numbers[0] // 40, 2)
    return ".".join(map(str, [first, numbers[0] - 40 * first, *numbers[1:]]))


DECODERS: dict[str, Callable[[bytes], str]] = {
    "ascii": _text("latin-1"),
    "utf-8": _text("utf-8"),
    "utf-16le": _text("utf-16-le"),
    "utf-16be": _text("utf-16-be"),
    "unsigned-be": _unsigned("be"),
    "unsigned-le": _unsigned("le"),
    "hex32be": _hex32("be"),
    "hex32le": _hex32("le"),
    "hex": bytes.hex,
    "dotted": lambda data: ".".join(map(str, data)),
    "bcd": lambda data: "".join(f"{octet >> 4:x}{octet & 15:x}" for octet in data),
    "mac": lambda data: data.hex(":"),
    "ip": _ip,
    "dns-name": _dns_name,
    "nbns-name": _nbns_name,
    "oid": _oid,
    "derived": bytes.hex,
}
"""How each decoding reads the joined bytes. `derived` shows the cited input in hexadecimal."""


def decode(name: str, data: bytes) -> str:
    """The value these bytes give by the decoding of this name.

    Raises:
        EvidenceError: no such decoding, or the bytes do not fit it.
    """
    decoder = DECODERS.get(name)
    if decoder is None:
        raise EvidenceError(f"no decoding is called {name!r}; there are {', '.join(DECODERS)}")
    return decoder(data)


def part(spans: Sequence[Span], start: int, length: int) -> list[Span]:
    """The frame bytes behind `length` bytes from `start` of the joined spans."""
    found: list[Span] = []
    for file, frame, offset, size in spans:
        if length <= 0:
            break
        if start >= size:
            start -= size
            continue
        taken = min(size - start, length)
        found.append((file, frame, offset + start, taken))
        length -= taken
        start = 0
    return found


def find(spans: Sequence[Span], data: bytes, value: str) -> Evidence:
    """Cites `value` where it stands as text in `data` (the bytes of `spans`), else all of it."""
    for encoding in ("utf-8", "utf-16-be", "utf-16-le"):
        coded = value.encode(encoding)
        at = data.find(coded) if coded else -1
        if at >= 0 and sum(span[3] for span in spans) >= at + len(coded):
            name = {"utf-16-be": "utf-16be", "utf-16-le": "utf-16le"}.get(encoding, encoding)
            return Evidence(pack_spans(part(spans, at, len(coded))), name)
    return Evidence(pack_spans(spans), "derived")


class Place(msgspec.Struct, frozen=True):
    """One run of bytes named by a person: file, frame from 1, offset, length."""

    file: str
    frame: int
    offset: int
    length: int


_PLACE = re.compile(r"(?P<file>.+):(?P<frame>\d+):(?P<offset>\d+):(?P<length>\d+)")


def parse(text: str) -> list[Place]:
    """The places in `FILE:FRAME:OFFSET:LENGTH[,…]`; a later part may leave out the file.

    Raises:
        EvidenceError: the text is not of that form.
    """
    places: list[Place] = []
    for piece in text.split(","):
        found = _PLACE.fullmatch(piece)
        if found is None and places and re.fullmatch(r"\d+:\d+:\d+", piece):
            found = _PLACE.fullmatch(f"{places[-1].file}:{piece}")
        if found is None:
            raise EvidenceError(f"{piece!r} is not FILE:FRAME:OFFSET:LENGTH")
        places.append(
            Place(found["file"], int(found["frame"]), int(found["offset"]), int(found["length"]))
        )
    return places
