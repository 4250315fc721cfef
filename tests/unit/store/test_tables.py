"""The tables are what the migrations make, and every row belongs to a sensor."""

from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import text

from otic.errors import StoreError
from otic.store.engine import migrate, open_engine
from otic.store.tables import SCOPE, metadata


def test_migrations_make_the_tables(tmp_path: Path) -> None:
    """Migrating an empty database gives exactly the tables of the code."""
    engine = open_engine(tmp_path / "otic.db")
    migrate(engine, "otic.db")
    with engine.connect() as connection:
        assert [] == compare_metadata(MigrationContext.configure(connection), metadata)


def test_every_table_is_scoped() -> None:
    """Every table has tenant, site, zone and sensor; tenant and sensor are in its key."""
    for table in metadata.tables.values():
        assert set(SCOPE) <= set(table.columns.keys())
        assert {"tenant", "sensor"} <= {column.name for column in table.primary_key}


def test_a_newer_database_is_refused(tmp_path: Path) -> None:
    """A database of a newer program is refused in one line, not read half."""
    engine = open_engine(tmp_path / "otic.db")
    migrate(engine, "otic.db")
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))

    with pytest.raises(StoreError, match="newer program"):
        migrate(engine, "otic.db")
