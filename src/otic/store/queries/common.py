"""A store opened for questions, and the shapes that all answers share."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Generic, TypeVar

import msgspec
from sqlalchemy import ColumnElement, Connection, Engine, Select, Table, and_, func, select
from sqlalchemy.exc import DatabaseError

from otic.errors import StoreError
from otic.facts import Capture, Span, unpack_spans
from otic.folder import DataFolder
from otic.journal.segments import FACTS
from otic.store import tables
from otic.store.engine import create, migrate, open_engine

T = TypeVar("T")

_capture = msgspec.msgpack.Decoder(Capture).decode

MOST_ROWS = 500
"""Most rows of one page."""


class BytesAt(msgspec.Struct, frozen=True):
    """A run of bytes of one captured frame."""

    file: str
    frame: int
    offset: int
    length: int


class Cited(msgspec.Struct, frozen=True):
    """Where a value was read, and how its bytes give it."""

    spans: list[BytesAt]
    decode: str


class Page(msgspec.Struct, Generic[T], frozen=True):
    """Some rows of an answer and how many there are in all."""

    items: list[T]
    total: int
    offset: int
    limit: int


class Ref(msgspec.Struct, frozen=True):
    """A device as others speak of it."""

    id: str
    name: str
    type: str


class Count(msgspec.Struct, frozen=True):
    """How many there are of one kind; `value` is none where it is not known."""

    value: str | None
    count: int


class CaptureFile(msgspec.Struct, frozen=True):
    """One capture that was read."""

    file: str
    path: str
    frames: int
    bytes: int
    link_types: list[str]
    first_ns: int | None
    last_ns: int | None
    cut_off: str | None


PEOPLE = ".people"
"""What the file with people and sessions is called after, behind the database's name."""


