"""The table of protocols: titles, role names, which are industrial, how much they prove."""

from __future__ import annotations

from functools import cache

import msgspec

from otic import data
from otic.protocols import in_force, version


class Protocol(msgspec.Struct, frozen=True, kw_only=True):
    """One protocol's words: (client, server) roles, and the rank of its identity claims.

    `inside` is the protocol whose messages carry this one's, where that has connections too.
    """

    title: str
    vendor: str = ""
    roles: list[str] = []
    inside: str = ""
    industrial: bool = False
    identity: int = 10


def protocols() -> dict[str, Protocol]:
    """All rows by protocol name."""
    return _protocols(version())


@cache
def _protocols(_: int) -> dict[str, Protocol]:
    rows = msgspec.toml.decode(data.read("protocols.toml"), type=dict[str, Protocol])
    for one in in_force():
        rows[one.name] = Protocol(
            title=one.title,
            vendor=one.vendor,
            roles=[one.client, one.server],
            industrial=one.inventory.industrial,
            identity=one.inventory.identity,
        )
    return rows


def protocol(name: str) -> Protocol:
    """The row of this protocol, or of the one it belongs to; a plain one for unknown names."""
    return _protocol(name, version())


@cache
def _protocol(name: str, _: int) -> Protocol:
    table = protocols()
    while name not in table and "-" in name:
        name = name.rpartition("-")[0]
    return table.get(name) or Protocol(title=name)


ASKED_BY_CONTROLLER = frozenset({"download-block", "download-ended"})
"""S7 requests by which a controller fetches the blocks that a station downloads to it: the actor is
the station, not the sender."""


def is_industrial(name: str) -> bool:
    """Whether a connection or operation protocol is an industrial one."""
    return protocol(name).industrial


def carriers(name: str) -> tuple[str, ...]:
    """The protocols whose messages carry this one's, the nearest first."""
    return _carriers(name, version())


@cache
def _carriers(name: str, _: int) -> tuple[str, ...]:
    found: list[str] = []
    while (inside := protocol(name).inside) and inside not in found:
        found.append(inside)
        name = inside
    return tuple(found)
