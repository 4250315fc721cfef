"""The private networks that the traffic shows, so that people need not type them."""

from __future__ import annotations

import ipaddress
from collections import Counter

import msgspec
from sqlalchemy import select

from otic.store import tables
from otic.store.queries.common import Store

PRIVATE = tuple(
    ipaddress.ip_network(cidr)
    for cidr in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7")
)
"""RFC 1918 and RFC 4193: a plant's addresses, when nobody says otherwise."""

PREFIX = {4: 24, 6: 64}
"""How large a network is taken to be: frames do not carry the mask."""

MOST = 200


class SeenNetwork(msgspec.Struct, frozen=True, kw_only=True):
    """A network, and how many addresses of it spoke."""

    cidr: str
    addresses: int


def seen_networks(store: Store) -> list[SeenNetwork]:
    """Private networks out of which something spoke, those with most addresses first."""
    table = tables.endpoints
    query = select(table.c.address).distinct().where(table.c.spoke, store.own(table))
    with store.reading() as connection:
        spoke = connection.scalars(query).all()
    found: Counter[str] = Counter()
    for text in spoke:
        try:
            address = ipaddress.ip_address(text)
        except ValueError:
            continue  # A MAC address.
        if any(address.version == one.version and address in one for one in PRIVATE):
            found[str(ipaddress.ip_network((text, PREFIX[address.version]), strict=False))] += 1
    ordered = sorted(found.items(), key=lambda pair: (-pair[1], pair[0]))
    return [SeenNetwork(cidr=cidr, addresses=count) for cidr, count in ordered[:MOST]]
