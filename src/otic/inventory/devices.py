"""Devices: groups of endpoints and children, with attributes resolved from claims.

Pure: `inventory(state, settings)` gives the same devices for the same facts in any order.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from itertools import pairwise
from typing import Any

import msgspec

from otic.facts import Claim, Endpoint, derived_id
from otic.inventory import addresses, nat
from otic.inventory.activity import NOTHING_DONE, Activities, Activity
from otic.inventory.attributes import resolve
from otic.inventory.expectations import Mismatch, mismatches
from otic.inventory.merge import UNIQUE, Contest, Group, Merger
from otic.inventory.moves import Place, SwitchOver, Turn
from otic.inventory.payloads import CA_CERTIFICATE, PayloadReader
from otic.inventory.protocols import is_industrial, protocol
from otic.inventory.several import Several
from otic.inventory.types import SAFETY_RATED, classify, safety_class
from otic.journal.fold import Novelty, Sight, State
from otic.settings import Settings
from otic.times import iso

ONE_OF_ITS_KIND = {
    "modbus-unit",
    "dnp3",
    "iec104-ca",
    "hart",
    "ams",
    "roc",
    "bsap",
    "genisys-unit",
}
"""Kinds that every endpoint of the protocol has: children only where there are several."""

STATIONS = {
    "modbus-unit",
    "dnp3",
    "bacnet",
    "hart",
    "bsap",
    "genisys-unit",
    "df1",
    "iec101-link",
    "s-bus-station",
}
"""Kinds of which each is a machine of its own: what leads to several of them is a gateway."""

ONE_MACHINE_S = {*UNIQUE, "certificate_sha256", "ssh_host_key"}
"""Attributes that are one machine's alone, unless it was cloned or has its maker's default."""

MOST_SHARED = 64
"""Machines named that share one."""

GATEWAY_UNITS = {"modbus-unit 0", "modbus-unit 1", "modbus-unit 255"}
"""Modbus units by which a server without anything behind it is addressed."""

SERIAL = {"df1", "iec101-link"}
"""Kinds of protocols that have no other carrier of their own than serial lines."""

SERIAL_FRAMING = "serial_framing"
"""What a station tells by its frames: they are those of a serial line, not of the network."""

OWN_UNITS = {"modbus-unit 0", "modbus-unit 255"}
"""Modbus units that are the server itself (Modbus Messaging on TCP/IP V1.0b §3.1.3)."""


_pack = msgspec.msgpack.Encoder().encode
_reasons = msgspec.msgpack.Decoder(dict[str, dict[str, Any]]).decode


class Device(msgspec.Struct, kw_only=True):
    """One machine, or a child of one."""

    id: bytes
    space: str
    endpoints: list[bytes]
    macs: list[str]
    ips: list[str]
    basis: dict[bytes, str]
    first_ns: int
    parent: bytes | None = None
    child_address: str = ""
    gateway: str = ""
    hidden: nat.Found | None = None
    contested: tuple[str, ...] = ()
    routes: int = 0
    former: dict[str, int] = {}
    virtual: bool = False
    internet: bool = False
    members: list[bytes] = []
    claims: tuple[Claim, ...] = ()
    attributes: dict[str, str] = {}
    packed_reasons: bytes = b""
    type: str = "Unknown"
    level: int | None = None
    activity: Activity = NOTHING_DONE

    @property
    def name(self) -> str:
        """The name for people: what it is called, else its address."""
        return self.attributes["name"]

    @property
    def roles(self) -> list[str]:
        """What it is in the conversations of its protocols, in the words of their standards."""
        found: set[str] = set()
        for name in self.activity.serves & self.activity.protocols:
            found |= set(protocol(name).roles[1:2])
        for name in (self.activity.uses | self.activity.publishes) & self.activity.protocols:
            found |= set(protocol(name).roles[:1])
        return sorted(found)

    @property
    def reasons(self) -> dict[str, dict[str, Any]]:
        """Why each attribute is what it is; packed, since few look."""
        return _reasons(self.packed_reasons)


class Shared(msgspec.Struct, frozen=True):
    """What should be one machine's alone, told by several."""

    space: str
    attribute: str
    value: str
    devices: tuple[bytes, ...]
    claims: tuple[Claim, ...]


