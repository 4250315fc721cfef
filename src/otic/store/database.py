"""A database as the sink of a run: one transaction a batch holds state and position.

A run that was broken off, at any moment, goes on: the core reads the same files again and batches
up to the stored position are passed over. Files other than the stored ones are refused.
"""

from __future__ import annotations

import hashlib
import ipaddress
from array import array
from collections.abc import Iterable
from importlib.resources import files as resource_files
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
import sqlalchemy
from sqlalchemy import Connection, Engine, Table, create_engine, delete, event, select
from sqlalchemy.dialects.sqlite import insert
from sqlalchemy.exc import DatabaseError

from otic.detect.engine import Alert
from otic.errors import CaptureError, StoreError
from otic.facts import SCHEMA, Batch, Span, Tallies, encode
from otic.inventory.devices import Device
from otic.journal.fold import Novelty, State, Totals
from otic.sensor.pipeline import Result
from otic.settings import Settings
from otic.store import tables
from otic.store.keep import StoredKeep, chunks
from otic.store.rows import COUNTED, MAKERS, SINGLE, read

STREAM = "facts"
CHECKPOINT_BATCHES = 64
"""Batches whose counts wait as packed columns before they are added to the rows."""

PARTY = ("address", "alert", "role")

EDGE_BYTES = 65536
"""Bytes at each end of a file that tell it from others, with its name and size."""

_tallies = msgspec.msgpack.Decoder(Tallies).decode
_totals = msgspec.msgpack.Decoder(Totals).decode


IN_MEMORY = (
    "endpoints",
    "sightings",
    "bindings",
    "claims",
    "attempts",
    "corrections",
    "epochs",
)
"""Facts that a state holds in memory; the others stay in their tables."""

KINDS_COUNTED = {
    "connection": ("connections",),
    "operation": ("operations",),
    "occurrence": ("events", "violations"),
}
"""The facts that each group of packed columns counts."""


def _packed(counts: dict[str, dict[bytes, list[int]]]) -> Tallies:
    """Counts as the packed columns in which a batch brings them."""
    columns: list[bytes] = []
    for name, width in (("connection", 4), ("operation", 3), ("occurrence", 2)):
        rows = list(counts[name].values())
        columns.append(b"".join(counts[name]))
        columns += [array("q", (row[at] for row in rows)).tobytes() for at in range(width)]
    return Tallies(*columns)


def fingerprint(files: list[Path], settings: Settings) -> str:
    """What tells one set of inputs from another: names, sizes, both ends, and the space map.

    Raises:
        CaptureError: a file cannot be read.
    """
    digest = hashlib.blake2b(encode([SCHEMA, settings.spaces()]), digest_size=16)
    for path in files:
        try:
            size = path.stat().st_size
            digest.update(encode([path.name, size]))
            with path.open("rb") as file:
                digest.update(file.read(EDGE_BYTES))
                file.seek(max(0, size - EDGE_BYTES))
                digest.update(file.read(EDGE_BYTES))
        except OSError as error:
            raise CaptureError(f"{path}: {error.strerror}") from None
    return digest.hexdigest()


def open_engine(path: Path) -> Engine:
    """The database in this file, in write-ahead mode."""
    engine = create_engine(f"sqlite:///{path}")

    @event.listens_for(engine, "connect")
    def _prepare(connection: Any, _: Any) -> None:
        cursor = connection.cursor()
        for pragma in (
            "journal_mode=WAL",
            "synchronous=NORMAL",
            "busy_timeout=10000",
            "foreign_keys=ON",
        ):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    return engine


def migrate(engine: Engine, name: str) -> None:
    """Brings the tables to this program's version.

    Raises:
        StoreError: the database is damaged, or a newer program wrote it.
    """
    from alembic import command
    from alembic.config import Config
    from alembic.runtime.migration import MigrationContext
    from alembic.script import ScriptDirectory
    from alembic.util import CommandError

    config = Config()
    config.set_main_option("script_location", str(resource_files("otic.store") / "migrations"))
    try:
        with engine.begin() as connection:
            current = MigrationContext.configure(connection).get_current_revision()
            known = {
                script.revision for script in ScriptDirectory.from_config(config).walk_revisions()
            }
            if current is not None and current not in known:
                raise StoreError(f"{name}: written by a newer program; update Otic to read it")
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
    except CommandError as error:
        raise StoreError(f"{name}: {error}") from None
    except DatabaseError as error:
        raise StoreError(f"{name}: {error.orig}") from None


