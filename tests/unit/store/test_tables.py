"""The tables are what the migrations make, and every row belongs to a sensor."""

from importlib.resources import files
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import text

from otic.errors import StoreError
from otic.store.engine import is_current, migrate, newest, open_engine, prepare
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


def test_the_newest_version_is_the_last_migration() -> None:
    """What tells whether Alembic has anything to do agrees with Alembic."""
    config = Config()
    config.set_main_option("script_location", str(files("otic.store") / "migrations"))
    assert newest() == ScriptDirectory.from_config(config).get_current_head()


def test_a_database_is_prepared_by_another_process(tmp_path: Path) -> None:
    """It is made, brought up to date, and left alone when it is damaged: opening it says so."""
    path = tmp_path / "otic.db"
    left = tmp_path / "otic.db.1.new"
    left.write_bytes(b"of a run that was killed")
    prepare(path)
    engine = open_engine(path)
    assert is_current(engine)
    assert not left.exists()

    with engine.begin() as connection:
        connection.execute(text("DROP TABLE alembic_version"))
    assert not is_current(engine)
    engine.dispose()

    old = tmp_path / "old.db"
    open_engine(old).dispose()
    old.touch()
    prepare(old)
    assert is_current(open_engine(old))

    broken = tmp_path / "broken.db"
    broken.write_bytes(b"no database " * 100)
    prepare(broken)
    with pytest.raises(StoreError):
        migrate(open_engine(broken), broken.name)
