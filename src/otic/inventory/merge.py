"""Which endpoints are interfaces of one machine (contracts.md §7).

The same facts in any order give the same groups, and only what changed is worked out again. A frame
header proves nothing about whose IP it carries; a message about the sender's own addresses does.
Without proof a MAC that sends exactly one IPv4 address is presumed to be its host; a MAC that sends
several is a router's. Addresses that float between machines are a redundancy group's, not one of
theirs; those that DHCP gives to one machine after another are lent to each for its time.
"""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator
from itertools import pairwise
from typing import Any, TypeVar

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
from otic.inventory.moves import KNOWN_NS, Moves, Place, SwitchOver, Turn
from otic.inventory.several import Several
from otic.journal.fold import FIRST_NS, Novelty, Sight, State

PROXY_ADDRESSES = 8
"""IPv4 addresses one MAC may answer ARP for as its own, or send as a DHCP client; with more it
answers for others.
"""

INITIAL_HOP_LIMITS = (64, 128, 255)
"""Hop limits that systems start with; a little less means that routers stand between."""

HOPS = 24
"""A hop limit this far below an initial one is a hint that the sender is behind routers."""

LEASES = "dhcp"
"""Protocol of the bindings of addresses that are given for a time."""

LEASED = "leased, not seen how"
"""Why an address without proof is presumed to be a DHCP client's own."""

MEMBER = "member"
"""Message of a binding of a group's MAC with the own address of one of its members."""

SERIAL = ("serial", "vendor_id", "vendor", "model")
"""Attributes that together name one machine when told twice."""

UNIQUE = {
    "smb_server_guid": "same SMB server GUID",
    "snmp_engine_id": "same SNMP engine id",
}
"""Attributes that a machine makes for itself: who tells the same one under another address is the
same machine ([MS-SMB2] §2.2.4 ServerGuid; RFC 3411 SnmpEngineID), unless it was cloned.
"""

MAC_FORMAT = "03"
"""Format octet of an SNMP engine id with a MAC (RFC 3411); others may be the maker's default."""

CLONES = 8
"""Addresses that one machine may have; what more tell is a default or a cloned image."""

NAMELESS = frozenset(("localhost", ""))

_USELESS_SERIALS = {"", "0", "0x00000000", "0xffffffff", "none", "unknown", "n/a", "-"}

NO_IDS: frozenset[bytes] = frozenset()
"""One object: each empty set takes as much room as one of five."""

Product = tuple[str, str, str, str]
"""Space, serial number, maker and model; or space, value and attribute of what is unique."""

Proof = tuple[bytes, bytes, str, str]
"""Key of a binding: both endpoints, protocol and message."""


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

    endpoints: tuple[bytes, ...]
    basis: dict[bytes, str]
    routes: tuple[bytes, ...] = ()
    contested: tuple[bytes, ...] = ()
    virtual: bool = False
    members: frozenset[bytes] = NO_IDS


class _Presumed(msgspec.Struct):
    """What the frame headers of one MAC suggest: IPs it may hold, and IPs it forwards for."""

    candidates: dict[bytes, str]
    forwarded: set[bytes]


class _Holding(msgspec.Struct):
    """Who holds one IP: one MAC, the members of a group, several in turn, or several that contest
    it; and MACs that only forward it.
    """

    mac: bytes | None = None
    reason: str = ""
    contest: frozenset[bytes] = NO_IDS
    far: frozenset[bytes] = NO_IDS
    members: frozenset[bytes] = NO_IDS
    turns: tuple[Turn, ...] = ()


_NOTHING_PRESUMED = _Presumed({}, set())
_HELD_BY_NONE = _Holding()