class Inventory:
    """All devices, who each endpoint belongs to, and contested addresses.

    The same facts in any order, in any batches, give the same devices: `update` works out again
    only the machines about which something new was told.
    """

    def __init__(self, settings: Settings) -> None:
        self.devices: dict[bytes, Device] = {}
        self.device_of: dict[bytes, bytes] = {}
        self.contests: list[Contest] = []
        self.switch_overs: list[SwitchOver] = []
        self.mismatches: dict[bytes, list[Mismatch]] = {}
        self.settings = settings
        self._networks = [network for network, _ in settings.networks()]
        self._merger = Merger()
        self._activities = Activities()
        self._payloads = PayloadReader()
        self._bases = self._activities.addresses
        self._behind: Several[Place, bytes] = Several()
        self._alone: Several[tuple[str, str], bytes] = Several()
        self._shared: set[tuple[str, str]] = set()
        self._last_shared: list[Shared] | None = None
        self._built: Several[bytes, bytes] = Several()
        self._unread = Novelty()
        self._news = Novelty()
        self._dirty: set[bytes] = set()

    def device(self, endpoint: bytes) -> Device | None:
        """The device this endpoint belongs to."""
        id_ = self.device_of.get(endpoint)
        return self.devices.get(id_) if id_ is not None else None

    def note(self, new: Novelty) -> None:
        """Remembers what a batch changed until it is read."""
        self._unread.add(new)

    def read(self, state: State) -> None:
        """Reads what was noted, so that what there is much of need not wait for the next `update`.

        What endpoints did is known then; which machines they are waits.
        """
        new, self._unread = self._unread, Novelty()
        said = self._payloads.update(state, new)
        self._dirty |= self._activities.update(state, new) | said
        self._note_shared(state, new, said)
        layer_2 = {
            id_
            for id_ in state.in_turn("connections", new.connections)
            if addresses.is_mac(state.connections[id_].client)
        }
        self._news.add(
            Novelty(
                endpoints=new.endpoints,
                sightings=new.sightings,
                bindings=new.bindings,
                connections=layer_2,
                claims=new.claims,
                events=new.events,
                buckets=new.buckets,
            )
        )

    def _note_shared(self, state: State, new: Novelty, said: set[bytes]) -> None:
        told = [state.claims[id_] for id_ in new.claims]
        for claim in (*told, *(claim for id_ in said for claim in self._payloads.of(id_))):
            if claim.attribute in ONE_MACHINE_S and claim.message != CA_CERTIFICATE:
                key = claim.attribute, claim.value
                self._alone.add(key, claim.endpoint)
                self._last_shared = None
                if len(self._alone[key]) > 1:
                    self._shared.add(key)

    def shared(self, state: State) -> list[Shared]:
        """What several devices tell of which each should be one machine's alone."""
        if self._last_shared is None:
            self._last_shared = self._look_for_shared(state)
        return self._last_shared

    def _look_for_shared(self, state: State) -> list[Shared]:
        found = []
        for attribute, value in sorted(self._shared):
            by_space: dict[str, dict[bytes, Claim]] = defaultdict(dict)
            for endpoint in self._alone[attribute, value]:
                device = self.device(endpoint)
                claims = [*state.claims_of(endpoint), *self._payloads.of(endpoint)]
                same = [one for one in claims if (one.attribute, one.value) == (attribute, value)]
                if device is None or device.internet or not same:
                    continue
                first = min(same, key=lambda claim: (claim.ts_ns, claim.id))
                known = by_space[device.space].get(device.id)
                if known is None or (first.ts_ns, first.id) < (known.ts_ns, known.id):
                    by_space[device.space][device.id] = first
            for space, told in sorted(by_space.items()):
                if len(told) > 1:
                    order = sorted(told, key=lambda id_: (told[id_].ts_ns, id_))[:MOST_SHARED]
                    claims_of = tuple(told[id_] for id_ in order)
                    found.append(Shared(space, attribute, value, tuple(order), claims_of))
        return found

    def update(self, state: State) -> set[bytes]:
        """Works out the devices as the state is now; gives the ids of those changed or gone."""
        self.read(state)
        new, self._news = self._news, Novelty()
        dirty, self._dirty = self._dirty, set()
        for id_ in new.endpoints:
            fact = state.endpoints[id_]
            if fact.child:
                self._behind.add((fact.space, fact.address), id_)
        dirty |= {state.claims[id_].endpoint for id_ in new.claims} | new.endpoints
        dirty = {base for id_ in dirty if (base := self._base(state, id_)) is not None}
        held_anew = self._merger.update(state, new)
        self._activities.forget_parts(held_anew)
        dirty |= held_anew
        self.switch_overs = self._merger.switch_overs()
        before = {contest.ip: contest for contest in self.contests}
        self.contests = self._merger.contests(state)
        now = {contest.ip: contest for contest in self.contests}
        for ip in before.keys() | now.keys():
            if before.get(ip) != now.get(ip):
                dirty.add(ip)
        return self._build(state, self._closed(dirty, {**before, **now}))

    def _closed(self, dirty: set[bytes], contests: dict[bytes, Contest]) -> set[bytes]:
        """The same endpoints with all of their groups, and all that share a contested address."""
        known = {id_ for id_ in dirty if id_ in self._merger.group_of}
        while True:
            # Not the other way: what is new of one holder changes no other one.
            holders = {mac for ip in known for _, mac in self._merger.turns_of(ip)}
            more = (holders & self._merger.group_of.keys()) | {
                id_ for ip in known for id_ in self._merger.group_of[ip].endpoints
            }
            for contest in contests.values():
                if contest.ip in more or more.intersection(contest.macs):
                    more |= {contest.ip, *contest.macs}
            if more <= known:
                return known
            known |= more

    def _build(self, state: State, dirty: set[bytes]) -> set[bytes]:
        old: dict[bytes, Device] = {}
        for id_ in dirty:
            self.device_of.pop(id_, None)
            for made in self._built.pop(id_):
                if made in self.devices:
                    old[made] = self.devices.pop(made)
                    self.mismatches.pop(made, None)
        for device in old.values():
            for endpoint in device.endpoints:
                self.device_of.pop(endpoint, None)
        work = _Builder(state, self)
        groups = {id(group): group for id_ in dirty if (group := self._merger.group_of[id_])}
        work.build(list(groups.values()), [c for c in self.contests if c.ip in dirty])
        for device in work.devices.values():
            for id_ in work.made_of[device.id]:
                self._built.add(id_, device.id)
            if found := mismatches(device.claims):
                self.mismatches[device.id] = found
        self.devices |= work.devices
        self.device_of |= work.device_of
        changed = {
            id_ for id_ in old.keys() | work.devices.keys() if old.get(id_) != work.devices.get(id_)
        }
        changed |= self._members()
        if changed:
            self._last_shared = None
        return changed

    def _base(self, state: State, endpoint: bytes) -> bytes | None:
        """The endpoint of the address itself."""
        fact = state.endpoints.get(endpoint)
        if fact is None or not fact.child:
            return endpoint
        return self._bases.get((fact.space, fact.address))

    def _members(self) -> set[bytes]:
        """Members of a group: who sends its own addresses from the floating MAC, says to be one, or
        held a floating address.
        """
        changed = set()
        for device in self.devices.values():
            if not device.virtual:
                continue
            members: set[bytes] = set()
            for mac in device.endpoints:
                for ip in self._merger.sent_as[mac]:
                    owner = self.device(ip)
                    if owner is not None and owner.id != device.id and owner.macs:
                        members.add(owner.id)
                for member in self._merger.members_of(mac):
                    owner = self.device(member)
                    if owner is not None and owner.id != device.id:
                        members.add(owner.id)
            # On the map a group stands where its members do.
            levels = {
                level for member in members if (level := self.devices[member].level) is not None
            }
            now = sorted(members), min(levels, default=None)
            if (device.members, device.level) != now:
                device.members, device.level = now
                changed.add(device.id)
        return changed


