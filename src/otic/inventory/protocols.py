"""The table of protocols: titles, role names, which are industrial, how much they prove."""

from __future__ import annotations

from functools import cache

import msgspec

from otic import data


class Protocol(msgspec.Struct, frozen=True, kw_only=True):
    """One protocol's words: (client, server) roles, and the rank of its identity claims.

    `inside` is the protocol whose messages carry this one's, where that has connections too.
    """

    title: str
    roles: list[str] = []
    inside: str = ""
    industrial: bool = False
    identity: int = 10


@cache
def protocols() -> dict[str, Protocol]:
    """All rows by protocol name."""
    return msgspec.toml.decode(data.read("protocols.toml"), type=dict[str, Protocol])


@cache
def protocol(name: str) -> Protocol:
    """The row of this protocol, or of the one it belongs to; a plain one for unknown names."""
    table = protocols()
    while name not in table and "-" in name:
        name = name.rpartition("-")[0]
    return table.get(name) or Protocol(title=name)


ASKED_BY_CONTROLLER = frozenset({"download-block", "download-ended"})
"""S7 requests by which a controller fetches the blocks that a station downloads to it: the actor is
the station, not the sender."""


@cache
def is_industrial(name: str) -> bool:
    """Whether a connection or operation protocol is an industrial one."""
    return protocol(name).industrial


@cache
def carriers(name: str) -> tuple[str, ...]:
    """The protocols whose messages carry this one's, the nearest first."""
    found: list[str] = []
    while (inside := protocol(name).inside) and inside not in found:
        found.append(inside)
        name = inside
    return tuple(found)