class Merger:
    """Joins the endpoints (without children) of a state into machines."""

    def __init__(self) -> None:
        self.group_of: dict[bytes, Group] = {}
        self.macs: dict[bytes, Endpoint] = {}
        self.ips: dict[bytes, Endpoint] = {}
        self.sent_as: Several[bytes, bytes] = Several()
        self._seen_from: Several[bytes, bytes] = Several()
        self._sightings: dict[tuple[bytes, bytes | None], Sight] = {}
        self._proofs: Several[bytes, Proof] = Several()
        self._proven: dict[bytes, dict[bytes, str]] = {}
        self._proxied: dict[bytes, set[bytes]] = {}
        self._holders: Several[bytes, bytes] = Several()
        self._partners: dict[bytes, dict[bytes, str]] = defaultdict(dict)
        self._router_macs: set[bytes] = set()
        self._presumed: dict[bytes, _Presumed] = {}
        self._candidates: Several[bytes, bytes] = Several()
        self._holding: dict[bytes, _Holding] = {}
        self._held: Several[bytes, bytes] = Several()
        self.lent: Several[bytes, bytes] = Several()
        self._contested: Several[bytes, bytes] = Several()
        self._far: Several[bytes, bytes] = Several()
        self._products: dict[bytes, frozenset[Product]] = {}
        self._told_product: Several[Product, bytes] = Several()
        self._names: dict[bytes, dict[str, frozenset[str]]] = {}
        self._mac_connections: Several[bytes, bytes] = Several()
        self._early: Several[bytes, tuple[str, Any]] = Several()
        self._moves = Moves()
        self._ip_at: dict[Place, bytes] = {}
        self._own_of: Several[bytes, bytes] = Several()
        self._groups_of: Several[bytes, bytes] = Several()
        self._floating: Several[frozenset[bytes], bytes] = Several()

    def update(self, state: State, new: Novelty) -> set[bytes]:
        """Takes in what changed; gives all endpoints whose group may look different now."""
        dirty: set[bytes] = set()
        self._sightings = state.sightings
        macs = self._take(state, new, dirty)
        moved = self._moves.update(state, new)
        takers = {move.to for place in moved for move in self._moves.of(place)}
        macs |= takers & self.macs.keys()
        represume = set(macs)
        ips: set[bytes] = set()
        for mac in macs:
            moved |= self._moves.of_mac(mac)
            for ip in self._prove(mac):
                ips.add(ip)
                represume.update(self._seen_from[ip])
        for mac in represume:
            ips |= self._presume(mac, seen_again=mac in macs)
            dirty.add(mac)
        ips |= {self._ip_at[place] for place in moved if place in self._ip_at}
        ips |= {id_ for id_ in new.endpoints if self.turns_of(id_)}
        for mac in macs:
            ips.update(self.lent[mac], self._contested[mac])
            if self._has_lease(mac):
                ips.update(self._held[mac])
        for ip in self._of_groups(macs, ips) | ips:
            self._decide(ip, dirty)
        return self._regroup(dirty)

    def _of_groups(self, macs: set[bytes], ips: set[bytes]) -> set[bytes]:
        """IPs of the groups whose MACs these are, or whose members hold these IPs."""
        shared = {mac for mac in macs if mac in self._own_of}
        for ip in ips | {ip for mac in macs for ip in self.sent_as[mac]}:
            shared.update(self._groups_of[ip])
        return {_ip_of(mac, proof) for mac in shared for proof in self._proofs[mac]}

    def members_of(self, endpoint: bytes) -> set[bytes]:
        """Endpoints of the machines that a group's address floats between."""
        members = set(self._own_of[endpoint])
        holding = self._holding.get(endpoint)
        return members if holding is None else members | holding.members

    def turns_of(self, ip: bytes) -> tuple[Turn, ...]:
        """Which MACs this address was lent to, one after the other, and since when."""
        holding = self._holding.get(ip)
        return () if holding is None else holding.turns

    def own_hop_limits(self, ip: bytes) -> frozenset[int]:
        """Hop limits with which the MAC that proves to hold this IP sent it."""
        holding = self._holding.get(ip)
        if holding is None or holding.mac is None or ip not in self._holders:
            return frozenset()
        sight = self._sight(holding.mac, ip)
        return frozenset() if sight is None else sight.hop_limits

    def switch_overs(self) -> list[SwitchOver]:
        """The takeovers within groups whose addresses move, in time order."""
        found = []
        for members in self._floating:
            places = [(self.ips[ip].space, self.ips[ip].address) for ip in self._floating[members]]
            found += self._moves.switch_overs(places[0][0], [place[1] for place in places])
        return sorted(found, key=lambda one: (one.ts_ns, one.space, one.addresses))

    def contests(self, state: State) -> list[Contest]:
        """The addresses that several machines hold, in the order in which that began."""
        found = [
            self._contest(state, ip, holding.contest)
            for ip, holding in self._holding.items()
            if holding.contest
        ]
        return sorted(found, key=lambda contest: (contest.ts_ns, contest.ip))

    def _take(self, state: State, new: Novelty, dirty: set[bytes]) -> set[bytes]:
        """Notes new facts; gives the MACs about which there is news, and fills `dirty`."""
        sightings = set(new.sightings)
        bindings = set(new.bindings)
        macs: set[bytes] = set()
        for id_ in new.endpoints:
            fact = state.endpoints[id_]
            if fact.child or is_group(fact.address):
                continue
            known = self.macs if is_mac(fact.address) else self.ips
            if id_ not in known:
                for kind, key in self._early.pop(id_):
                    (sightings if kind == "sighting" else bindings).add(key)
            known[id_] = fact
            dirty.add(id_)
            if known is self.macs:
                macs.add(id_)
            else:
                self._ip_at[fact.space, fact.address] = id_
        for mac, ip in sightings:
            dirty.add(mac)
            if ip is None or not self._both_known((mac, ip), ("sighting", (mac, ip))):
                continue
            if mac in self.macs and ip in self.ips:
                self.sent_as.add(mac, ip)
                self._seen_from.add(ip, mac)
                macs.add(mac)
        for proof in bindings:
            if self._both_known(proof[:2], ("binding", proof)):
                self._binding(proof, macs, dirty)
        for id_ in state.in_turn("connections", new.connections):
            connection = state.connections[id_]
            if connection.client_id in self.macs or is_mac(connection.client):
                self._mac_connections.add(connection.client_id, id_)
        tellers: set[bytes] = set()
        named: set[bytes] = set()
        for id_ in new.claims:
            claim = state.claims[id_]
            if claim.attribute in SERIAL or claim.attribute in UNIQUE:
                tellers.add(claim.endpoint)
            elif claim.attribute == "name":
                named.add(claim.endpoint)
        for endpoint in named:
            self._name(state, endpoint, dirty)
        for endpoint in tellers | (new.endpoints & self._products.keys()):
            self._product(state, endpoint, dirty)
        return macs

    def _both_known(self, ends: tuple[bytes, bytes], waiting: tuple[str, Any]) -> bool:
        """Whether both endpoints were told; else the fact waits for the one that was not."""
        for end in ends:
            if end not in self.macs and end not in self.ips:
                self._early.add(end, waiting)
                return False
        return True

    def _binding(self, proof: Proof, macs: set[bytes], dirty: set[bytes]) -> None:
        first, second, protocol, message = proof
        if first in self.macs and second in self.macs:
            if protocol == "routed-copy":
                self._router_macs |= {first, second}
            for one, other in ((first, second), (second, first)):
                known = self._partners[one].get(other)
                self._partners[one][other] = protocol if known is None else min(known, protocol)
            macs |= {first, second}
            dirty |= {first, second}
            return
        mac, ip = (first, second) if first in self.macs else (second, first)
        if message == MEMBER and mac in self.macs and ip in self.ips:
            self._own_of.add(mac, ip)
            self._groups_of.add(ip, mac)
            macs.add(mac)
            dirty |= {mac, ip}
        elif mac in self.macs and ip in self.ips:
            self._proofs.add(mac, proof)
            macs.add(mac)

    def _name(self, state: State, endpoint: bytes, dirty: set[bytes]) -> None:
        """Notes what this endpoint calls itself, by protocol."""
        told: dict[str, set[str]] = defaultdict(set)
        for claim in state.claims_of(endpoint):
            if claim.attribute == "name" and claim.confidence != "low":
                name = claim.value.partition(".")[0].lower()
                if name not in NAMELESS:
                    told[claim.protocol].add(name)
        self._names[endpoint] = {protocol: frozenset(names) for protocol, names in told.items()}
        for ip in (endpoint, *self._held[endpoint]):
            for product in self._products.get(ip, ()):
                if product[2] in UNIQUE:
                    dirty.update(self._told_product[product])

    def _are_named_apart(self, one: bytes, other: bytes) -> bool:
        """Whether both tell names by the same protocol, and none of them is the same."""
        first, second = (self._names_of(ip) for ip in (one, other))
        return any(
            not names & second[protocol] for protocol, names in first.items() if protocol in second
        )

    def _names_of(self, ip: bytes) -> dict[str, frozenset[str]]:
        holding = self._holding.get(ip)
        own = self._names.get(ip, {})
        held = self._names.get(holding.mac, {}) if holding is not None and holding.mac else {}
        return {
            protocol: own.get(protocol, frozenset()) | held.get(protocol, frozenset())
            for protocol in own.keys() | held.keys()
        }

    def _product(self, state: State, endpoint: bytes, dirty: set[bytes]) -> None:
        """Notes which products with serial number this endpoint tells it is."""
        fact = state.endpoints.get(endpoint)
        told: dict[str, set[str]] = defaultdict(set)
        unique: set[tuple[str, str]] = set()
        for claim in state.claims_of(endpoint):
            if claim.attribute in UNIQUE and _is_unique(claim.attribute, claim.value):
                unique.add((claim.value, claim.attribute))
            if claim.attribute in SERIAL and claim.confidence == "high":
                told[claim.attribute].add(claim.value)
        now: frozenset[Product] = frozenset()
        if fact is not None and not fact.child and fact.spoke:
            now = frozenset(
                (fact.space, serial, maker, model)
                for serial in told["serial"]
                if serial.strip().lower() not in _USELESS_SERIALS
                for maker in told["vendor_id"] | told["vendor"]
                for model in told["model"]
            ) | {(fact.space, value, attribute, "") for value, attribute in unique}
        before = self._products.get(endpoint, frozenset())
        self._products[endpoint] = now
        for product in before ^ now:
            dirty.update(self._told_product[product])
        for product in before - now:
            self._told_product.discard(product, endpoint)
        for product in now - before:
            self._told_product.add(product, endpoint)
        if before != now:
            dirty.add(endpoint)

    def _prove(self, mac: bytes) -> set[bytes]:
        """Works out which IPs this MAC proves to hold; gives those for which that changed."""
        proofs: dict[bytes, set[str]] = {}
        for proof in self._proofs[mac]:
            _, _, protocol, message = proof
            # A MAC that only stands inside others' ARP and ND messages proves nothing.
            if self.macs[mac].spoke or protocol not in ("arp", "icmpv6"):
                reason = sys.intern(f"{protocol} {message}".strip())
                proofs.setdefault(_ip_of(mac, proof), set()).add(reason)
        by_arp = {
            ip
            for ip, reasons in proofs.items()
            if "." in self.ips[ip].address and all(r.startswith("arp") for r in reasons)
        }
        # Who takes the addresses of several machines on their own link is no proxy for them.
        takes = self._moves.took_from_several(self.macs[mac].space, mac)
        proxied = by_arp if len(by_arp) > PROXY_ADDRESSES and not takes else set()
        proven = {ip: min(reasons) for ip, reasons in proofs.items() if ip not in proxied}
        before = self._proven.get(mac, {})
        _keep(self._proven, mac, proven)
        _keep(self._proxied, mac, proxied)
        changed = {ip for ip in before.keys() | proven.keys() if before.get(ip) != proven.get(ip)}
        for ip in changed:
            (self._holders.add if ip in proven else self._holders.discard)(ip, mac)
        return changed

    def _presume(self, mac: bytes, *, seen_again: bool) -> set[bytes]:
        """Works out what frame headers alone suggest; gives the IPs whose holder may change."""
        earlier = self._presumed.get(mac, _NOTHING_PRESUMED).candidates
        now = self._suggested(mac)
        _keep(self._presumed, mac, now if now != _NOTHING_PRESUMED else None)
        changed = {
            ip
            for ip in earlier.keys() | now.candidates.keys()
            if seen_again or earlier.get(ip) != now.candidates.get(ip)
        }
        for ip in changed:
            (self._candidates.add if ip in now.candidates else self._candidates.discard)(ip, mac)
        return changed

    def _suggested(self, mac: bytes) -> _Presumed:
        sent_as = self.sent_as[mac]
        own = self._proven.get(mac, {})
        if is_virtual_mac(self.macs[mac].address):
            return _Presumed({}, set(sent_as) - own.keys())
        candidates: dict[bytes, str] = {}
        four: list[bytes] = []
        six: list[bytes] = []
        leased: list[bytes] = []
        leases = self._has_lease(mac)
        for ip in sent_as:
            if ip in own:
                continue
            address = parse(self.ips[ip].address)
            if address is None or address.is_loopback:
                continue
            if address.is_link_local:
                if ip not in self._holders:
                    candidates[ip] = "link-local"
            elif address.version == 4 and leases and self._sent_first_hand(mac, ip):
                leased.append(ip)
            elif address.version == 4:
                four.append(ip)
            elif address.packed[8:] == eui64(self.macs[mac].address) and ip not in self._holders:
                candidates[ip] = "interface id of the MAC"
            else:
                six.append(ip)
        if len(leased) > PROXY_ADDRESSES:
            four += leased
        else:
            candidates |= dict.fromkeys(leased, LEASED)
        has_four = any("." in self.ips[ip].address for ip in own)
        if mac in self._router_macs or len(four) > 1 or (has_four and four):
            return _Presumed(candidates, {*four, *six})
        forwarded = set()
        for ip in four + six if len(six) <= 1 else four:
            if ip in self._holders or self._looks_routed(ip, self._sightings[mac, ip]):
                forwarded.add(ip)
            else:
                candidates[ip] = "presumed on-link"
        return _Presumed(candidates, forwarded)

    def _has_lease(self, mac: bytes) -> bool:
        return any(proof[2] == LEASES for proof in self._proofs[mac])

    def _sent_first_hand(self, mac: bytes, ip: bytes) -> bool:
        """Whether all hop limits are those with which systems start: no router has counted down."""
        hops = self._sightings[mac, ip].hop_limits
        return bool(hops) and hops.issubset(INITIAL_HOP_LIMITS)

    def _sight(self, mac: bytes, ip: bytes) -> Sight | None:
        return self._sightings[mac, ip] if ip in self.sent_as[mac] else None

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

    def _decide(self, ip: bytes, dirty: set[bytes]) -> None:
        """Decides who holds an IP."""
        before, now = self._holding.get(ip, _HELD_BY_NONE), self._holder(ip)
        _keep(self._holding, ip, now if now != _HELD_BY_NONE else None)
        dirty |= {ip, *before.contest, *now.contest, *before.far, *now.far}
        dirty |= {mac for _, mac in (*before.turns, *now.turns)}
        if bool(before.turns) != bool(now.turns):
            for product in self._products.get(ip, ()):
                dirty.update(self._told_product[product])
        if before.members != now.members:
            dirty |= before.members | now.members
            dirty.update(self._floating[before.members], self._floating[now.members])
            for product in self._products.get(ip, ()):
                dirty.update(self._told_product[product])
            if before.members:
                self._floating.discard(before.members, ip)
            if now.members:
                self._floating.add(now.members, ip)
        for mac in (before.mac, now.mac):
            if mac is not None:
                dirty.add(mac)
        for index, earlier, later in (
            (self._held, {before.mac} - {None}, {now.mac} - {None}),
            (self.lent, {mac for _, mac in before.turns}, {mac for _, mac in now.turns}),
            (self._contested, before.contest, now.contest),
            (self._far, before.far, now.far),
        ):
            for mac in earlier - later:
                index.discard(mac, ip)  # type: ignore[arg-type]
            for mac in later - earlier:
                index.add(mac, ip)  # type: ignore[arg-type]

    def _holder(self, ip: bytes) -> _Holding:
        if holders := set(self._holders[ip]):
            real = {mac for mac in holders if not is_virtual_mac(self.macs[mac].address)}
            shared = holders - real
            if shared and real and (own := self._macs_of_members(shared, ip)):
                if real <= own:
                    (mac, *_) = sorted(shared)
                    return _Holding(mac, self._proven[mac][ip])
                return _Holding(contest=frozenset(shared | real))
            real = real or shared
            given = real <= self._leased_to(ip, real)
            if len(real) > 1 and not given and self._floats(ip, real):
                return _Holding(members=frozenset(real))
            if turns := self._turns(ip, real):
                return _Holding(turns=turns)
            if len(real) > 1:
                return _Holding(contest=frozenset(real))
            (mac,) = real
            return _Holding(mac, self._proven[mac][ip])
        found = {mac: self._presumed[mac].candidates[ip] for mac in self._candidates[ip]}
        if not found:
            return _Holding()
        hops = {mac: max(self._sightings[mac, ip].hop_limits, default=0) for mac in found}
        near = {mac for mac in found if hops[mac] == max(hops.values())}
        near = {mac for mac in near if found[mac] != "presumed on-link"} or near
        far = frozenset(found.keys() - near) or NO_IDS
        if len(near) > 1:
            if turns := self._turns_presumed(ip, found, near):
                return _Holding(turns=turns, far=far)
            return _Holding(contest=frozenset(near), far=far)
        (mac,) = near
        return _Holding(mac, found[mac], far=far)

    def _turns(self, ip: bytes, macs: set[bytes]) -> tuple[Turn, ...]:
        """Who had a leased IP from when on; nothing where it has one holder, or one of several did
        not let go of it.

        It is leased where that was seen, or all its holders get their addresses by DHCP.
        """
        guests = [
            mac
            for mac in self._candidates[ip]
            if self._presumed[mac].candidates[ip] == LEASED and mac not in macs
        ]
        if len(macs) + len(guests) < 2:
            return ()
        if not all(self._has_lease(mac) for mac in macs) and not self._leased_to(ip, macs):
            return ()
        fact = self.ips[ip]
        if len(macs) > 1:
            turns = list(self._moves.in_turn((fact.space, fact.address), macs))
        else:
            turns = [(FIRST_NS, mac) for mac in macs]
        ends = {mac: ends_ns for (_, mac), (ends_ns, _) in pairwise(turns)}
        if turns:
            ends.pop(turns[-1][1], None)
        for mac, ends_ns in ends.items():
            sight = self._sight(mac, ip)
            if sight is not None and sight.last_ns > ends_ns + KNOWN_NS:
                return ()
        seen = sorted((self._sightings[mac, ip].first_ns, mac) for mac in guests if turns)
        for _, mac in seen:
            _insert(turns, mac, self._sightings[mac, ip], fact.ts_ns)
        return tuple(sorted(turns))

    def _leased_to(self, ip: bytes, macs: set[bytes]) -> set[bytes]:
        """Those of the MACs to which a DHCP server was seen to give this IP."""
        return {
            mac
            for mac in macs
            for proof in self._proofs[mac]
            if proof[2] == LEASES and _ip_of(mac, proof) == ip
        }

    def _turns_presumed(
        self, ip: bytes, found: dict[bytes, str], macs: set[bytes]
    ) -> tuple[Turn, ...]:
        """The same for an IP of which nobody proved to be the holder, by when each sent it."""
        if any(found[mac] != LEASED for mac in macs):
            return ()
        seen = sorted(
            (sight.first_ns, mac, sight.last_ns)
            for mac in macs
            if (sight := self._sight(mac, ip)) is not None
        )
        if any(last_ns >= first_ns for (_, _, last_ns), (first_ns, _, _) in pairwise(seen)):
            return ()
        (_, first, _), *others = seen
        return ((FIRST_NS, first), *((first_ns, mac) for first_ns, mac, _ in others))

    def _macs_of_members(self, shared: Iterable[bytes], ip: bytes) -> set[bytes]:
        """MACs of the members of the groups with these MACs, told by their own addresses."""
        own = {member for mac in shared for member in self._own_of[mac]} - {ip}
        return {mac for member in own for mac in (*self._holders[member], *self._seen_from[member])}

    def _floats(self, ip: bytes, macs: Iterable[bytes]) -> bool:
        """Whether an IP went cleanly between machines that may take over from each other."""
        fact = self.ips[ip]
        return self._moves.floats(
            (fact.space, fact.address),
            macs,
            lambda mac: self.macs[mac].address if mac in self.macs else "",
            lambda mac: self.macs[mac].ts_ns if mac in self.macs else fact.ts_ns,
            self._has_own,
        )

    def _has_own(self, mac: bytes) -> bool:
        """Whether the MAC proves to hold an IP that never moved."""
        for ip in self._proven.get(mac, ()):
            fact = self.ips[ip]
            address = parse(fact.address)
            if address is None or address.is_link_local:
                continue
            if not self._moves.of((fact.space, fact.address)):
                return True
        return False

    def _contest(self, state: State, ip: bytes, macs: Iterable[bytes]) -> Contest:
        """Several MACs hold one IP: since when, whether at once, and what tells them apart."""
        firsts: dict[bytes, int] = {}
        spans: dict[bytes, Spans] = {}
        for mac in macs:
            told = [
                ((binding := state.bindings[proof]).ts_ns, binding.spans)
                for proof in self._proofs[mac]
                if _ip_of(mac, proof) == ip
            ]
            if (sight := self._sight(mac, ip)) is not None:
                told.append((sight.first_ns, sight.spans))
            firsts[mac], spans[mac] = min(told)
        order = sorted(firsts, key=lambda mac: (firsts[mac], mac))
        last_start = firsts[order[-1]]
        return Contest(
            ip,
            tuple(order),
            self._at_once(state, ip, order, last_start),
            self._split_by(ip, order),
            last_start,
            spans[order[0]] + spans[order[-1]],
        )

    def _at_once(self, state: State, ip: bytes, order: list[bytes], last_ns: int) -> bool:
        """Whether several use the address at the same time, and not one after the other.

        They do when it goes back and forth; when one of them takes it from a redundancy group that
        it is no member of, or takes those of several machines; or when an earlier holder that has
        no other address speaks after the last one took it.
        """
        place = (self.ips[ip].space, self.ips[ip].address)
        moves = self._moves.of(place)
        if self._moves.alternates(place):
            return True
        if moves and any(is_virtual_mac(self.macs[mac].address) for mac in order):
            return True
        if any(self._moves.took_from_several(place[0], move.to) for move in moves):
            return True
        return any(
            self._active_until(state, mac) > last_ns
            for mac in order[:-1]
            if not (moves and self._has_own(mac))
        )

    def _active_until(self, state: State, mac: bytes) -> int:
        """Latest time at which this MAC is known to have spoken."""
        seen = [self._sightings[mac, ip].last_ns for ip in self.sent_as[mac]]
        for id_ in self._mac_connections[mac]:
            counts = state.count("connections", id_)
            if counts is not None and counts[0]:
                seen.append(counts[-1])
        return max(seen, default=0)

    def _split_by(self, ip: bytes, macs: list[bytes]) -> str:
        """What differs between the machines: `vlan`, `interface`, or `none`."""
        sights = [self._sight(mac, ip) for mac in macs]
        for name in ("vlans", "interfaces"):
            sets = [getattr(sight, name) if sight else frozenset() for sight in sights]
            if all(sets) and all(
                not one & other for at, one in enumerate(sets) for other in sets[at + 1 :]
            ):
                return name.removesuffix("s")
        return "none"

    def _regroup(self, dirty: set[bytes]) -> set[bytes]:
        """Makes the groups of these endpoints anew; gives all endpoints of old and new ones."""
        affected = set(dirty)
        for id_ in dirty:
            if id_ in self.group_of:
                affected.update(self.group_of[id_].endpoints)
        left = {id_ for id_ in affected if id_ in self.macs or id_ in self.ips}
        while left:
            ids = self._reach(next(iter(left)))
            left -= ids
            for id_ in ids:
                if (old := self.group_of.get(id_)) is not None:
                    more = set(old.endpoints) - affected
                    affected |= more
                    left |= more - ids
            affected |= ids
            group = self._group(sorted(ids))
            for id_ in ids:
                self.group_of[id_] = group
        return affected

    def _next_to(self, id_: bytes) -> Iterator[bytes]:
        """Endpoints that are the same machine by what was told of this one directly."""
        yield from self._partners.get(id_, ())
        yield from self._held[id_]
        holding = self._holding.get(id_)
        if holding is not None and holding.mac is not None:
            yield holding.mac
        if holding is not None and holding.members:
            yield from self._floating[holding.members]

    def _same_product(self, id_: bytes) -> set[bytes]:
        """Endpoints that tell to be the same product with the same serial number, or something
        else that only one machine has.

        What is told at an address that floats is told by several machines in turn.
        """
        if self._is_floating(id_):
            return set()
        alike: set[bytes] = set()
        for product in self._products.get(id_, ()):
            told = self._told_product[product]
            if product[2] not in UNIQUE:
                alike.update(told)
            elif len(told) <= CLONES:
                alike.update(one for one in told if not self._are_named_apart(id_, one))
        return {other for other in alike if not self._is_floating(other)}

    def _is_floating(self, id_: bytes) -> bool:
        """Whether the address is one machine's now and another's then."""
        holding = self._holding.get(id_)
        return holding is not None and bool(holding.members or holding.turns)

    def _reach(self, start: bytes) -> set[bytes]:
        """All endpoints that belong to one machine with this one."""
        found, todo = {start}, [start]
        while todo:
            id_ = todo.pop()
            near = set(self._next_to(id_)) | self._same_product(id_)
            todo += near - found
            found |= near
        return found

    def _group(self, ids: list[bytes]) -> Group:
        basis: dict[bytes, str] = {}
        for id_ in ids:
            holding = self._holding.get(id_)
            if holding is not None and holding.mac is not None:
                basis[id_] = holding.reason
            elif partners := self._partners.get(id_):
                basis[id_] = min(partners.values())
        self._by_serial(ids, basis)
        routes: set[bytes] = set()
        contested: set[bytes] = set()
        members: set[bytes] = set()
        for id_ in ids:
            if (holding := self._holding.get(id_)) is not None and holding.members:
                members |= holding.members
                basis[id_] = "moves between its members"
            contested.update(self._contested[id_])
            routes.update(self._far[id_], self._proxied.get(id_, ()))
            if (presumed := self._presumed.get(id_)) is not None:
                routes |= presumed.forwarded
        return Group(
            tuple(ids),
            basis,
            tuple(sorted(routes)),
            tuple(sorted(contested)),
            bool(members)
            or any(id_ in self.macs and is_virtual_mac(self.macs[id_].address) for id_ in ids),
            frozenset(members) or NO_IDS,
        )

    def _by_serial(self, ids: list[bytes], basis: dict[bytes, str]) -> None:
        """Notes the addresses that only a serial number joins with the rest of the machine."""
        part_of: dict[bytes, int] = {}
        for number, id_ in enumerate(ids):
            todo = [id_]
            while todo:
                at = todo.pop()
                if at not in part_of:
                    part_of[at] = number
                    todo += self._next_to(at)
        products = {product for id_ in ids for product in self._products.get(id_, ())}
        for product in sorted(products):
            told = [
                id_
                for id_ in self._told_product[product]
                if id_ in part_of and not self._is_floating(id_)
            ]
            if len(told) < 2:
                continue
            first, *others = sorted(told)
            for other in others:
                if part_of[other] != part_of[first]:
                    basis[other] = UNIQUE.get(product[2], "same serial number")
                    gone = part_of[other]
                    for id_, number in part_of.items():
                        if number == gone:
                            part_of[id_] = part_of[first]


