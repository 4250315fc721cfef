"""Devices: groups of endpoints and children, with attributes resolved from claims.

Pure: `inventory(state, settings)` gives the same devices for the same facts in any order.
"""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import msgspec

from otic.facts import Claim, Endpoint
from otic.inventory import addresses
from otic.inventory.attributes import resolve
from otic.inventory.merge import Contest, Group, merge
from otic.inventory.payloads import PayloadReader, all_claims
from otic.inventory.protocols import is_industrial, protocol
from otic.inventory.types import classify
from otic.journal.fold import State
from otic.settings import Settings

ONE_OF_ITS_KIND = {"modbus-unit", "dnp3", "iec104-ca"}
"""Kinds that every endpoint of the protocol has: children only where there are several."""

GATEWAY_UNITS = {"modbus-unit 0", "modbus-unit 1", "modbus-unit 255"}
"""Modbus units by which a server without anything behind it is addressed."""

PUBLISHED = {"goose", "sampled-values", "c37.118"}


def transfer_by_client(connection_protocol: str, action: str) -> bool:
    """Whether the connection's client acts, whoever sends the request.

    In an S7 block download the controller asks for the blocks that the station gives it.
    """
    return connection_protocol == "s7comm" and action.startswith("program-")


class Activity(msgspec.Struct):
    """What the endpoints of one device were seen to do."""

    protocols: set[str] = msgspec.field(default_factory=set)
    serves: set[str] = msgspec.field(default_factory=set)
    uses: set[str] = msgspec.field(default_factory=set)
    publishes: set[str] = msgspec.field(default_factory=set)
    does: set[str] = msgspec.field(default_factory=set)
    receives: set[str] = msgspec.field(default_factory=set)
    targets: set[bytes] = msgspec.field(default_factory=set)
    vlans: set[int] = msgspec.field(default_factory=set)

    def add(self, other: Activity) -> None:
        """Takes over what another one did."""
        self.protocols |= other.protocols
        self.serves |= other.serves
        self.uses |= other.uses
        self.publishes |= other.publishes
        self.does |= other.does
        self.receives |= other.receives
        self.targets |= other.targets
        self.vlans |= other.vlans


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
    contested: list[str] = []
    routes: int = 0
    virtual: bool = False
    internet: bool = False
    members: list[bytes] = []
    claims: list[Claim] = []
    attributes: dict[str, str] = {}
    reasons: dict[str, dict[str, Any]] = {}
    type: str = "Unknown"
    level: int | None = None
    roles: list[str] = []
    activity: Activity = msgspec.field(default_factory=Activity)

    @property
    def name(self) -> str:
        """The name for people: what it is called, else its address."""
        return self.attributes["name"]


class Inventory(msgspec.Struct):
    """All devices, sorted by id, who each endpoint belongs to, and contested addresses."""

    devices: dict[bytes, Device]
    device_of: dict[bytes, bytes]
    contests: list[Contest]

    def device(self, endpoint: bytes) -> Device | None:
        """The device this endpoint belongs to."""
        id_ = self.device_of.get(endpoint)
        return self.devices.get(id_) if id_ is not None else None


def inventory(state: State, settings: Settings, reader: PayloadReader | None = None) -> Inventory:
    """The devices that this state's facts show."""
    return _Builder(state, settings, reader or PayloadReader()).build()


