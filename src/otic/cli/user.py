"""`otic user`: people who may log in."""

from __future__ import annotations

import re
import time
from pathlib import Path

from otic.api.auth import hash_password, new_password
from otic.errors import OticError
from otic.folder import DataFolder
from otic.settings import load
from otic.store.queries import people
from otic.store.queries.common import Store

NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
BY = "command line"


def _open(database: Path | None, data: Path | None) -> Store:
    """The store that these options name.

    Raises:
        OticError: they name none or two.
        StoreError: it cannot be read.
    """
    if (database is None) == (data is None):
        raise OticError("name either --database FILE or --data FOLDER")
    if database is not None:
        return Store(database)
    folder = DataFolder(data or Path())
    settings = load(folder.settings_if_there())
    return Store(folder.database, scope=settings.scope(), people=folder.people, live=folder)


def add(name: str, database: Path | None, data: Path | None, role: str) -> int:
    """Adds a user and prints their first password."""
    if NAME.fullmatch(name) is None:
        raise OticError(f"{name!r}: a name is small letters, digits, dot, dash, underscore")
    store = _open(database, data)
    password = new_password()
    user = people.User(
        name=name,
        role=role,
        password=hash_password(password),
        created_ns=time.time_ns(),
        failures=0,
        locked_until_ns=0,
    )
    if not people.add_user(store, user, by=BY):
        raise OticError(f"there is a user {name} already")
    print(f"{name} ({role}) may log in with the password {password}")
    return 0


def reset(name: str, database: Path | None, data: Path | None) -> int:
    """Gives a user a new password and prints it."""
    store = _open(database, data)
    if people.user(store, name) is None:
        raise OticError(f"there is no user {name}")
    password = new_password()
    people.set_password(store, name, hash_password(password), by=BY, now_ns=time.time_ns())
    print(f"{name} may log in with the password {password}")
    return 0
