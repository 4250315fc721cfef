"""Database files: opened, made, brought to this program's tables."""

from __future__ import annotations

from importlib.resources import files as resource_files
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, create_engine, event
from sqlalchemy.exc import DatabaseError

from otic.errors import StoreError


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