def create(path: Path) -> None:
    """Makes an empty database with all tables; a run killed meanwhile leaves none at `path`."""
    new = path.with_name(f"{path.name}.new")
    for part in ("", "-wal", "-shm"):
        new.with_name(new.name + part).unlink(missing_ok=True)
    engine = open_engine(new)
    migrate(engine, path.name)
    with engine.connect() as connection:
        connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
    # Closing the last connection takes the write-ahead log away.
    engine.dispose()
    new.replace(path)


class Database:
    """Keeps a run's state, devices and alerts in a database file."""

    def __init__(self, path: Path, settings: Settings, files: list[Path]) -> None:
        """Opens or creates the database for these files.

        Raises:
            StoreError: it is damaged, newer than this program, or of other captures.
            CaptureError: a capture cannot be read.
        """
        if path.is_dir() or not path.absolute().parent.is_dir():
            raise StoreError(f"{path}: not a place for a database")
        self.path = path
        self.files = files
        self.scope = {name: getattr(settings, name) for name in tables.SCOPE}
        self.fingerprint = fingerprint(files, settings)
        if not path.exists():
            create(path)
        self.engine = open_engine(path)
        migrate(self.engine, path.name)
        self.connection: Connection = self.engine.connect()
        self.keep = StoredKeep(self.connection, self._own)
        self._statements: dict[str, Any] = {}
        self._unchecked = 0
        self._members: dict[bytes, bytes] | None = None
        position = self._position()
        if position is not None and position.fingerprint != self.fingerprint:
            raise StoreError(f"{path.name}: holds the result of other captures or other spaces")
        if position is not None and position.schema > SCHEMA:
            raise StoreError(f"{path.name}: written by a newer program; update Otic to read it")

    def stored(self) -> int:
        """Batches already folded in."""
        position = self._position()
        return 0 if position is None else int(position.batch)

    def load(self) -> State:
        """The state as of the last whole batch.

        Raises:
            StoreError: the database is damaged.
        """
        state = State(self.keep)
        try:
            for name in IN_MEMORY:
                read(state, name, self._all(getattr(tables, name)))
            state.one_way |= self._ids(
                tables.connections, tables.connections.c.reverse_packets == 0
            )
            state.unpaired |= self._ids(tables.operations, tables.operations.c.unpaired > 0)
            for row in self._all(tables.tallies):
                state.tally(_tallies(row.body))
                self._unchecked += 1
            state.buckets.clear()
            read(state, "buckets", self._all(tables.buckets))
            position = self._position()
        except (DatabaseError, msgspec.MsgspecError) as error:
            raise StoreError(f"{self.path.name}: {error}") from None
        if position is not None:
            state.coverage = _totals(position.coverage)
            state.clock_ns = position.clock_ns
            state.batches = position.batch
        self.connection.rollback()
        return state

    def write(self, state: State, batch: Batch, new: Novelty) -> None:
        """Adds one batch: its novelty as rows, its counts as packed columns, the position."""
        for name, make in MAKERS.items():
            keys = getattr(new, name)
            if keys:
                self._upsert(name, [make(state, key) for key in sorted(keys, key=str)])
        if new.claims:
            self._end_claims(state, new.claims)
        if batch.tallies != Tallies():
            self._upsert("tallies", [{"batch": batch.number, "body": encode(batch.tallies)}])
            self._unchecked += 1
        self._upsert(
            "positions",
            [
                {
                    "stream": STREAM,
                    "batch": batch.number + 1,
                    "fingerprint": self.fingerprint,
                    "schema": SCHEMA,
                    "clock_ns": batch.end_ns,
                    "coverage": encode(state.coverage),
                }
            ],
        )
        if self._unchecked >= CHECKPOINT_BATCHES:
            self._checkpoint(state, batch.number)
        self.connection.commit()
        self.keep.written()

    def refresh(self, state: State, result: Result) -> None:
        """Writes devices, memberships and alerts as they look now."""
        self._devices(result)
        self._memberships(state, result)
        self._alerts(result)
        self.connection.commit()

    def finish(self, state: State, result: Result) -> None:
        """Adds all waiting counts, writes the captures, devices and alerts."""
        self._checkpoint(state, state.batches)
        self._upsert(
            "captures",
            [
                {
                    "ordinal": ordinal,
                    "file": capture.file,
                    "body": encode(capture),
                    "path": str(self.files[ordinal].absolute()),
                }
                for ordinal, capture in enumerate(result.captures)
            ],
        )
        self.refresh(state, result)

    def close(self) -> None:
        """Gives the database back; the state it loaded can no longer be asked."""
        self.connection.close()
        self.engine.dispose()

    def _position(self) -> Any:
        table = tables.positions
        found = self.connection.execute(
            select(table).where(table.c.stream == STREAM, *self._own(table))
        ).first()
        self.connection.rollback()
        return found

    def _own(self, table: Table) -> list[Any]:
        return [table.c[name] == self.scope[name] for name in ("tenant", "sensor")]

    def _ids(self, table: Table, where: Any) -> set[bytes]:
        return set(self.connection.scalars(select(table.c.id).where(where, *self._own(table))))

    def _all(self, table: Table) -> Iterable[Any]:
        return self.connection.execute(select(table).where(*self._own(table)))

    def _upsert(self, name: str, rows: list[dict[str, Any]]) -> None:
        """Writes rows whole; columns that checkpoints own keep their values."""
        if not rows:
            return
        statement = self._statements.get(name)
        if statement is None:
            table: Table = getattr(tables, name)
            keys = [column.name for column in table.primary_key]
            kept = {*keys, *COUNTED.get(name, ())}
            fresh = insert(table)
            changed = {
                column.name: fresh.excluded[column.name]
                for column in table.columns
                if column.name not in kept
            }
            statement = (
                fresh.on_conflict_do_update(index_elements=keys, set_=changed)
                if changed
                else fresh.on_conflict_do_nothing()
            )
            self._statements[name] = statement
        self.connection.execute(statement, [row | self.scope for row in rows])

    def _end_claims(self, state: State, new: set[bytes]) -> None:
        """A later value of a single-valued attribute ends the earlier one's validity."""
        lines = {
            (claim.endpoint, claim.attribute, claim.protocol, claim.message)
            for id_ in new
            if (claim := state.claims[id_]).attribute in SINGLE
        }
        if not lines:
            return
        alike: dict[tuple[bytes, str, str, str], list[Any]] = {}
        for endpoint in {line[0] for line in lines}:
            for claim in state.claims_of(endpoint):
                line = claim.endpoint, claim.attribute, claim.protocol, claim.message
                if line in lines:
                    alike.setdefault(line, []).append(claim)
        ended = []
        for claims in alike.values():
            claims.sort(key=lambda claim: (claim.ts_ns, claim.id))
            for earlier, later in pairwise(claims):
                ended.append({"b_id": earlier.id, "b_to": later.ts_ns})
        if ended:
            table = tables.claims
            self.connection.execute(
                sqlalchemy.update(table)
                .where(table.c.id == sqlalchemy.bindparam("b_id"), *self._own(table))
                .values(valid_to=sqlalchemy.bindparam("b_to")),
                ended,
            )

    def _checkpoint(self, state: State, batch: int) -> None:
        """Adds the counts since the last one to the rows and drops the packed columns.

        Counts of facts that were not told yet stay packed, under the number of this batch.
        """
        self.connection.execute(delete(tables.tallies).where(*self._own(tables.tallies)))
        early: dict[str, dict[bytes, list[int]]] = {}
        for name, kinds in KINDS_COUNTED.items():
            recent = state.counts_of(kinds[0]).recent
            left = dict(recent)
            for kind in kinds:
                known = self._known(kind, left)
                self._add(getattr(tables, kind), {id_: left.pop(id_) for id_ in known})
            recent.clear()
            recent.update(left)
            early[name] = left
        if any(early.values()):
            self._upsert("tallies", [{"batch": batch, "body": encode(_packed(early))}])
        self._unchecked = 0

    def _known(self, kind: str, ids: Iterable[bytes]) -> set[bytes]:
        """Those of these ids that have a row."""
        table: Table = getattr(tables, kind)
        return {id_ for some in chunks(ids) for id_ in self._ids(table, table.c.id.in_(some))}

    def _add(self, table: Table, counts: dict[bytes, list[int]]) -> None:
        """Adds these amounts to the rows of a table."""
        if not counts:
            return
        *amounts, last = COUNTED[table.name]
        bind = sqlalchemy.bindparam
        values: dict[str, Any] = {name: table.c[name] + bind(f"b_{name}") for name in amounts}
        values[last] = sqlalchemy.func.max(table.c[last], bind(f"b_{last}"))
        self.connection.execute(
            sqlalchemy.update(table)
            .where(table.c.id == bind("b_id"), *self._own(table))
            .values(values),
            [
                {"b_id": id_}
                | {f"b_{name}": n for name, n in zip((*amounts, last), row, strict=True)}
                for id_, row in sorted(counts.items())
            ],
        )

    def _devices(self, result: Result) -> None:
        self._replace(
            tables.devices,
            [_device_row(device) for device in result.inventory.devices.values()],
        )

    def _replace(self, table: Table, rows: list[dict[str, Any]]) -> None:
        """Makes the table hold exactly these rows, writing only what differs."""
        keys = {row["id"]: row for row in rows}
        gone = []
        for row in self._all(table):
            wanted = keys.get(row.id)
            if wanted is None:
                gone.append({"b_id": row.id})
            elif all(getattr(row, name) == value for name, value in wanted.items()):
                del keys[row.id]
        if gone:
            self.connection.execute(
                delete(table).where(table.c.id == sqlalchemy.bindparam("b_id"), *self._own(table)),
                gone,
            )
        self._upsert(table.name, list(keys.values()))

    def _memberships(self, state: State, result: Result) -> None:
        """Opens and closes memberships at the clock of this look."""
        table = tables.memberships
        if self._members is None:
            self._members = {
                row.endpoint: row.device for row in self._all(table) if row.valid_to is None
            }
        now = {
            endpoint: device
            for endpoint, device in result.inventory.device_of.items()
            if device in result.inventory.devices
        }
        opened, closed = [], []
        for endpoint, device in now.items():
            before = self._members.get(endpoint)
            if before == device:
                continue
            if before is not None:
                closed.append({"b_endpoint": endpoint})
            start = state.endpoints[endpoint].ts_ns if before is None else state.clock_ns
            reason = result.inventory.devices[device].basis.get(endpoint, "own address")
            opened.append(
                {
                    "endpoint": endpoint,
                    "valid_from": start,
                    "device": device,
                    "reason": reason,
                    "valid_to": None,
                }
            )
        closed += [{"b_endpoint": endpoint} for endpoint in self._members if endpoint not in now]
        if closed:
            self.connection.execute(
                sqlalchemy.update(table)
                .where(
                    table.c.endpoint == sqlalchemy.bindparam("b_endpoint"),
                    table.c.valid_to.is_(None),
                    *self._own(table),
                )
                .values(valid_to=state.clock_ns),
                closed,
            )
        self._upsert("memberships", opened)
        self._members = now

    def _alerts(self, result: Result) -> None:
        table = tables.alert_states
        self._replace(tables.alerts, [_alert_row(alert) for alert in result.alerts])
        self._parties(result)
        known = {row.alert for row in self._all(table)}
        self._upsert(
            "alert_states",
            [
                {
                    "alert": alert.id,
                    "valid_from": alert.first_ns,
                    "state": "open",
                    "person": "",
                    "reason": "",
                    "valid_to": None,
                }
                for alert in result.alerts
                if alert.id not in known and not alert.policy
            ],
        )

    def _parties(self, result: Result) -> None:
        """Makes the sources and destinations of alerts findable by address."""
        table = tables.alert_parties
        wanted = {
            (address, alert.id, role)
            for alert in result.alerts
            for role, addresses in (
                ("source", alert.sources),
                ("destination", alert.destinations),
            )
            for address in addresses
        }
        known = {(row.address, row.alert, row.role) for row in self._all(table)}
        if gone := known - wanted:
            self.connection.execute(
                delete(table).where(
                    *(table.c[name] == sqlalchemy.bindparam(f"b_{name}") for name in PARTY),
                    *self._own(table),
                ),
                [
                    {f"b_{name}": value for name, value in zip(PARTY, key, strict=True)}
                    for key in gone
                ],
            )
        new = sorted(wanted - known)
        self._upsert("alert_parties", [dict(zip(PARTY, key, strict=True)) for key in new])


