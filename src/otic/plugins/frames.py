"""What goes between a process of Otic and the worker: a length of four bytes, and MessagePack."""

from __future__ import annotations

import msgspec

LENGTH = 4
MOST_ANSWER = 1 << 20
"""Longest answer taken from the worker, in bytes."""


class Load(msgspec.Struct, frozen=True, tag=True):
    """Make a plug-in ready."""

    plugin: str
    module: str
    function: str


class Ask(msgspec.Struct, frozen=True, tag=True):
    """Read a payload."""

    plugin: str
    kind: str
    protocol: str
    data: bytes


Request = Load | Ask


class Answer(msgspec.Struct, frozen=True):
    """What the plug-in said: rows of attribute, value and confidence; or why it failed."""

    rows: list[tuple[str, str, str]] = []
    failure: str = ""


def pack(message: Request | Answer) -> bytes:
    """The message as it is sent."""
    body = msgspec.msgpack.encode(message)
    return len(body).to_bytes(LENGTH) + body