class _Builder:
    def __init__(self, state: State, settings: Settings, reader: PayloadReader) -> None:
        self.state = state
        self.settings = settings
        self.networks = [network for network, _ in settings.networks()]
        self.by_text: dict[tuple[str, str, str], bytes] = {
            (e.space, e.address, e.child): id_ for id_, e in state.endpoints.items()
        }
        self.claims: dict[bytes, list[Claim]] = defaultdict(list)
        for claim in all_claims(state, reader):
            self.claims[claim.endpoint].append(claim)
        self.answered: set[bytes] = set()
        self.activity: dict[bytes, Activity] = defaultdict(Activity)
        self.devices: dict[bytes, Device] = {}
        self.device_of: dict[bytes, bytes] = {}

    def build(self) -> Inventory:
        self._watch_connections()
        self._watch_operations()
        merged = merge(self.state)
        for group in merged.groups:
            self._machine(group)
        self._children()
        for contest in merged.contests:
            self._share(contest)
        for device in self.devices.values():
            self._describe(device)
        for device in self.devices.values():
            if device.parent is not None:
                self._name_child(device)
        self._members()
        return Inventory(dict(sorted(self.devices.items())), self.device_of, merged.contests)

    def _watch_connections(self) -> None:
        for id_, connection in self.state.connections.items():
            if id_ in self.state.corrections:
                continue
            counts = self.state.connection_counts.get(id_, (0, 0, 0, 0))
            seen = self.state.observations.get(id_)
            vlans = {vlan for stack in seen.vlans for vlan in stack} if seen else set()
            name = connection.protocol
            for endpoint, child in (
                (connection.client_id, connection.client_child),
                (connection.server_id, connection.server_child),
            ):
                activity = self.activity[self._base(endpoint)]
                activity.vlans |= vlans
                if name != "unknown":
                    activity.protocols.add(name)
                    if child:
                        self.activity[endpoint].protocols.add(name)
            self.activity[self._base(connection.client_id)].uses.add(name)
            if counts[1]:
                self.activity[self._base(connection.server_id)].serves.add(name)
                self.activity[connection.server_id].serves.add(name)
            if name in PUBLISHED:
                self.activity[self._base(connection.client_id)].publishes.add(name)

    def _watch_operations(self) -> None:
        for id_, operation in self.state.operations.items():
            connection, exchanged = self.state.resolve(operation.connection)
            if connection is None:
                continue
            turned = operation.reversed != exchanged
            client, server = connection.client_id, connection.server_id
            if turned and not transfer_by_client(connection.protocol, operation.action):
                client, server = server, client
            client, server = self._base(client), self._base(server)
            unpaired = self.state.operation_counts.get(id_, (0, 0, 0))[1]
            answered = operation.outcome in ("ok", "error") or unpaired > 0
            child = self._child(server, operation.server_child)
            if answered and child is not None:
                self.answered.add(child)
            if not is_industrial(connection.protocol):
                continue
            doing = self.activity[client]
            if operation.outcome != "error":
                doing.does.add(operation.action)
            if operation.action not in ("identify", "session"):
                doing.targets.add(server)
            if answered:
                self.activity[server].receives.add(operation.action)
                if not turned:
                    self.activity[server].serves.add(connection.protocol)
                if child is not None:
                    self.activity[child].receives.add(operation.action)
                    self.activity[child].serves.add(connection.protocol)
                    self.activity[child].protocols.add(connection.protocol)

    def _base(self, endpoint: bytes) -> bytes:
        """The endpoint of the address itself."""
        fact = self.state.endpoints.get(endpoint)
        if fact is None or not fact.child:
            return endpoint
        return self.by_text.get((fact.space, fact.address, ""), endpoint)

    def _child(self, base: bytes, child: str) -> bytes | None:
        fact = self.state.endpoints.get(base)
        if not child or fact is None:
            return None
        return self.by_text.get((fact.space, fact.address, child))

    def _machine(self, group: Group) -> None:
        facts = [self.state.endpoints[id_] for id_ in group.endpoints]
        if not any(fact.spoke for fact in facts):
            return
        earliest = min(
            (fact for fact in facts if fact.spoke), key=lambda fact: (fact.ts_ns, fact.id)
        )
        own = [fact for fact in facts if fact.spoke or fact.id in group.basis]
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
            device.claims += self.claims.get(fact.id, ())
            if fact.id in self.activity:
                device.activity.add(self.activity[fact.id])
            for (mac, _), sight in self._sights_of(fact):
                if mac == fact.id:
                    device.activity.vlans |= {vlan for stack in sight.vlans for vlan in stack}
        self.devices[device.id] = device

    def _sights_of(self, fact: Endpoint) -> list[tuple[tuple[bytes, bytes | None], Any]]:
        if not hasattr(self, "_by_mac"):
            self._by_mac: dict[bytes, list[tuple[tuple[bytes, bytes | None], Any]]] = defaultdict(
                list
            )
            for key, sight in self.state.sightings.items():
                self._by_mac[key[0]].append((key, sight))
        return self._by_mac.get(fact.id, [])

    def _is_internet(self, address: str) -> bool:
        ip = addresses.parse(address)
        return addresses.is_public(address) and not any(
            ip in network for network in self.networks if ip and network.version == ip.version
        )

    def _children(self) -> None:
        """Adds child devices, or gives a child's facts to its machine where it is no other one."""
        behind: dict[tuple[str, str, str], list[Endpoint]] = defaultdict(list)
        for id_, fact in self.state.endpoints.items():
            if fact.child and (fact.spoke or id_ in self.answered or id_ in self.claims):
                kind = fact.child.partition(" ")[0]
                behind[fact.space, fact.address, kind].append(fact)
        depth = sorted(behind.items(), key=lambda item: (item[0], min(f.id for f in item[1])))
        found: list[tuple[int, Endpoint, bool]] = []
        for (_, _, kind), facts in depth:
            several = len(facts) > 1 and kind in ONE_OF_ITS_KIND
            for fact in facts:
                if kind not in ONE_OF_ITS_KIND or several:
                    own = True
                else:
                    own = kind == "modbus-unit" and fact.child not in GATEWAY_UNITS
                found.append((fact.child.count("/"), fact, own))
        for _, fact, own in sorted(found, key=lambda item: (item[0], item[1].id)):
            machine = self.device_of.get(self.by_text.get((fact.space, fact.address, ""), b""))
            if machine is None:
                continue
            claims = self.claims.get(fact.id, [])
            if not own:
                device = self.devices[machine]
                device.claims += claims
                device.endpoints.append(fact.id)
                self.device_of[fact.id] = machine
                continue
            above = self.by_text.get((fact.space, fact.address, fact.child.rpartition("/")[0]))
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
                claims=list(claims),
                activity=self.activity.get(fact.id, Activity()),
            )
            self.devices[fact.id] = device
            self.device_of[fact.id] = fact.id

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
            holder.contested = [*holder.contested, address]
            if device is not None:
                holder.claims = [*holder.claims, *device.claims]
                holder.activity.add(device.activity)
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
            if (id_ := self.by_text.get((device.space, address, ""))) is not None
        }
        device.claims.sort(key=lambda claim: claim.id)
        own = [claim for claim in device.claims if claim.endpoint not in contested]
        on_link = [] if device.routes and not device.ips else device.macs
        device.attributes, device.reasons = resolve(own, on_link if not device.virtual else [])
        known = [
            entry
            for address in (*device.ips, *device.macs)
            if (entry := self.settings.known(device.space, address)) is not None
        ]
        for entry in known:
            if entry.name:
                device.attributes["name"] = entry.name
                device.reasons["name"] = {"rule": "told-by-a-person"}
        if "name" not in device.attributes:
            address = (device.ips or device.macs or [""])[0]
            device.attributes["name"] = device.child_address if parent else address
            device.reasons["name"] = {"rule": "address"}
        for id_, reason in device.basis.items():
            fact = self.state.endpoints.get(id_)
            if fact is not None and id_ in self.device_of:
                key = "macs" if addresses.is_mac(fact.address) else "ips"
                entry_of = device.reasons.setdefault(key, {"rule": "joined", "by": {}})
                entry_of["by"][fact.address] = reason
        for address in device.contested:
            entry_of = device.reasons.setdefault("ips", {"rule": "joined", "by": {}})
            entry_of["by"][address] = "address conflict: several machines hold it"
        device.type, reason = classify(device)
        device.reasons["type"] = {"rule": reason}
        for entry in known:
            if entry.type:
                device.type = entry.type
                device.reasons["type"] = {"rule": "told-by-a-person"}
        device.level = _level(device.type)
        roles = set()
        for name in device.activity.serves & device.activity.protocols:
            roles |= set(protocol(name).roles[1:2])
        for name in (device.activity.uses | device.activity.publishes) & device.activity.protocols:
            roles |= set(protocol(name).roles[:1])
        device.roles = sorted(roles)

    def _name_child(self, device: Device) -> None:
        """A child without a name of its own is called after what it is behind."""
        if device.reasons["name"]["rule"] != "address":
            return
        names = [device.child_address]
        above = self.devices.get(device.parent or b"")
        while above is not None and above.parent is not None:
            above = self.devices.get(above.parent)
        if above is not None:
            names.insert(0, above.name)
        device.attributes["name"] = " ".join(names)

    def _members(self) -> None:
        """Machines that send their own addresses from a floating MAC are members of its group."""
        for device in self.devices.values():
            if not device.virtual:
                continue
            members: set[bytes] = set()
            for mac, ip in self.state.sightings:
                if ip is not None and self.device_of.get(mac) == device.id:
                    owner = self.devices.get(self.device_of.get(ip, b""))
                    if owner is not None and owner.id != device.id and owner.macs:
                        members.add(owner.id)
            device.members = sorted(members)


def _level(kind: str) -> int | None:
    from otic.inventory.types import levels

    return levels().get(kind)
