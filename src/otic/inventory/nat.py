"""Machines that hide behind the address of another one, which translates theirs (RFC 3022).

A translator is a router: it counts the hop limit of what it forwards down, but sends it from its
own address. That alone may be an odd system, and two names at one address a machine that was set up
anew. Both together are told; each sign alone tells nothing, and a router that forwards others'
addresses is none.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection, Iterable

import msgspec

from otic.facts import Claim

INITIAL = (64, 128)
"""Hop limits with which common systems start (255 is also used by protocols of one link)."""

HOPS = 8
"""Routers between a translator and the hosts behind it, at most."""

SYSTEMS = (
    ("Windows", r"Windows NT"),
    ("iOS", r"\biPhone|\biPad"),
    ("macOS", r"Macintosh"),
    ("Android", r"\bAndroid\b"),
    ("Linux", r"X11; .*Linux"),
)
"""Systems by what browsers say of them."""

_SYSTEMS = [(name, re.compile(pattern)) for name, pattern in SYSTEMS]

CLIENT_NAMES = frozenset(("ntlm-authenticate",))
"""Messages in which a client says what its machine is called."""


class Hidden(msgspec.Struct, frozen=True):
    """One machine behind the address: what it is known by, and what was told of it."""

    known_by: str
    claims: tuple[Claim, ...]


class Found(msgspec.Struct, frozen=True):
    """Who hides behind one address, how sure that is, and by what."""

    certainty: str
    signs: tuple[str, ...]
    hidden: tuple[Hidden, ...]


def behind(hop_limits: Collection[int], claims: Iterable[Claim]) -> Found | None:
    """The machines behind an address that its own machine sent with these hop limits, and at which
    this was told; none where less than two signs say so.
    """
    forwarded = {
        initial
        for initial in INITIAL
        if any(initial - HOPS <= hops < initial for hops in hop_limits)
    }
    if not forwarded:
        return None
    signs = ["hop limit counted down"]
    names: dict[str, list[Claim]] = defaultdict(list)
    systems: dict[str, list[Claim]] = defaultdict(list)
    for claim in sorted(claims, key=lambda claim: (claim.ts_ns, claim.id)):
        if claim.attribute == "name" and claim.message in CLIENT_NAMES:
            names[claim.value.lower()].append(claim)
        elif claim.attribute == "user_agent":
            system = next((name for name, one in _SYSTEMS if one.search(claim.value)), None)
            if system is not None:
                systems[system].append(claim)
    by: list[dict[str, list[Claim]]] = []
    for sign, told in (("machine names", names), ("systems of browsers", systems)):
        if len(told) > 1:
            signs.append(sign)
            by.append(told)
    if len(forwarded) > 1:
        signs.append("hop limits of several systems")
        by.append({f"hop limit {initial}": [] for initial in sorted(forwarded)})
    if not by:
        return None
    hidden = [Hidden(known_by, tuple(told)) for known_by, told in sorted(by[0].items())]
    return Found("high" if len(by) > 1 else "medium", tuple(signs), tuple(hidden))
