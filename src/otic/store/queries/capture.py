"""How capture is: interfaces second by second, what was lost and why, when nothing was seen."""

from __future__ import annotations

import time

import msgspec
from sqlalchemy import Connection, select

from otic.facts import Tick
from otic.journal.fold import MINUTE_NS, Totals
from otic.journal.segments import FACTS
from otic.status import STALE_NS, ProcessStatus, StageStatus, read_status
from otic.store import tables
from otic.store.queries.common import Store
from otic.times import iso

MINUTES = 60
"""Minutes that the page shows."""

BLINDS = 50

_drops = msgspec.msgpack.Decoder(dict[str, int]).decode
_tick = msgspec.msgpack.Decoder(Tick).decode


class Second(msgspec.Struct, frozen=True, kw_only=True):
    """What one interface read and lost in a second."""

    frames: int
    bytes: int
    drops: dict[str, int]


class MinuteOut(msgspec.Struct, frozen=True, kw_only=True):
    """What one interface read and lost in a minute."""

    start: str
    frames: int
    bytes: int
    drops: dict[str, int]


class InterfaceOut(msgspec.Struct, frozen=True, kw_only=True):
    """One monitored interface.

    `state` is `up`, `down` (no link) or `unread` (nobody reads it now); sums are since the first
    tick.
    """

    name: str
    state: str
    since: str
    last: str
    second: Second
    frames: int
    bytes: int
    drops: dict[str, int]
    minutes: list[MinuteOut]


class BlindOut(msgspec.Struct, frozen=True, kw_only=True):
    """A time in which nothing could be seen; no interface means all of them."""

    interface: str
    start: str
    end: str
    cause: str


class LearningOut(msgspec.Struct, frozen=True, kw_only=True):
    """Whether the sensor learns, and how much time it has watched for that."""

    active: bool
    observed_s: int
    until: str | None


class RingOut(msgspec.Struct, frozen=True, kw_only=True):
    """The packet ring: bytes on disk, and the time of its oldest segment."""

    bytes: int
    oldest: str | None
    pins: int


class ProcessOut(msgspec.Struct, frozen=True, kw_only=True):
    """One process of the sensor."""

    name: str
    running: bool
    since: str | None
    restarts: int
    last_exit: int | None


class StageOut(msgspec.Struct, frozen=True, kw_only=True):
    """One stage of the way from capture to console, and when a canary passed it last.

    `silent_since` says since when it does not show one in due time: it does not work.
    """

    name: str
    process: str
    passed: str | None
    silent_since: str | None


class Capture(msgspec.Struct, frozen=True, kw_only=True):
    """How a live sensor's capture is; `live` is false for the result of a replay."""

    live: bool
    supervised: bool
    clock: str | None
    interfaces: list[InterfaceOut]
    blinds: list[BlindOut]
    learning: LearningOut | None
    ring: RingOut | None
    processes: list[ProcessOut]
    stages: list[StageOut]
    disk_bytes: int
    disk_free: int
    not_kept: dict[str, int]


def capture(store: Store) -> Capture:
    """How capture is now."""
    with store.reading() as connection:
        position = connection.execute(
            select(tables.positions).where(
                tables.positions.c.stream == FACTS, store.own(tables.positions)
            )
        ).first()
        interfaces = _interfaces(store, connection)
        blinds = _blinds(store, connection)
        marks = _marks(store, connection)
    status = read_status(store.live.status) if store.live is not None else None
    capped = _capped(position.coverage) if position is not None else {}
    return Capture(
        live=store.live is not None,
        supervised=status is not None and status.is_fresh(time.time_ns()),
        clock=iso(position.clock_ns) if position is not None and position.clock_ns else None,
        interfaces=interfaces,
        blinds=blinds,
        learning=_learning(marks) if store.live is not None else None,
        ring=_ring(store),
        processes=[_process(one) for one in status.processes] if status is not None else [],
        stages=[_stage(one) for one in status.stages] if status is not None else [],
        disk_bytes=status.disk_bytes if status is not None else 0,
        disk_free=status.disk_free if status is not None else 0,
        not_kept={
            name.removeprefix("packet-ring-"): count
            for name, count in capped.items()
            if name.startswith("packet-ring-")
        },
    )


