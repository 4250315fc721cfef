"""Which endpoints are interfaces of one machine (contracts.md §7).

Pure: the same facts in any order give the same groups. A frame header proves nothing about whose
IP it carries; a message about the sender's own addresses does. Without proof a MAC that sends
exactly one IPv4 address is presumed to be its host; a MAC that sends several is a router's.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

import msgspec

from otic.facts import Endpoint, Spans
from otic.inventory.addresses import (
    eui64,
    is_group,
    is_mac,
    is_public,
    is_virtual_mac,
    parse,
)
from otic.journal.fold import Sight, State

PROXY_ADDRESSES = 8
"""IPv4 addresses one MAC may answer ARP for as its own; with more it answers for others."""

INITIAL_HOP_LIMITS = (64, 128, 255)
"""Hop limits that systems start with; a little less means that routers stand between."""

HOPS = 24
"""A hop limit this far below an initial one is a hint that the sender is behind routers."""

_USELESS_SERIALS = {"", "0", "0x00000000", "0xffffffff", "none", "unknown", "n/a", "-"}


class Contest(msgspec.Struct, frozen=True):
    """One IP held by several on-link MACs: never averaged, all stay apart."""

    ip: bytes
    macs: tuple[bytes, ...]
    at_once: bool
    split_by: str
    ts_ns: int
    spans: Spans


class Group(msgspec.Struct):
    """Endpoints of one machine, and why each belongs to it."""

    endpoints: list[bytes]
    basis: dict[bytes, str]
    routes: list[bytes] = msgspec.field(default_factory=list)
    contested: list[bytes] = msgspec.field(default_factory=list)
    virtual: bool = False


class Merged(msgspec.Struct):
    """All groups, by no order that means anything, and the contested addresses."""

    groups: list[Group]
    contests: list[Contest]


def merge(state: State) -> Merged:
    """Joins the endpoints (without children) of this state into machines."""
    return _Merge(state).run()


class _Merge:
    def __init__(self, state: State) -> None:
        self.state = state
        self.macs: dict[bytes, Endpoint] = {}
        self.ips: dict[bytes, Endpoint] = {}
        for id_, endpoint in state.endpoints.items():
            if not endpoint.child and not is_group(endpoint.address):
                (self.macs if is_mac(endpoint.address) else self.ips)[id_] = endpoint
        self.sights: dict[bytes, dict[bytes, Sight]] = defaultdict(dict)
        for (mac, ip), sight in state.sightings.items():
            if ip is not None and mac in self.macs and ip in self.ips:
                self.sights[mac][ip] = sight
        self.parent: dict[bytes, bytes] = {}
        self.basis: dict[bytes, str] = {}
        self.router_macs: set[bytes] = set()
        self.forwarded: dict[bytes, set[bytes]] = defaultdict(set)
        self.contests: list[Contest] = []
        self.contested: dict[bytes, set[bytes]] = defaultdict(set)
        self.told: dict[frozenset[bytes], list[tuple[int, Spans]]] = defaultdict(list)
        for binding in state.bindings.values():
            pair = frozenset((binding.first, binding.second))
            self.told[pair].append((binding.ts_ns, binding.spans))
        self.last_spoke: dict[bytes, int] = {}
        for id_, connection in state.connections.items():
            counts = state.connection_counts.get(id_)
            if counts is not None and counts[0] and connection.client_id in self.macs:
                last = self.last_spoke.get(connection.client_id, 0)
                self.last_spoke[connection.client_id] = max(last, counts[3])

    def run(self) -> Merged:
        proven = self._proofs()
        holders: dict[bytes, set[bytes]] = defaultdict(set)
        for mac, ips in proven.items():
            for ip in ips:
                holders[ip].add(mac)
        joins: dict[bytes, dict[bytes, str]] = defaultdict(dict)
        for ip, macs in holders.items():
            real = {mac for mac in macs if not is_virtual_mac(self.macs[mac].address)} or macs
            if len(real) == 1:
                mac = next(iter(real))
                joins[mac][ip] = proven[mac][ip]
            else:
                self._contest(ip, real)
        self._presume(proven, holders, joins)
        for mac, found in joins.items():
            for ip, reason in found.items():
                self._join(mac, ip)
                self.basis[ip] = reason
        self._same_serial()
        return Merged(self._groups(), sorted(self.contests, key=lambda c: (c.ts_ns, c.ip)))

    def _proofs(self) -> dict[bytes, dict[bytes, str]]:
        """MAC to its proven IPs with the proof's name; joins the MACs of routers."""
        proofs: dict[bytes, dict[bytes, set[str]]] = defaultdict(lambda: defaultdict(set))
        for first, second, protocol, message in self.state.bindings:
            if first in self.macs and second in self.macs:
                if protocol == "routed-copy":
                    self.router_macs |= {first, second}
                self._join(first, second)
                self.basis.setdefault(first, protocol)
                self.basis.setdefault(second, protocol)
                continue
            mac, ip = (first, second) if first in self.macs else (second, first)
            if mac not in self.macs or ip not in self.ips:
                continue
            # a MAC that only stands inside others' ARP and ND messages proves nothing
            if self.macs[mac].spoke or protocol not in ("arp", "icmpv6"):
                proofs[mac][ip].add(f"{protocol} {message}".strip())
        proven: dict[bytes, dict[bytes, str]] = {}
        for mac, ips in proofs.items():
            by_arp = [
                ip
                for ip, reasons in ips.items()
                if "." in self.ips[ip].address and all(r.startswith("arp") for r in reasons)
            ]
            if len(by_arp) > PROXY_ADDRESSES:
                self.forwarded[mac] |= set(by_arp)
                for ip in by_arp:
                    del ips[ip]
            proven[mac] = {ip: min(reasons) for ip, reasons in ips.items()}
        return proven

    def _presume(
        self,
        proven: dict[bytes, dict[bytes, str]],
        holders: dict[bytes, set[bytes]],
        joins: dict[bytes, dict[bytes, str]],
    ) -> None:
        """Adds what frame headers alone suggest: `presumed on-link` and link-local addresses."""
        candidates: dict[bytes, list[tuple[bytes, str]]] = defaultdict(list)
        for mac, sights in self.sights.items():
            if is_virtual_mac(self.macs[mac].address):
                self.forwarded[mac] |= sights.keys() - proven.get(mac, {}).keys()
                continue
            own = proven.get(mac, {})
            four: list[bytes] = []
            six: list[bytes] = []
            for ip in sights:
                if ip in own:
                    continue
                address = parse(self.ips[ip].address)
                if address is None or address.is_loopback:
                    continue
                if address.is_link_local:
                    if not holders.get(ip):
                        candidates[ip].append((mac, "link-local"))
                elif address.version == 4:
                    four.append(ip)
                elif address.packed[8:] == eui64(self.macs[mac].address) and not holders.get(ip):
                    candidates[ip].append((mac, "interface id of the MAC"))
                else:
                    six.append(ip)
            has_four = any("." in self.ips[ip].address for ip in own)
            if mac in self.router_macs or len(four) > 1 or (has_four and four):
                self.forwarded[mac] |= set(four) | set(six)
                continue
            lone = four + six if len(six) <= 1 else four
            for ip in lone:
                if holders.get(ip) or self._looks_routed(ip, sights[ip]):
                    self.forwarded[mac].add(ip)
                else:
                    candidates[ip].append((mac, "presumed on-link"))
        for ip, found in candidates.items():
            nearest = max(max(self.sights[mac][ip].hop_limits, default=0) for mac, _ in found)
            near = [
                (mac, reason)
                for mac, reason in found
                if max(self.sights[mac][ip].hop_limits, default=0) == nearest
            ]
            self_made = [pair for pair in near if pair[1] != "presumed on-link"]
            near = self_made or near
            for mac, _ in found:
                if all(mac != other for other, _ in near):
                    self.forwarded[mac].add(ip)
            if len(near) == 1:
                joins[near[0][0]][ip] = near[0][1]
            else:
                self._contest(ip, {mac for mac, _ in near})

    def _looks_routed(self, ip: bytes, sight: Sight) -> bool:
        """Whether the hop limit says that the IP's host is some routers away."""
        if not sight.hop_limits:
            return False
        hops = max(sight.hop_limits)
        if is_public(self.ips[ip].address):
            return hops not in (*INITIAL_HOP_LIMITS, 1, 30, 32, 60)
        return hops != 60 and any(
            initial - HOPS <= hops < initial for initial in INITIAL_HOP_LIMITS
        )

    def _contest(self, ip: bytes, macs: Iterable[bytes]) -> None:
        """Notes that several MACs hold one IP, whether at once, and what could tell them apart."""
        firsts: dict[bytes, int] = {}
        spans: dict[bytes, Spans] = {}
        for mac in macs:
            told = list(self.told.get(frozenset((mac, ip)), ()))
            if (sight := self.sights.get(mac, {}).get(ip)) is not None:
                told.append((sight.first_ns, sight.spans))
            firsts[mac], spans[mac] = min(told)
            self.contested[mac].add(ip)
        order = sorted(firsts, key=lambda mac: (firsts[mac], mac))
        last_start = firsts[order[-1]]
        at_once = any(self._active_until(mac) > last_start for mac in order[:-1])
        self.contests.append(
            Contest(
                ip,
                tuple(order),
                at_once,
                self._split_by(ip, order),
                last_start,
                spans[order[0]] + spans[order[-1]],
            )
        )

    def _active_until(self, mac: bytes) -> int:
        """Latest time at which this MAC is known to have spoken."""
        seen = (sight.last_ns for sight in self.sights.get(mac, {}).values())
        return max(self.last_spoke.get(mac, 0), *seen, 0)

    def _split_by(self, ip: bytes, macs: list[bytes]) -> str:
        """What differs between the machines: `vlan`, `interface`, or `none`."""
        sights = [self.sights.get(mac, {}).get(ip) for mac in macs]
        for name in ("vlans", "interfaces"):
            sets = [frozenset(getattr(sight, name)) if sight else frozenset() for sight in sights]
            if all(sets) and all(
                not one & other for at, one in enumerate(sets) for other in sets[at + 1 :]
            ):
                return name.removesuffix("s")
        return "none"

    def _same_serial(self) -> None:
        """Joins addresses whose machine told the same serial number and product about itself."""
        told: dict[bytes, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
        for claim in self.state.claims.values():
            endpoint = self.state.endpoints.get(claim.endpoint)
            if (
                claim.confidence == "high"
                and endpoint is not None
                and not endpoint.child
                and endpoint.spoke
                and claim.attribute in ("serial", "vendor_id", "vendor", "model")
            ):
                told[claim.endpoint][claim.attribute].add(claim.value)
        machines: dict[tuple[str, str, str, str], set[bytes]] = defaultdict(set)
        for id_, attributes in told.items():
            space = self.state.endpoints[id_].space
            makers = attributes["vendor_id"] | attributes["vendor"]
            for serial in attributes["serial"]:
                if serial.strip().lower() in _USELESS_SERIALS:
                    continue
                for maker in makers:
                    for model in attributes["model"]:
                        machines[space, serial, maker, model].add(id_)
        for same in machines.values():
            first, *others = sorted(same)
            for other in others:
                if self._find(first) != self._find(other):
                    self._join(first, other)
                    self.basis[other] = "same serial number"

    def _find(self, id_: bytes) -> bytes:
        root = id_
        while (up := self.parent.get(root, root)) != root:
            root = up
        while (up := self.parent.get(id_, id_)) != root:
            self.parent[id_] = root
            id_ = up
        return root

    def _join(self, one: bytes, other: bytes) -> None:
        one, other = self._find(one), self._find(other)
        if one != other:
            self.parent[max(one, other)] = min(one, other)

    def _groups(self) -> list[Group]:
        members: dict[bytes, list[bytes]] = defaultdict(list)
        for id_ in (*self.macs, *self.ips):
            members[self._find(id_)].append(id_)
        groups = []
        for ids in members.values():
            ids.sort()
            group = Group(ids, {id_: self.basis[id_] for id_ in ids if id_ in self.basis})
            for id_ in ids:
                group.routes += sorted(self.forwarded.get(id_, ()))
                group.contested += sorted(self.contested.get(id_, ()))
                if id_ in self.macs and is_virtual_mac(self.macs[id_].address):
                    group.virtual = True
            groups.append(group)
        return groups
