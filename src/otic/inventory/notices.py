"""Events that only the whole inventory shows: addresses that several machines hold."""

from __future__ import annotations

import hashlib

from otic.facts import Event, encode
from otic.inventory.merge import Contest
from otic.journal.fold import State

SPLIT_HINT = {
    "vlan": "map the VLANs to address spaces",
    "interface": "map the interfaces to address spaces",
    "none": "no VLAN, interface or tunnel tag tells the machines apart",
}


def notices(state: State, contests: list[Contest]) -> list[Event]:
    """One event an address held by several on-link MACs.

    `at_once` is "yes" where an earlier holder spoke after the last one took the address; else
    "unknown": the address may have moved from one machine to the next.
    """
    found = []
    for contest in contests:
        ip = state.endpoints[contest.ip]
        macs = [state.endpoints[mac] for mac in contest.macs]
        values = {
            "address": ip.address,
            "holders": ", ".join(mac.address for mac in macs),
            "split_by": contest.split_by,
            "at_once": "yes" if contest.at_once else "unknown",
            "advice": SPLIT_HINT[contest.split_by],
        }
        kind = "address-conflict"
        key = encode(["event", ip.space, kind, *contest.macs, contest.ip])
        found.append(
            Event(
                hashlib.blake2b(key, digest_size=16).digest(),
                kind,
                ip.space,
                macs[0].id,
                macs[-1].id,
                macs[0].address,
                macs[-1].address,
                "arp",
                values,
                contest.ts_ns,
                contest.spans,
            )
        )
    return found