def inventory(state: State, settings: Settings) -> Inventory:
    """The devices that this state's facts show."""
    found = Inventory(settings)
    found.note(state.everything())
    found.update(state)
    return found


class _Builder:
    """Makes the devices of some groups."""

    def __init__(self, state: State, whole: Inventory) -> None:
        self.state = state
        self.whole = whole
        self.settings = whole.settings
        self.activity = whole._activities.of
        self.answered = whole._activities.answered
        self.devices: dict[bytes, Device] = {}
        self.device_of: dict[bytes, bytes] = {}
        self.unnamed: set[bytes] = set()
        self.made_of: dict[bytes, tuple[bytes, ...]] = {}

    def build(self, groups: list[Group], contests: list[Contest]) -> None:
        for group in groups:
            self._machine(group)
        self._children(groups)
        for contest in contests:
            self._share(contest)
        for device in self.devices.values():
            self._describe(device)
        for device in self.devices.values():
            if device.parent is not None and device.id in self.unnamed:
                self._name_child(device)

    def _claims(self, endpoint: bytes) -> list[Claim]:
        return [*self.state.claims_of(endpoint), *self.whole._payloads.of(endpoint)]

    def _machine(self, group: Group) -> None:
        if any(self.whole._merger.turns_of(id_) for id_ in group.endpoints):
            return
        facts = [self.state.endpoints[id_] for id_ in group.endpoints]
        # A group's addresses are told by its members, whoever sends from them.
        spoke = [fact for fact in facts if fact.spoke or (group.virtual and fact.id in group.basis)]
        if not spoke:
            return
        # Who had an address first keeps the id that it gave, whoever has the address now.
        lent = self._lent(group)
        first = [self.state.endpoints[ip] for ip, (turn, *_) in lent if turn[1] in group.endpoints]
        earliest = min([*spoke, *first], key=lambda fact: (fact.ts_ns, fact.id))
        own = [
            fact
            for fact in facts
            if fact.spoke or fact.id in group.basis or addresses.is_virtual_mac(fact.address)
        ]
        device = Device(
            id=earliest.id,
            space=earliest.space,
            endpoints=[fact.id for fact in own],
            macs=sorted(f.address for f in own if addresses.is_mac(f.address)),
            ips=sorted(
                (f.address for f in own if not addresses.is_mac(f.address)),
                key=addresses.sort_key,
            ),
            basis=group.basis,
            first_ns=earliest.ts_ns,
            routes=len(group.routes),
            virtual=group.virtual,
        )
        # what answers an industrial protocol is plant equipment, whatever its address
        answers = any(
            is_industrial(name)
            for fact in own
            if fact.id in self.activity
            for name in self.activity[fact.id].serves
        )
        device.internet = (
            not device.macs
            and not answers
            and bool(device.ips)
            and all(self._is_internet(ip) for ip in device.ips)
        )
        for fact in own:
            self.device_of[fact.id] = device.id
            device.claims += tuple(self._claims(fact.id))
            device.activity |= self.activity.get(fact.id, NOTHING_DONE)
            vlans = {
                vlan
                for sight in self._sights_of(fact.id)
                for stack in sight.vlans
                for vlan in stack
            }
            if not device.activity.vlans >= vlans:
                device.activity |= Activity(vlans=frozenset(vlans))
        for ip, turns in lent:
            self._lend(device, group, ip, turns)
        device.activity = self.whole._activities.same(device.activity)
        self.devices[device.id] = device
        self.made_of[device.id] = group.endpoints
        for fact in own:
            self._hide(device, fact)

    def _hide(self, device: Device, fact: Endpoint) -> None:
        """Makes the machines that hide behind one address of this one."""
        claims = self._claims(fact.id)
        found = nat.behind(self.whole._merger.own_hop_limits(fact.id), claims)
        if found is None:
            return
        device.gateway = "hidden machines"
        theirs = {claim.id for one in found.hidden for claim in one.claims}
        device.claims = tuple(claim for claim in device.claims if claim.id not in theirs)
        for one in found.hidden:
            child = Device(
                id=derived_id("hidden", device.space, fact.address, one.known_by),
                space=device.space,
                endpoints=[],
                macs=[],
                ips=[],
                basis={},
                first_ns=min((claim.ts_ns for claim in one.claims), default=fact.ts_ns),
                parent=device.id,
                child_address=f"hidden {one.known_by}",
                hidden=found,
                claims=one.claims,
            )
            self.devices[child.id] = child
            self.made_of[child.id] = self.made_of[device.id]

    def _lent(self, group: Group) -> list[tuple[bytes, tuple[Turn, ...]]]:
        """The addresses that these MACs hold or held in turn with others."""
        merger = self.whole._merger
        ips = {ip for id_ in group.endpoints for ip in merger.lent[id_]}
        return [(ip, merger.turns_of(ip)) for ip in sorted(ips)]

    def _lend(self, device: Device, group: Group, ip: bytes, turns: tuple[Turn, ...]) -> None:
        """Gives a machine what was told and done at an address while it had it, and the address
        where it is the last that had it.
        """
        starts = [since_ns for since_ns, _ in turns]

        def holder_at(ts_ns: int) -> bytes:
            return turns[bisect_right(starts, ts_ns) - 1][1]

        fact = self.state.endpoints[ip]
        parts = self.whole._activities.parts(self.state, ip, holder_at)
        for mac in group.endpoints:
            device.activity |= parts.get(mac, NOTHING_DONE)
        device.claims += tuple(
            claim for claim in self._claims(ip) if holder_at(claim.ts_ns) in group.endpoints
        )
        if turns[-1][1] in group.endpoints:
            device.endpoints.append(ip)
            device.ips = sorted([*device.ips, fact.address], key=addresses.sort_key)
            device.basis = {**device.basis, ip: "lent to it last"}
            self.device_of[ip] = device.id
        else:
            until = max(
                later_ns for (_, mac), (later_ns, _) in pairwise(turns) if mac in group.endpoints
            )
            device.former = {**device.former, fact.address: until}

    def _sights_of(self, mac: bytes) -> list[Sight]:
        """All sightings of a MAC, also of frames without IP."""
        alone = self.state.sightings.get((mac, None))
        with_ip = [self.state.sightings[mac, ip] for ip in self.whole._merger.sent_as[mac]]
        return with_ip if alone is None else [alone, *with_ip]

    def _is_internet(self, address: str) -> bool:
        ip = addresses.parse(address)
        return addresses.is_public(address) and not any(
            ip in network
            for network in self.whole._networks
            if ip and network.version == ip.version
        )

    def _children(self, groups: list[Group]) -> None:
        """Adds child devices, or gives a child's facts to its machine where it is no other one."""
        behind: dict[tuple[str, str, str], list[Endpoint]] = defaultdict(list)
        bases = [id_ for group in groups for id_ in group.endpoints]
        bases += [
            ip
            for group in groups
            for ip, turns in self._lent(group)
            if turns[-1][1] in group.endpoints
        ]
        for base in dict.fromkeys(bases):
            place = self.state.endpoints[base]
            for id_ in self.whole._behind[place.space, place.address]:
                fact = self.state.endpoints[id_]
                if fact.spoke or id_ in self.answered or self._claims(id_):
                    kind = fact.child.partition(" ")[0]
                    behind[fact.space, fact.address, kind].append(fact)
        depth = sorted(behind.items(), key=lambda item: (item[0], min(f.id for f in item[1])))
        found: list[tuple[int, Endpoint, bool]] = []
        stations: dict[bytes, list[Endpoint]] = defaultdict(list)
        for (_, _, kind), facts in depth:
            others = [
                fact for fact in facts if fact.child not in OWN_UNITS or self._is_on_a_line(fact)
            ]
            several = len(others) > 1 and kind in ONE_OF_ITS_KIND
            for fact in facts:
                if fact not in others:
                    own = False
                elif kind not in ONE_OF_ITS_KIND or several:
                    own = True
                else:
                    own = self._is_on_a_line(fact) or (
                        kind == "modbus-unit" and fact.child not in GATEWAY_UNITS
                    )
                found.append((fact.child.count("/"), fact, own))
        for _, fact, own in sorted(found, key=lambda item: (item[0], item[1].id)):
            base = self.whole._bases[fact.space, fact.address]
            machine = self.device_of.get(base)
            if machine is None:
                continue
            claims = tuple(self._claims(fact.id))
            if not own:
                device = self.devices[machine]
                device.claims += claims
                device.endpoints.append(fact.id)
                self.device_of[fact.id] = machine
                continue
            above = self.whole._activities.child(self.state, base, fact.child.rpartition("/")[0])
            parent = self.device_of.get(above, machine) if above is not None else machine
            device = Device(
                id=fact.id,
                space=fact.space,
                endpoints=[fact.id],
                macs=[],
                ips=[],
                basis={},
                first_ns=fact.ts_ns,
                parent=parent,
                child_address=fact.child,
                claims=claims,
                activity=self.activity.get(fact.id, NOTHING_DONE),
            )
            if self._is_station(fact):
                stations[machine].append(fact)
            self.devices[fact.id] = device
            self.device_of[fact.id] = fact.id
            self.made_of[fact.id] = self.made_of[machine]

        for machine, facts in stations.items():
            if any(self._is_on_a_line(fact) for fact in facts):
                self.devices[machine].gateway = "serial lines"
            elif len(facts) > 1 or facts[0].child.startswith("bacnet "):
                self.devices[machine].gateway = "stations"

    def _is_station(self, fact: Endpoint) -> bool:
        """Whether it is a machine that others reach through the address; a client may be the
        address itself, but a BACnet station with a network number never is.
        """
        kind = fact.child.partition(" ")[0]
        return kind == "bacnet" or (kind in STATIONS and fact.id in self.answered)

    def _is_on_a_line(self, fact: Endpoint) -> bool:
        """Whether the station's frames are those of a serial line."""
        return fact.child.partition(" ")[0] in SERIAL or any(
            claim.attribute == SERIAL_FRAMING for claim in self._claims(fact.id)
        )

    def _share(self, contest: Contest) -> None:
        """Shows a contested address and its claims at each machine that holds it."""
        address = self.state.endpoints[contest.ip].address
        alone = self.device_of.pop(contest.ip, None)
        device = self.devices.pop(alone, None) if alone is not None else None
        for mac in contest.macs:
            holder = self.devices.get(self.device_of.get(mac, b""))
            if holder is None:
                continue
            if address not in holder.ips:
                holder.ips = sorted([*holder.ips, address], key=addresses.sort_key)
            holder.contested = (*holder.contested, address)
            if device is not None:
                holder.claims += device.claims
                holder.activity |= device.activity
                self.device_of.setdefault(contest.ip, holder.id)
        if device is not None:
            for child in self.devices.values():
                if child.parent == alone:
                    child.parent = self.device_of.get(contest.ip)

    def _describe(self, device: Device) -> None:
        parent = self.devices.get(device.parent) if device.parent else None
        contested = {
            id_
            for address in device.contested
            if (id_ := self.whole._bases.get((device.space, address))) is not None
        }
        device.claims = tuple(sorted(device.claims, key=lambda claim: claim.id))
        own = [claim for claim in device.claims if claim.endpoint not in contested]
        on_link = [] if device.routes and not device.ips else device.macs
        device.attributes, reasons = resolve(own, on_link if not device.virtual else [])
        known = [
            entry
            for address in (*device.ips, *device.macs)
            if (entry := self.settings.known(device.space, address)) is not None
        ]
        for entry in known:
            if entry.name:
                device.attributes["name"] = entry.name
                reasons["name"] = {"rule": "told-by-a-person"}
        if "name" not in device.attributes:
            address = (device.ips or device.macs or [""])[0]
            device.attributes["name"] = device.child_address if parent else address
            reasons["name"] = {"rule": "address"}
            self.unnamed.add(device.id)
        for id_, reason in device.basis.items():
            fact = self.state.endpoints.get(id_)
            if fact is not None and id_ in self.device_of:
                key = "macs" if addresses.is_mac(fact.address) else "ips"
                entry_of = reasons.setdefault(key, {"rule": "joined", "by": {}})
                entry_of["by"][fact.address] = reason
        for address, until_ns in device.former.items():
            entry_of = reasons.setdefault("ips", {"rule": "joined", "by": {}})
            entry_of["by"][address] = f"held until {iso(until_ns)}"
        for address in device.contested:
            entry_of = reasons.setdefault("ips", {"rule": "joined", "by": {}})
            entry_of["by"][address] = "address conflict: several machines hold it"
        device.type, reasons["type"] = classify(device, named=device.id not in self.unnamed)
        safety = safety_class(device, named=device.id not in self.unnamed)
        if safety is not None:
            device.attributes["safety_class"] = SAFETY_RATED
            reasons["safety_class"] = safety
        for entry in known:
            if entry.type:
                device.type = entry.type
                reasons["type"] = {"rule": "told-by-a-person"}
        if device.hidden is not None:
            signs = ", ".join(device.hidden.signs)
            reasons["parent"] = {
                "rule": "hidden",
                "certainty": device.hidden.certainty,
                "by": signs,
            }
        device.packed_reasons = _pack(reasons)
        device.level = _level(device.type)

    def _name_child(self, device: Device) -> None:
        """A child without a name of its own is called after what it is behind."""
        names = [device.child_address]
        above = self.devices.get(device.parent or b"")
        while above is not None and above.parent is not None:
            above = self.devices.get(above.parent)
        if above is not None:
            names.insert(0, above.name)
        device.attributes["name"] = " ".join(names)


def _level(kind: str) -> int | None:
    from otic.inventory.types import levels

    return levels().get(kind)
