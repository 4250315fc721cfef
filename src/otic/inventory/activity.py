"""What endpoints were seen to do, kept while connections and operations arrive."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection
from typing import Any

import msgspec

from otic.facts import Connection, Operation
from otic.inventory.protocols import is_industrial
from otic.inventory.several import Several
from otic.journal.fold import Novelty, State

PUBLISHED = {"goose", "sampled-values"}
"""Protocols whose connection's client publishes to a group."""

MOST_TARGETS = 16
"""Servers remembered of one client: rules ask whether there are a few."""

NOTHING: frozenset[str] = frozenset()


def transfer_by_client(connection_protocol: str, action: str) -> bool:
    """Whether the connection's client acts, whoever sends the request.

    In an S7 block download the controller asks for the blocks that the station gives it.
    """
    return connection_protocol == "s7comm" and action.startswith("program-")


class Activity(msgspec.Struct, frozen=True, gc=False):
    """What the endpoints of one device were seen to do; equal ones may be one object."""

    protocols: frozenset[str] = NOTHING
    serves: frozenset[str] = NOTHING
    uses: frozenset[str] = NOTHING
    publishes: frozenset[str] = NOTHING
    does: frozenset[str] = NOTHING
    receives: frozenset[str] = NOTHING
    targets: tuple[bytes, ...] = ()
    vlans: frozenset[int] = frozenset()

    def __or__(self, other: Activity) -> Activity:
        """What either of them did."""
        if other == NOTHING_DONE or self == other:
            return self
        if self == NOTHING_DONE:
            return other
        sets = {name: _either(getattr(self, name), getattr(other, name)) for name in SETS}
        return Activity(**sets, targets=tuple(sorted({*self.targets, *other.targets})))


SETS = tuple(name for name in Activity.__struct_fields__ if name != "targets")

NOTHING_DONE = Activity()


def _either(one: frozenset[Any], other: frozenset[Any]) -> frozenset[Any]:
    """What is in either; one of these objects where it holds the other's."""
    return one if one >= other else other if other >= one else one | other


