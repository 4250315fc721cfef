"""What a store holds, for comparing two of them."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import Table, select

from otic.store import tables
from otic.store.engine import open_engine

JUDGED = (
    tables.devices,
    tables.alerts,
    tables.alert_parties,
    tables.connections,
    tables.operations,
    tables.events,
    tables.violations,
    tables.changes,
    tables.claims,
    tables.interfaces,
    tables.minutes,
    tables.blinds,
)


def content(database: Path, *more: Table) -> dict[str, list[str]]:
    """All rows that facts make, whenever somebody looked, and those of `more`."""
    engine = open_engine(database)
    with engine.connect() as connection:
        found = {
            table.name: sorted(repr(tuple(row)) for row in connection.execute(select(table)))
            for table in (*JUDGED, *more)
        }
    engine.dispose()
    return found