class Store:
    """A database of one sensor, opened for questions; people who may log in are in another file."""

    def __init__(
        self,
        path: Path,
        *,
        scope: dict[str, str] | None = None,
        people: Path | None = None,
        live: DataFolder | None = None,
    ) -> None:
        """Opens it and brings its tables to this program's version.

        A sensor that has not seen anything yet says its `scope` itself. `live` is the data folder
        of a sensor at work: frames come from its packet ring, decisions go to its analysis.

        Raises:
            StoreError: there is no such database, it is damaged, or a newer program wrote it.
        """
        if not path.is_file():
            raise StoreError(f"{path}: no such database")
        self.path = path
        self.live = live
        self.engine: Engine = open_engine(path)
        migrate(self.engine, path.name)
        with self.engine.connect() as connection:
            row = connection.execute(select(tables.positions)).first()
        if row is not None:
            scope = {name: getattr(row, name) for name in tables.SCOPE}
        if scope is None:
            raise StoreError(f"{path.name}: holds no result yet")
        self.scope = scope
        people = people or path.with_name(path.name + PEOPLE)
        if not people.exists():
            create(people)
        self._people: Engine = open_engine(people)
        migrate(self._people, people.name)
        self._corrected: tuple[int, dict[bytes, tuple[bytes, bool]]] = (-1, {})

    def close(self) -> None:
        """Gives the files back."""
        self.engine.dispose()
        self._people.dispose()

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A connection to read with.

        Raises:
            StoreError: the database is damaged.
        """
        try:
            with self.engine.connect() as connection:
                yield connection
        except DatabaseError as error:
            raise StoreError(f"{self.path.name}: {error.orig}") from None

    @contextmanager
    def people(self) -> Iterator[Connection]:
        """A transaction on people and sessions; everything in it is kept, or nothing.

        Raises:
            StoreError: the file is damaged or cannot be written.
        """
        try:
            with self._people.begin() as connection:
                yield connection
        except DatabaseError as error:
            raise StoreError(f"{self.path.name}: {error.orig}") from None

    def own(self, table: Any) -> ColumnElement[bool]:
        """Only rows of this tenant and sensor."""
        return and_(table.c.tenant == self.scope["tenant"], table.c.sensor == self.scope["sensor"])

    def captures(self, connection: Connection) -> list[CaptureFile]:
        """The captures in the order they were given."""
        table = tables.captures
        found = []
        for row in connection.execute(
            select(table).where(self.own(table)).order_by(table.c.ordinal)
        ):
            body = _capture(row.body)
            found.append(
                CaptureFile(
                    row.file,
                    row.path,
                    body.frames,
                    body.bytes,
                    sorted(body.link_types),
                    body.first_seen,
                    body.last_seen,
                    body.cut_off,
                )
            )
        return found

    def files(self, connection: Connection) -> list[str]:
        """The names evidence uses for the captures, by ordinal."""
        table = tables.captures
        return list(
            connection.scalars(
                select(table.c.file).where(self.own(table)).order_by(table.c.ordinal)
            )
        )

    def corrected(self, connection: Connection) -> dict[bytes, tuple[bytes, bool]]:
        """Connections whose roles were corrected: what stands for them, and whether exchanged."""
        table = tables.positions
        batch = (
            connection.scalar(select(table.c.batch).where(table.c.stream == FACTS, self.own(table)))
            or 0
        )
        if self._corrected[0] != batch:
            pairs = {
                row.old: row.new
                for row in connection.execute(
                    select(tables.corrections).where(self.own(tables.corrections))
                )
            }
            self._corrected = batch, {old: _follow(pairs, old) for old in pairs}
        return self._corrected[1]


def _follow(pairs: dict[bytes, bytes], start: bytes) -> tuple[bytes, bool]:
    """The end of a chain of corrections; each step exchanges the roles."""
    seen, at, exchanged = {start}, start, False
    while (after := pairs.get(at)) is not None and after not in seen:
        seen.add(after)
        at, exchanged = after, not exchanged
    return at, exchanged


def cited(spans: bytes | Sequence[Span], decode: str, files: list[str]) -> Cited:
    """Evidence with file names."""
    told = unpack_spans(spans) if isinstance(spans, bytes) else spans
    return Cited(
        [
            BytesAt(files[file] if file < len(files) else str(file), frame, offset, length)
            for file, frame, offset, length in told
        ],
        decode,
    )


def id_of(text: str) -> bytes:
    """The 16-byte id in hexadecimal text; no id when it is not one."""
    try:
        return bytes.fromhex(text)
    except ValueError:
        return b""


def containing(column: ColumnElement[str], words: str | None) -> list[ColumnElement[bool]]:
    """Every word is part of the text; `%` and `_` are letters like others."""
    return [column.contains(word, autoescape=True) for word in (words or "").lower().split()[:10]]


def total_of(connection: Connection, table: Table, where: Sequence[ColumnElement[bool]]) -> int:
    """How many rows of the table pass."""
    return connection.scalar(select(func.count()).select_from(table).where(*where)) or 0


def cut(query: Select[Any], offset: int, limit: int) -> Select[Any]:
    """One page of the query."""
    return query.offset(max(0, offset)).limit(min(max(1, limit), MOST_ROWS))


def whole_rows(
    connection: Connection,
    table: Table,
    where: Sequence[ColumnElement[bool]],
    order: Sequence[ColumnElement[Any]],
    offset: int,
    limit: int,
) -> list[Any]:
    """One page of whole rows, sorted by narrow ones: only the page's packed columns are read."""
    scope = (table.c.tenant, table.c.sensor, table.c.id)
    some = cut(select(*scope).where(*where).order_by(*order), offset, limit).subquery()
    same = and_(*(column == some.c[column.name] for column in scope))
    return list(connection.execute(select(table).join(some, same).order_by(*order)))


def refs_of_endpoints(
    store: Store, connection: Connection, endpoints: set[bytes]
) -> dict[bytes, Ref]:
    """The devices these endpoints belong to now."""
    members, devices = tables.memberships, tables.devices
    rows = connection.execute(
        select(members.c.endpoint, devices.c.id, devices.c.name, devices.c.type)
        .join(
            devices,
            and_(
                devices.c.tenant == members.c.tenant,
                devices.c.sensor == members.c.sensor,
                devices.c.id == members.c.device,
            ),
        )
        .where(members.c.endpoint.in_(endpoints), members.c.valid_to.is_(None), store.own(members))
    )
    return {row.endpoint: Ref(row.id.hex(), row.name, row.type) for row in rows}


def refs_of_addresses(
    store: Store, connection: Connection, addresses: set[str], space: str | None = None
) -> dict[str, Ref]:
    """The devices that hold these addresses now."""
    table = tables.endpoints
    where = [table.c.address.in_(addresses), table.c.child == "", store.own(table)]
    if space is not None:
        where.append(table.c.space == space)
    ids = {
        row.id: row.address
        for row in connection.execute(select(table.c.id, table.c.address).where(*where))
    }
    return {
        ids[endpoint]: ref
        for endpoint, ref in refs_of_endpoints(store, connection, set(ids)).items()
    }