class Activities:
    """The activity of every endpoint, and which children of an address answered.

    The same facts in any order give the same activities.
    """

    def __init__(self) -> None:
        self.of: dict[bytes, Activity] = {}
        self.answered: set[bytes] = set()
        self.addresses: dict[tuple[str, str], bytes] = {}
        self._child: dict[tuple[str, str, str], bytes] = {}
        self._base: dict[bytes, bytes] = {}
        self._behind: Several[bytes, bytes] = Several()
        self._before_base: Several[tuple[str, str], bytes] = Several()
        self._before_end: Several[bytes, bytes] = Several()
        self._before_connection: Several[bytes, bytes] = Several()
        self._before_child: Several[tuple[str, str, str], bytes] = Several()
        self.lent: set[bytes] = set()
        self._parts: dict[bytes, dict[bytes, Activity]] = {}
        self._dirty: set[bytes] = set()
        self._alike: dict[Any, Any] = {}

    def update(self, state: State, new: Novelty) -> set[bytes]:
        """Takes in what changed; gives the endpoints that now did something else."""
        connections = new.connections | new.observations | new.answered
        operations = set(new.operations)
        for id_ in new.endpoints:
            self._endpoint(state, id_, connections, operations)
        if new.corrections:
            more = self._corrected(state, new)
            connections |= more
            named = more | {old for old in state.corrections if state.stands_for(old)[0] in more}
            operations |= {id_ for name, id_ in state.facts_on(named) if name == "operations"}
            for old in new.corrections:
                operations.update(self._before_connection.pop(old))
        for id_ in state.in_turn("connections", connections):
            if self._connection(state, id_):
                operations.update(self._before_connection.pop(id_))
        for id_ in state.in_turn("operations", operations):
            self._operation(state, id_)
        dirty, self._dirty = self._dirty, set()
        return dirty

    def parts(
        self, state: State, endpoint: bytes, holder_at: Callable[[int], bytes]
    ) -> dict[bytes, Activity]:
        """What was done at an address, by who held it when that began."""
        known = self._parts.get(endpoint)
        if known is None:
            known = self._parts[endpoint] = self._split(state, endpoint, holder_at)
            self.lent.add(endpoint)
        return known

    def forget_parts(self, endpoints: set[bytes]) -> None:
        """Others held these addresses than was thought, or at other times."""
        for endpoint in endpoints & self._parts.keys():
            del self._parts[endpoint]

    def _split(
        self, state: State, endpoint: bytes, holder_at: Callable[[int], bytes]
    ) -> dict[bytes, Activity]:
        by: dict[bytes, Novelty] = defaultdict(Novelty)
        for connection in state.connections_of({endpoint, *self._behind[endpoint]}):
            part = by[holder_at(connection.ts_ns)]
            part.connections.add(connection.id)
        names = {id_ for part in by.values() for id_ in part.connections}
        names |= {old for old in state.corrections if state.stands_for(old)[0] in names}
        operations = {id_ for name, id_ in state.facts_on(names) if name == "operations"}
        for id_ in state.in_turn("operations", operations):
            by[holder_at(state.operations[id_].ts_ns)].operations.add(id_)
        found = {}
        for holder, part in by.items():
            own = Activities()
            # An operation is its connection's use by whoever asked, also where that is older.
            part.connections |= {
                state.stands_for(state.operations[id_].connection)[0] for id_ in part.operations
            }
            ends = [
                end
                for id_ in part.connections
                if (on := state.connections.get(id_)) is not None
                for end in (on.client_id, on.server_id)
            ]
            bases = {self.base(end) for end in ends}
            behind = (id_ for base in bases for id_ in self._behind[base])
            part.endpoints = {*ends, *bases, *behind} & state.endpoints.keys()
            own.update(state, part)
            found[holder] = own.of.get(endpoint, NOTHING_DONE)
        return found

    def same(self, activity: Activity) -> Activity:
        """One object for equal activities without targets, which most machines of a kind share."""
        if activity.targets:
            return activity
        kept: Activity = self._alike.setdefault(activity, activity)
        return kept

    def base(self, endpoint: bytes) -> bytes:
        """The endpoint of the address itself, for a child behind it."""
        return self._base.get(endpoint, endpoint)

    def child(self, state: State, base: bytes, child: str) -> bytes | None:
        """The endpoint of this child behind an address."""
        fact = state.endpoints.get(base)
        return self._child.get((fact.space, fact.address, child)) if child and fact else None

    def _endpoint(
        self, state: State, id_: bytes, connections: set[bytes], operations: set[bytes]
    ) -> None:
        """Notes an address or child, and what can be read now that it is known."""
        fact = state.endpoints[id_]
        place = (fact.space, fact.address)
        if fact.child:
            key = (*place, fact.child)
            self._child[key] = id_
            operations.update(self._before_child.pop(key))
            if place not in self.addresses:
                self._before_base.add(place, id_)
                return
            children: Collection[bytes] = (id_,)
        else:
            self.addresses[place] = id_
            children = self._before_base.pop(place)
        for child in children:
            self._base[child] = self.addresses[place]
            self._behind.add(self.addresses[place], child)
            connections.update(self._before_end.pop(child))

    def _corrected(self, state: State, new: Novelty) -> set[bytes]:
        """Forgets what the parties of exchanged connections did; gives all their connections."""
        parties: set[bytes] = set()
        for old in new.corrections:
            for id_ in (old, state.corrections[old].new):
                connection = state.connections.get(id_)
                if connection is not None:
                    parties |= {self.base(connection.client_id), self.base(connection.server_id)}
        self._dirty |= parties
        ends = {end for base in parties for end in (base, *self._behind[base])}
        for end in ends:
            self.of.pop(end, None)
        self.answered -= ends
        return {connection.id for connection in state.connections_of(ends)}

    def _all_known(self, id_: bytes, connection: Connection) -> bool:
        """Whether the addresses of both ends are known; else the connection waits for them."""
        for endpoint, child in (
            (connection.client_id, connection.client_child),
            (connection.server_id, connection.server_child),
        ):
            if child and endpoint not in self._base:
                self._before_end.add(endpoint, id_)
                return False
        return True

    def _connection(self, state: State, id_: bytes) -> bool:
        """Reads one connection; whether it can be read yet."""
        connection = state.connections.get(id_)
        if connection is None or not self._all_known(id_, connection):
            return False
        if id_ in state.corrections:
            return True
        name = connection.protocol
        seen = state.observations.get(id_)
        vlans = {vlan for stack in seen.vlans for vlan in stack} if seen else ()
        known = {name} if name != "unknown" else set()
        ends = (
            (connection.client_id, connection.client_child),
            (connection.server_id, connection.server_child),
        )
        for endpoint, child in ends:
            self._add(self.base(endpoint), protocols=known, vlans=vlans)
            if child:
                self._add(endpoint, protocols=known)
        published = {name} if name in PUBLISHED else ()
        self._add(self.base(connection.client_id), uses={name}, publishes=published)
        if id_ not in state.one_way:
            self._add(self.base(connection.server_id), serves={name})
            self._add(connection.server_id, serves={name})
        return True

    def _operation(self, state: State, id_: bytes) -> None:
        operation = state.operations[id_]
        connection, exchanged = state.resolve(operation.connection)
        if connection is None or not self._all_known(connection.id, connection):
            self._before_connection.add(state.stands_for(operation.connection)[0], id_)
            return
        turned = operation.reversed != exchanged
        client, server = connection.client_id, connection.server_id
        if turned and not transfer_by_client(connection.protocol, operation.action):
            client, server = server, client
        client, server = self.base(client), self.base(server)
        answered = operation.outcome in ("ok", "error") or id_ in state.unpaired
        child = self.child(state, server, operation.server_child)
        fact = state.endpoints.get(server)
        if child is None and operation.server_child and fact is not None:
            self._before_child.add((fact.space, fact.address, operation.server_child), id_)
        elif answered and child is not None and child not in self.answered:
            self.answered.add(child)
            self._dirty.add(child)
        if is_industrial(connection.protocol):
            server = server if fact is None else fact.id  # the id that is kept anyway
            self._industrial(operation, connection, (client, server, child), answered, turned)

    def _industrial(
        self,
        operation: Operation,
        connection: Connection,
        ends: tuple[bytes, bytes, bytes | None],
        answered: bool,
        turned: bool,
    ) -> None:
        client, server, child = ends
        name, action = {connection.protocol}, {operation.action}
        targets = {server} if operation.action not in ("identify", "session") else ()
        self._add(client, does=action if operation.outcome != "error" else (), targets=targets)
        if answered:
            self._add(server, receives=action, serves=() if turned else name)
            if child is not None:
                self._add(child, receives=action, serves=name, protocols=name)

    def _add(
        self,
        endpoint: bytes,
        *,
        targets: Collection[bytes] = (),
        **more: Collection[str] | Collection[int],
    ) -> None:
        if endpoint in self.lent:
            self._parts.pop(endpoint, None)
            self._dirty.add(endpoint)
        activity = self.of.get(endpoint, NOTHING_DONE)
        now: dict[str, Any] = {}
        for name, values in more.items():
            known = getattr(activity, name)
            if not known.issuperset(values):
                both = known.union(values)
                now[name] = self._alike.setdefault(both, both)
        known_targets = activity.targets
        if len(known_targets) < MOST_TARGETS and any(one not in known_targets for one in targets):
            now["targets"] = tuple(sorted({*known_targets, *targets}))
        if now:
            self.of[endpoint] = self.same(msgspec.structs.replace(activity, **now))
            self._dirty.add(endpoint)