def _device_row(device: Device) -> dict[str, Any]:
    values = device.attributes
    body = {
        "macs": device.macs,
        "ips": device.ips,
        "vlans": sorted(device.activity.vlans),
        "protocols": sorted(device.activity.protocols),
        "roles": device.roles,
        "attributes": values,
        "reasons": device.reasons,
        "members": device.members,
        "contested": device.contested,
    }
    return {
        "id": device.id,
        "space": device.space,
        "parent": device.parent,
        "child_address": device.child_address,
        "name": device.name,
        "type": device.type,
        "vendor": values.get("vendor"),
        "model": values.get("model"),
        "firmware": values.get("firmware"),
        "serial": values.get("serial"),
        "os": values.get("os"),
        "purdue_level": device.level,
        "first_ns": device.first_ns,
        "body": msgspec.msgpack.Encoder(order="deterministic").encode(body),
        "search": searchable(
            device.name,
            device.type,
            *values.values(),
            *device.ips,
            *device.macs,
            *sorted(device.activity.protocols),
            device.child_address,
            device.space,
            device.id.hex(),
        ),
        "address": _sortable(device),
    }


def searchable(*texts: str) -> str:
    """The text in which a search looks: lower case, each part once, one a line."""
    return "\n".join(dict.fromkeys(text.lower() for text in texts if text))