def version(store: Store) -> tuple[int, int]:
    """What changes when something is new: looks at devices and alerts, and batches folded in."""
    with store.reading() as connection:
        looks = connection.scalar(
            select(tables.marks.c.value).where(
                tables.marks.c.name == "looks", store.own(tables.marks)
            )
        )
        batch = connection.scalar(
            select(tables.positions.c.batch).where(
                tables.positions.c.stream == FACTS, store.own(tables.positions)
            )
        )
    return int(looks or 0), int(batch or 0)


def _interfaces(store: Store, connection: Connection) -> list[InterfaceOut]:
    table = tables.interfaces
    rows = connection.execute(select(table).where(store.own(table)).order_by(table.c.name)).all()
    latest = max((row.last_ns for row in rows), default=0)
    now_ns = time.time_ns()
    found = []
    for row in rows:
        last = _tick(row.last)
        read = now_ns - row.last_ns < STALE_NS
        found.append(
            InterfaceOut(
                name=row.name,
                state=("up" if row.up else "down") if read else "unread",
                since=iso(row.first_ns),
                last=iso(row.last_ns),
                second=Second(frames=last.frames, bytes=last.bytes, drops=last.drops),
                frames=row.frames,
                bytes=row.bytes,
                drops=_drops(row.drops),
                minutes=_minutes(store, connection, row.name, latest - MINUTES * MINUTE_NS),
            )
        )
    return found


def _minutes(
    store: Store, connection: Connection, interface: str, since_ns: int
) -> list[MinuteOut]:
    table = tables.minutes
    where = [table.c.interface == interface, table.c.start_ns >= since_ns, store.own(table)]
    rows = connection.execute(select(table).where(*where).order_by(table.c.start_ns))
    return [
        MinuteOut(
            start=iso(row.start_ns), frames=row.frames, bytes=row.bytes, drops=_drops(row.drops)
        )
        for row in rows
    ]


def _blinds(store: Store, connection: Connection) -> list[BlindOut]:
    table = tables.blinds
    rows = connection.execute(
        select(table).where(store.own(table)).order_by(table.c.end_ns.desc()).limit(BLINDS)
    )
    return [
        BlindOut(
            interface=row.interface, start=iso(row.start_ns), end=iso(row.end_ns), cause=row.cause
        )
        for row in rows
    ]


def _marks(store: Store, connection: Connection) -> dict[str, str]:
    table = tables.marks
    rows = connection.execute(select(table.c.name, table.c.value).where(store.own(table)))
    return {row.name: row.value.decode() for row in rows}


def _learning(marks: dict[str, str]) -> LearningOut:
    until = marks.get("learned-until-ns")
    return LearningOut(
        active=until is None,
        observed_s=int(marks.get("learning-observed-ns", "0")) // 1_000_000_000,
        until=iso(int(until)) if until else None,
    )


def _ring(store: Store) -> RingOut | None:
    if store.live is None:
        return None
    total, segments = 0, []
    for path in store.live.packets.glob("*.*"):
        try:
            total += path.stat().st_size
        except FileNotFoundError:
            continue  # The ring moved on.
        if path.suffix == ".pcapng":
            segments.append(int(path.stem))
    pins = sum(1 for _ in store.live.pins.glob("*.pcapng"))
    oldest = iso(min(segments) * 1_000_000_000) if segments else None
    return RingOut(bytes=total, oldest=oldest, pins=pins)


def canary(store: Store) -> tuple[int, int] | None:
    """The last canary that came into the store, as (run, number)."""
    with store.reading() as connection:
        mark = _marks(store, connection).get("canary")
    if mark is None:
        return None
    run_ns, sequence = mark.split()
    return int(run_ns), int(sequence)


def _stage(one: StageStatus) -> StageOut:
    return StageOut(
        name=one.name,
        process=one.process,
        passed=iso(one.passed) if one.passed else None,
        silent_since=iso(one.silent_since) if one.silent_since else None,
    )


def _process(one: ProcessStatus) -> ProcessOut:
    return ProcessOut(
        name=one.name,
        running=one.pid is not None,
        since=iso(one.since) if one.since else None,
        restarts=one.restarts,
        last_exit=one.last_exit,
    )


def _capped(packed: bytes) -> dict[str, int]:
    return msgspec.msgpack.decode(packed, type=Totals).capped
