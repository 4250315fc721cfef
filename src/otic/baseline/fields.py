"""Facts as the fields that rules speak of, roles corrected and flags added."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from otic.facts import Attempts, Claim, Connection, Endpoint, Event
from otic.inventory import addresses
from otic.inventory.activity import transfer_by_client
from otic.inventory.protocols import is_industrial
from otic.journal.fold import State
from otic.settings import Settings

WRITES = {
    "write",
    "control",
    "configuration",
    "program-download",
    "firmware",
    "mode",
    "stop",
    "start",
    "reset",
}


NO_FLAGS: frozenset[str] = frozenset()


def one_of_many(value: str) -> str:
    """A value as it stands among others in one text: without blanks."""
    return value.replace("\\", "\\\\").replace(" ", "\\s")


class FieldMaker:
    """Makes the fields of facts; flags and zones come from the settings."""

    def __init__(self, settings: Settings) -> None:
        self._networks = settings.networks()
        self._flags: dict[tuple[str, str], frozenset[str]] = {}
        for entry in settings.device:
            self._flags[entry.space, entry.address] = frozenset(entry.flags)
        self._own_zone = settings.zone
        self._zone_of = lru_cache(maxsize=4096)(self._zone)
        self.public = lru_cache(maxsize=4096)(self._public)

    def flags(self, space: str, address: str) -> frozenset[str]:
        """What people said about this address."""
        if not self._flags:
            return NO_FLAGS
        own = self._flags.get((space, address), NO_FLAGS)
        return own | self._flags.get(("", address), NO_FLAGS)

    def zone(self, address: str) -> str:
        """The zone of this address."""
        return self._zone_of(address) if self._networks else self._own_zone

    def _zone(self, address: str) -> str:
        ip = addresses.parse(address)
        for network, subnet in self._networks:
            if ip is not None and ip.version == network.version and ip in network:
                return subnet.zone or self._own_zone
        return self._own_zone

    def _public(self, address: str) -> bool:
        ip = addresses.parse(address)
        return addresses.is_public(address) and not any(
            ip in network for network, _ in self._networks if ip and ip.version == network.version
        )

    def parties(self, space: str, client: str, server: str) -> dict[str, Any]:
        """Fields of the two ends."""
        return {
            "space": space,
            "client": client,
            "server": server,
            "client_flags": self.flags(space, client),
            "server_flags": self.flags(space, server),
            "client_zone": self.zone(client),
            "server_zone": self.zone(server),
            "client_public": self.public(client),
            "server_public": self.public(server),
            "server_group": addresses.is_group(server),
        }

    def connection(
        self, fact: Connection, *, turned: bool = False, children: tuple[str, str] | None = None
    ) -> dict[str, Any]:
        """Fields of a connection, or of what happens on it; `turned` when its server acted."""
        client, server = fact.client, fact.server
        client_child, server_child = fact.client_child, fact.server_child
        if turned:
            client, server = server, client
            client_child, server_child = server_child, client_child
        if children is not None:
            client_child, server_child = children
        return self.parties(fact.space, client, server) | {
            "client_child": client_child,
            "server_child": server_child,
            "transport": fact.transport,
            "port": fact.port,
            "connection_protocol": fact.protocol,
            "industrial": is_industrial(fact.protocol),
        }

    def endpoint(self, fact: Endpoint) -> dict[str, Any]:
        """Fields of an endpoint."""
        return {
            "space": fact.space,
            "address": fact.address,
            "child": fact.child,
            "public": self.public(fact.address),
            "flags": self.flags(fact.space, fact.address),
            "zone": self.zone(fact.address),
            "mac": addresses.is_mac(fact.address),
        }

    def claim(self, fact: Claim, endpoint: Endpoint) -> dict[str, Any]:
        """Fields of a claim."""
        return {
            "space": endpoint.space,
            "address": endpoint.address,
            "child": endpoint.child,
            "attribute": fact.attribute,
            "value": fact.value,
            "protocol": fact.protocol,
            "message": fact.message,
            "confidence": fact.confidence,
            "flags": self.flags(endpoint.space, endpoint.address),
        }

    def event(self, fact: Event) -> dict[str, Any]:
        """Fields of an event; `values` is all its distinguishing values in one text."""
        told = sorted(fact.values.items())
        values = " ".join(f"{name}={one_of_many(value)}" for name, value in told)
        return (
            self.parties(fact.space, fact.client, fact.server)
            | {"kind": fact.kind, "protocol": fact.protocol, "values": values}
            | {f"values.{name}": value for name, value in fact.values.items()}
        )

    def attempts(self, fact: Attempts, source: Endpoint) -> dict[str, Any]:
        """Fields of attempts."""
        return {
            "space": source.space,
            "source": source.address,
            "transport": fact.transport,
            "source_flags": self.flags(source.space, source.address),
            "source_public": self.public(source.address),
        }

    def of(self, state: State, kind: str, id_: Any) -> tuple[dict[str, Any], int] | None:
        """Fields and first time of a fact; none while facts it rests on are missing."""
        if kind == "endpoint":
            endpoint = state.endpoints[id_]
            return self.endpoint(endpoint), endpoint.ts_ns
        if kind == "connection":
            connection = state.connections[id_]
            if id_ in state.corrections:
                return None
            return self.connection(connection), connection.ts_ns
        if kind == "claim":
            claim = state.claims[id_]
            owner = state.endpoints.get(claim.endpoint)
            return None if owner is None else (self.claim(claim, owner), claim.ts_ns)
        if kind == "event":
            event = state.events[id_]
            return self.event(event), event.ts_ns
        if kind == "attempts":
            attempts = state.attempts[id_]
            source = state.endpoints.get(attempts.source)
            return None if source is None else (self.attempts(attempts, source), attempts.start_ns)
        return self._on_connection(state, kind, id_)

    def _on_connection(
        self, state: State, kind: str, id_: bytes
    ) -> tuple[dict[str, Any], int] | None:
        if kind == "operation":
            operation = state.operations[id_]
            connection, exchanged = state.resolve(operation.connection)
            if connection is None:
                return None
            turned = operation.reversed != exchanged
            children = operation.client_child, operation.server_child
            if turned and transfer_by_client(connection.protocol, operation.action):
                turned, children = False, (children[1], children[0])
            fields = self.connection(connection, turned=turned, children=children) | {
                "protocol": operation.protocol,
                "code": operation.code,
                "name": operation.name,
                "action": operation.action,
                "object": operation.object,
                "outcome": operation.outcome,
            }
            fields["writes"] = operation.action in WRITES and is_industrial(connection.protocol)
            return fields, operation.ts_ns
        if kind == "violation":
            violation = state.violations[id_]
            connection, exchanged = state.resolve(violation.connection)
            if connection is None:
                return None
            fields = self.connection(connection, turned=violation.reversed != exchanged)
            fields |= {"rule": violation.rule, "protocol": violation.protocol}
            fields |= {f"values.{name}": value for name, value in violation.values.items()}
            return fields, violation.ts_ns
        change = state.changes[id_]
        connection, exchanged = state.resolve(change.connection)
        if connection is None:
            return None
        fields = self.connection(connection, turned=change.reversed != exchanged)
        fields |= {
            "protocol": change.protocol,
            "object": change.object,
            "new": change.new,
            "old": change.old,
        }
        return fields, change.ts_ns