def _sortable(device: Device) -> str:
    """A text that sorts addresses as numbers: IPv4, then IPv6, then MAC; children after parents."""
    if device.ips:
        address = ipaddress.ip_address(device.ips[0])
        return f"{address.version}{address.packed.hex()} {device.child_address}"
    return f"9{(device.macs or [''])[0]} {device.child_address}"


class AlertBody(msgspec.Struct):
    """What of an alert is not searched for."""

    attack: list[str]
    sources: list[str]
    destinations: list[str]
    values: dict[str, str]
    spans: list[Span]


def _alert_row(alert: Alert) -> dict[str, Any]:
    body = AlertBody(alert.attack, alert.sources, alert.destinations, alert.values, alert.spans)
    return {
        "id": alert.id,
        "rule": alert.rule,
        "title": alert.title,
        "engine": alert.engine,
        "severity": alert.severity,
        "category": alert.category,
        "space": alert.space,
        "policy": alert.policy,
        "first_ns": alert.first_ns,
        "last_ns": alert.last_ns,
        "count": alert.count,
        "message": alert.key,
        "body": msgspec.msgpack.Encoder(order="deterministic").encode(body),
        "search": searchable(
            alert.title,
            alert.rule,
            alert.category,
            *alert.sources,
            *alert.destinations,
            *alert.attack,
            *alert.values.values(),
            alert.id.hex(),
        ),
    }


