"""A database as the sink of a run: one transaction a batch holds state and position.

A run that was broken off, at any moment, goes on: the core reads the same files again and batches
up to the stored position are passed over. Files other than the stored ones are refused.
"""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
import sqlalchemy
from sqlalchemy import Connection, Table, delete, select
from sqlalchemy.dialects.sqlite import insert
from sqlalchemy.exc import DatabaseError

from otic.detect.alerts import Alert
from otic.errors import CaptureError, StoreError
from otic.facts import SCHEMA, Batch, Tallies, derived_id, encode
from otic.inventory.devices import Inventory
from otic.journal.fold import MINUTE_NS, Novelty, State, Totals
from otic.journal.keep import batched
from otic.journal.lanes import TOTAL, window_starts
from otic.journal.segments import FACTS
from otic.sensor.analysis import Changes, Result
from otic.sensor.decisions import STREAM as DECISIONS
from otic.sensor.decisions import Decision
from otic.settings import Settings
from otic.store import tables
from otic.store.engine import create, migrate, open_engine
from otic.store.keep import KEYS, StoredKeep, chunks
from otic.store.results import Results
from otic.store.rows import COUNTED, MAKERS, SINGLE, read

LIVE = "live"
"""In place of the fingerprint of captures: the facts came from the sensor's own journal."""

CHECKPOINT_BATCHES = 64
"""Batches whose counts wait as packed columns before they are added to the rows."""

ROWS_AT_ONCE = 1000
"""Rows in one statement: more would be quicker by little, and take memory that stays taken."""

ATTEMPTS = 500000
"""Buckets of attempts kept of sources that do not alert."""

SPARED = 30_000
"""Sources named in one statement."""

EDGE_BYTES = 65536
"""Bytes at each end of a file that tell it from others, with its name and size."""

_tallies = msgspec.msgpack.Decoder(Tallies).decode
_totals = msgspec.msgpack.Decoder(Totals).decode


IN_MEMORY = (
    "endpoints",
    "sightings",
    "bindings",
    "claims",
    "corrections",
    "epochs",
    "interfaces",
    "blinds",
)
"""Facts that a state holds in memory; the others stay in their tables."""

KINDS_COUNTED = {
    "connection": ("connections",),
    "operation": ("operations",),
    "occurrence": ("events", "violations"),
}
"""The facts that each group of packed columns counts."""


COLUMNS = {
    "connection": (
        "forward_packets",
        "reverse_packets",
        "connection_bytes",
        "connection_missing",
        "connection_truncated",
        "connection_one_way",
        "connection_last",
    ),
    "operation": ("operation_counts", "operation_unpaired", "operation_last"),
    "occurrence": ("occurrence_counts", "occurrence_last"),
}
"""The packed columns of each group, in the order of a row of counts."""


def _packed(counts: dict[str, dict[bytes, list[int]]]) -> Tallies:
    """Counts as the packed columns in which a batch brings them."""
    columns: dict[str, bytes] = {}
    for kind, names in COLUMNS.items():
        rows = list(counts[kind].values())
        columns[f"{kind}_ids"] = b"".join(counts[kind])
        for at, name in enumerate(names):
            columns[name] = array("q", (row[at] for row in rows)).tobytes()
    return Tallies(**columns)


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


class Marks(dict[str, str]):
    """Small texts that live in the store; what changed is written with the next batch."""

    def __init__(self, stored: dict[str, str]) -> None:
        super().__init__(stored)
        self._changed: set[str] = set()

    def __setitem__(self, name: str, value: str) -> None:
        super().__setitem__(name, value)
        self._changed.add(name)

    def take(self) -> list[dict[str, Any]]:
        """Rows of what changed since the last call."""
        changed, self._changed = self._changed, set()
        return [{"name": name, "value": self[name].encode()} for name in sorted(changed)]


