"""`otic user`: people who may log in."""

from __future__ import annotations

import re
import time
from pathlib import Path

from otic.api.auth import hash_password, new_password
from otic.cli.stores import open_store
from otic.errors import OticError
from otic.store.queries import people

NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
BY = "command line"


def add(name: str, database: Path | None, data: Path | None, role: str) -> int:
    """Adds a user and prints their first password."""
    if NAME.fullmatch(name) is None:
        raise OticError(f"{name!r}: a name is small letters, digits, dot, dash, underscore")
    store = open_store(database, data)
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
    store = open_store(database, data)
    if people.user(store, name) is None:
        raise OticError(f"there is no user {name}")
    password = new_password()
    people.set_password(store, name, hash_password(password), by=BY, now_ns=time.time_ns())
    print(f"{name} may log in with the password {password}")
    return 0
