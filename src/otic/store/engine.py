"""Database files: opened, made, brought to this program's tables."""

from __future__ import annotations

import os
import subprocess
import sys
from functools import cache
from glob import escape
from importlib.resources import files as resource_files
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, create_engine, event, inspect
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


@cache
def newest() -> str:
    """The version of the tables that this program has: files are called after it."""
    versions = resource_files("otic.store") / "migrations" / "versions"
    return max(file.name[:4] for file in versions.iterdir() if file.name[:4].isdigit())


def is_current(engine: Engine) -> bool:
    """Whether the tables are of this program's version.

    Raises:
        DatabaseError: the database is damaged.
    """
    with engine.connect() as connection:
        if not inspect(connection).has_table("alembic_version"):
            return False
        found = connection.exec_driver_sql("SELECT version_num FROM alembic_version")
        return found.scalars().all() == [newest()]


def prepare(path: Path) -> None:
    """Makes the database, or brings it to this program's version, in a process that ends.

    Alembic's 9 MB are not for one that runs for months. What goes wrong shows when it is opened.
    """
    if path.exists():
        engine = open_engine(path)
        try:
            if is_current(engine):
                return
        except DatabaseError:
            return
        finally:
            engine.dispose()
    command = [sys.executable, "-m", __name__, str(path)]
    subprocess.run(command, stderr=subprocess.DEVNULL, check=False)  # noqa: S603 our own program


def migrate(engine: Engine, name: str) -> None:
    """Brings the tables to this program's version.

    Raises:
        StoreError: the database is damaged, or a newer program wrote it.
    """
    try:
        if not is_current(engine):
            _upgrade(engine, name)
    except DatabaseError as error:
        raise StoreError(f"{name}: {error.orig}") from None


def _upgrade(engine: Engine, name: str) -> None:
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


def create(path: Path) -> None:
    """Makes an empty database with all tables; a run killed meanwhile leaves none at `path`."""
    for left in path.parent.glob(f"{escape(path.name)}.*.new*"):
        left.unlink(missing_ok=True)
    # A name of its own: who was told to make it before may still be at work.
    new = path.with_name(f"{path.name}.{os.getpid()}.new")
    engine = open_engine(new)
    migrate(engine, path.name)
    with engine.connect() as connection:
        connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
    # Closing the last connection takes the write-ahead log away.
    engine.dispose()
    new.replace(path)


if __name__ == "__main__":
    asked = Path(sys.argv[1])
    if asked.exists():
        migrate(open_engine(asked), asked.name)
    else:
        create(asked)