class Database:
    """Keeps a run's state, devices and alerts in a database file."""

    def __init__(self, path: Path, settings: Settings, files: list[Path] | None = None) -> None:
        """Opens or creates the database for these files; without files, for a live sensor.

        Raises:
            StoreError: it is damaged, newer than this program, or of other captures.
            CaptureError: a capture cannot be read.
        """
        if path.is_dir() or not path.absolute().parent.is_dir():
            raise StoreError(f"{path}: not a place for a database")
        self.path = path
        self.files = files or []
        self.scope = {name: getattr(settings, name) for name in tables.SCOPE}
        self.fingerprint = LIVE if files is None else fingerprint(files, settings)
        if not path.exists():
            create(path)
        self.engine = open_engine(path)
        migrate(self.engine, path.name)
        self.connection: Connection = self.engine.connect()
        self.keep = StoredKeep(self.connection, self._own)
        self.results = Results(self.connection, self._own, self._upsert)
        self.marks = Marks(self._stored_marks())
        self._statements: dict[str, Any] = {}
        self._unchecked = 0
        self._whole = False
        position = self._position()
        if position is not None and position.fingerprint != self.fingerprint:
            what = "captures" if self.fingerprint == LIVE else "other captures or other spaces"
            raise StoreError(f"{path.name}: holds the result of {what}")
        if position is not None and position.schema > SCHEMA:
            raise StoreError(f"{path.name}: written by a newer program; update Otic to read it")

    def stored(self, stream: str = FACTS) -> int:
        """Batches already folded in; of a journal's stream, the last sequence."""
        position = self._position(stream)
        return 0 if position is None else int(position.batch)

    def segment(self, stream: str = FACTS) -> int:
        """The journal segment of the last record folded in."""
        position = self._position(stream)
        return 0 if position is None else int(position.segment)

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
            if position is not None:
                recent = tables.minutes.c.start_ns >= position.clock_ns - 2 * MINUTE_NS
                read(state, "minutes", self._all(tables.minutes, recent))
                windows = (TOTAL, *window_starts(position.clock_ns))
                read(state, "lanes", self._all(tables.lanes, tables.lanes.c.start_ns.in_(windows)))
        except (DatabaseError, msgspec.MsgspecError) as error:
            raise StoreError(f"{self.path.name}: {error}") from None
        if position is not None:
            state.coverage = _totals(position.coverage)
            state.clock_ns = position.clock_ns
            state.batches = position.batch
        self.connection.rollback()
        return state

    def write(self, state: State, batch: Batch, new: Novelty, segment: int = 0) -> None:
        """Adds one batch: its novelty as rows, its counts as packed columns, the position."""
        for name, make in MAKERS.items():
            keys = getattr(new, name)
            if keys:
                self._upsert(name, (make(state, key) for key in sorted(keys, key=str)))
        if new.claims:
            self._end_claims(state, new.claims)
        if batch.tallies != Tallies():
            self._upsert("tallies", [{"batch": batch.number, "body": encode(batch.tallies)}])
            self._unchecked += 1
        self._upsert(
            "positions",
            [
                {
                    "stream": FACTS,
                    "segment": segment,
                    "batch": batch.number + 1,
                    "fingerprint": self.fingerprint,
                    "schema": SCHEMA,
                    "clock_ns": batch.end_ns,
                    "coverage": encode(state.coverage),
                }
            ],
        )
        self._upsert("marks", self.marks.take())
        if self._unchecked >= CHECKPOINT_BATCHES:
            self._checkpoint(state, batch.number)
        self.connection.commit()
        self.keep.written()

    def checkpoint(self, state: State) -> None:
        """Brings the counts in all rows up to date."""
        self._checkpoint(state, state.batches)
        self.connection.commit()

    def marked(self) -> None:
        """Writes the marks that changed."""
        self._upsert("marks", self.marks.take())
        self.connection.commit()

    def recounted(self, alerts: list[Alert]) -> None:
        """Writes alerts whose facts happened again."""
        self.results.alerts(alerts, [])
        self.connection.commit()

    def forget_attempts(self, alerting: set[bytes]) -> int:
        """Deletes the oldest attempts of all sources but these, where there are too many rows.

        By number and not by age: a clock that is set forward makes nothing old. Gives the number.
        """
        table = tables.attempts
        where = [table.c.source.not_in(sorted(alerting)[:SPARED]), *self._own(table)]
        count = self.connection.scalar(select(sqlalchemy.func.count()).where(*where)) or 0
        if count <= ATTEMPTS:
            self.connection.rollback()
            return 0
        key = [table.c[name] for name in KEYS["attempts"]]
        surplus = count - ATTEMPTS + ATTEMPTS // 10
        oldest = select(*key).where(*where).order_by(table.c.start_ns).limit(surplus)
        deleted = self.connection.execute(
            sqlalchemy.delete(table).where(sqlalchemy.tuple_(*key).in_(oldest), *self._own(table))
        )
        self.connection.commit()
        return deleted.rowcount

    def decided(self, sequence: int, decision: Decision) -> None:
        """Notes that a decision was applied, and who took it."""
        self._upsert(
            "positions",
            [
                {
                    "stream": DECISIONS,
                    "segment": 0,
                    "batch": sequence,
                    "fingerprint": self.fingerprint,
                    "schema": SCHEMA,
                    "clock_ns": decision.ts_ns,
                    "coverage": encode(Totals()),
                }
            ],
        )
        self._upsert("marks", self.marks.take())
        values = " ".join(f"{name}={value}" for name, value in sorted(decision.values.items()))
        self._upsert(
            "audit",
            [
                {
                    "id": derived_id(DECISIONS, sequence),
                    "ts_ns": decision.ts_ns,
                    "person": decision.person,
                    "action": decision.kind,
                    "target": values,
                }
            ],
        )
        self.connection.commit()

    def refresh(self, state: State, inventory: Inventory, changes: Changes) -> None:
        """Writes the devices and alerts that changed."""
        if self._whole:
            self.results.devices(state, inventory, changes.devices)
            self.results.alerts(changes.alerts, changes.gone)
        else:
            # The first look after a start tells everything: what it does not tell is gone.
            self.results.whole_inventory(state, inventory)
            self.results.all_alerts(changes.alerts)
            self._whole = True
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
        self.results.whole_inventory(state, result.inventory)
        self.results.all_alerts(result.alerts)
        self.connection.commit()

    def close(self) -> None:
        """Gives the database back; the state it loaded can no longer be asked."""
        self.connection.close()
        self.engine.dispose()

    def _stored_marks(self) -> dict[str, str]:
        rows = self._all(tables.marks)
        found = {row.name: row.value.decode() for row in rows}
        self.connection.rollback()
        return found

    def _position(self, stream: str = FACTS) -> Any:
        table = tables.positions
        found = self.connection.execute(
            select(table).where(table.c.stream == stream, *self._own(table))
        ).first()
        self.connection.rollback()
        return found

    def _own(self, table: Table) -> list[Any]:
        return [table.c[name] == self.scope[name] for name in ("tenant", "sensor")]

    def _ids(self, table: Table, where: Any) -> set[bytes]:
        return set(self.connection.scalars(select(table.c.id).where(where, *self._own(table))))

    def _all(self, table: Table, *where: Any) -> Iterable[Any]:
        return self.connection.execute(select(table).where(*where, *self._own(table)))

    def _upsert(self, name: str, rows: Iterable[dict[str, Any]]) -> None:
        """Writes rows whole; columns that checkpoints own keep their values."""
        for some in batched((row | self.scope for row in rows), ROWS_AT_ONCE):
            self.connection.execute(self._upserting(name), some)

    def _upserting(self, name: str) -> Any:
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
        return statement

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
        kept = tables.lanes.c.start_ns.in_({key[2] for key in state.lanes})
        self.connection.execute(delete(tables.lanes).where(~kept, *self._own(tables.lanes)))
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
        *amounts, last = COUNTED[table.name]
        bind = sqlalchemy.bindparam
        values: dict[str, Any] = {name: table.c[name] + bind(f"b_{name}") for name in amounts}
        values[last] = sqlalchemy.func.max(table.c[last], bind(f"b_{last}"))
        statement = (
            sqlalchemy.update(table)
            .where(table.c.id == bind("b_id"), *self._own(table))
            .values(values)
        )
        names = [f"b_{name}" for name in (*amounts, last)]
        for some in batched(sorted(counts), ROWS_AT_ONCE):
            self.connection.execute(
                statement,
                [{"b_id": id_} | dict(zip(names, counts[id_], strict=True)) for id_ in some],
            )