def _is_unique(attribute: str, value: str) -> bool:
    """Whether the value can only be one machine's: a GUID, or an engine id made from a MAC."""
    if attribute == "snmp_engine_id":
        return len(value) == 22 and value[8:10] == MAC_FORMAT and value[10:] != "0" * 12
    return True


def _ip_of(mac: bytes, proof: Proof) -> bytes:
    """The other endpoint that a proof of this MAC names."""
    return proof[1] if proof[0] == mac else proof[0]


def _insert(turns: list[Turn], mac: bytes, sight: Sight, first_ns: int) -> None:
    """Notes a holder that only its frames show; whoever had the address before has it after.

    `first_ns` is when the address was first seen: who sent it then is the first that had it.
    """
    before = max(turn for turn in turns if turn[0] <= sight.first_ns)
    moved = any(sight.first_ns < since_ns <= sight.last_ns for since_ns, _ in turns)
    last_ns = sight.first_ns if moved else sight.last_ns
    if before[0] == FIRST_NS and sight.first_ns == first_ns:
        turns.remove(before)
        turns.append((FIRST_NS, mac))
    else:
        turns.append((sight.first_ns, mac))
    turns.append((last_ns + 1, before[1]))


_Kept = TypeVar("_Kept")


def _keep(known: dict[bytes, _Kept], key: bytes, value: _Kept | None) -> None:
    """Keeps what is not empty."""
    if value:
        known[key] = value
    else:
        known.pop(key, None)