class StoredAlert(msgspec.Struct):
    """An alert read back, its evidence with file names."""

    title: str
    severity: str
    rule: str
    key: str
    values: dict[str, str]
    places: list[tuple[str, int, int, int]]


def read_alert(path: Path, id_: str) -> StoredAlert:
    """The alert whose id starts with this hexadecimal text.

    Raises:
        StoreError: no such database or alert, or the id fits several.
    """
    if not path.is_file():
        raise StoreError(f"{path}: no such database")
    engine = open_engine(path)
    try:
        with engine.connect() as connection:
            names = [row.file for row in connection.execute(select(tables.captures))]
            found = [
                row
                for row in connection.execute(select(tables.alerts))
                if row.id.hex().startswith(id_.lower())
            ]
    except DatabaseError as error:
        raise StoreError(f"{path.name}: {error.orig}") from None
    finally:
        engine.dispose()
    if len(found) != 1:
        raise StoreError(f"{path.name}: {len(found) or 'no'} alerts have an id like {id_}")
    row = found[0]
    body = msgspec.msgpack.decode(row.body, type=AlertBody)
    return StoredAlert(
        row.title,
        row.severity,
        row.rule,
        row.message,
        body.values,
        [(names[file], frame, offset, length) for file, frame, offset, length in body.spans],
    )
