"""People who may log in, their sessions, and the audit of what they did.

They are kept in a file of their own, which the console writes; decisions about the plant go through
analysis, which keeps their audit with what they changed. Every change and its audit record are one
transaction. Times here are the wall clock's.
"""

from __future__ import annotations

import os
from typing import Any

import msgspec
from sqlalchemy import Connection, delete, func, select, update
from sqlalchemy.dialects.sqlite import insert

from otic.store import tables
from otic.store.queries.common import Page, Store, cut, total_of
from otic.times import iso


class User(msgspec.Struct, frozen=True, kw_only=True):
    """Someone who may log in; `password` is an Argon2id hash."""

    name: str
    role: str
    password: str
    created_ns: int
    failures: int
    locked_until_ns: int


class Session(msgspec.Struct, frozen=True, kw_only=True):
    """A log-in that lasts: who, and the token that changes must carry."""

    person: str
    role: str
    csrf: str
    created_ns: int
    last_ns: int


class AuditRow(msgspec.Struct, frozen=True, kw_only=True):
    """Who did what, when."""

    time: str
    person: str
    action: str
    target: str


def user(store: Store, name: str) -> User | None:
    """The user of this name."""
    table = tables.users
    with store.people() as connection:
        row = connection.execute(
            select(table).where(table.c.name == name, store.own(table))
        ).first()
    return None if row is None else _user(row)


def users(store: Store) -> list[User]:
    """All users by name."""
    table = tables.users
    with store.people() as connection:
        rows = connection.execute(select(table).where(store.own(table)).order_by(table.c.name))
        return [_user(row) for row in rows]


def _user(row: Any) -> User:
    return User(
        name=row.name,
        role=row.role,
        password=row.password,
        created_ns=row.created_ns,
        failures=row.failures,
        locked_until_ns=row.locked_until_ns,
    )


def add_user(store: Store, wanted: User, *, by: str) -> bool:
    """Adds this user; false when the name is taken."""
    with store.people() as connection:
        done = connection.execute(
            insert(tables.users)
            .values(**store.scope, **msgspec.structs.asdict(wanted))
            .on_conflict_do_nothing()
        )
        if done.rowcount:
            _audit(store, connection, wanted.created_ns, by, "user-added", wanted.name)
        return bool(done.rowcount)


def remove_user(store: Store, name: str, *, by: str, now_ns: int) -> bool:
    """Removes this user and ends their sessions; false when there is none."""
    table, sessions = tables.users, tables.sessions
    with store.people() as connection:
        done = connection.execute(delete(table).where(table.c.name == name, store.own(table)))
        connection.execute(delete(sessions).where(sessions.c.person == name, store.own(sessions)))
        if done.rowcount:
            _audit(store, connection, now_ns, by, "user-removed", name)
        return bool(done.rowcount)


def set_password(
    store: Store, name: str, password: str, *, by: str, now_ns: int, keep: bytes = b""
) -> None:
    """Gives a user another password (hash) and ends their sessions but the one to keep."""
    table, sessions = tables.users, tables.sessions
    with store.people() as connection:
        connection.execute(
            update(table)
            .where(table.c.name == name, store.own(table))
            .values(password=password, failures=0, locked_until_ns=0)
        )
        connection.execute(
            delete(sessions).where(
                sessions.c.person == name, sessions.c.token != keep, store.own(sessions)
            )
        )
        _audit(store, connection, now_ns, by, "password-changed", name)


def chose_password(store: Store, name: str) -> bool:
    """Whether this user's password is their own choice, and not one that another gave them."""
    table = tables.audit
    with store.people() as connection:
        by = connection.scalar(
            select(table.c.person)
            .where(
                table.c.target == name,
                table.c.action.in_(("user-added", "password-changed")),
                store.own(table),
            )
            .order_by(table.c.ts_ns.desc())
            .limit(1)
        )
    return bool(by == name)


def note_failure(store: Store, name: str, locked_until_ns: int, *, now_ns: int) -> None:
    """Counts a failed log-in of a user."""
    table = tables.users
    with store.people() as connection:
        connection.execute(
            update(table)
            .where(table.c.name == name, store.own(table))
            .values(failures=table.c.failures + 1, locked_until_ns=locked_until_ns)
        )
        _audit(store, connection, now_ns, name, "log-in-failed", name)


def open_session(store: Store, token: bytes, session: Session, *, oldest_ns: int) -> None:
    """Starts a session, forgets failures, and drops sessions last used before `oldest_ns`."""
    table, users_ = tables.sessions, tables.users
    with store.people() as connection:
        connection.execute(delete(table).where(table.c.last_ns < oldest_ns, store.own(table)))
        connection.execute(
            update(users_)
            .where(users_.c.name == session.person, store.own(users_))
            .values(failures=0, locked_until_ns=0)
        )
        connection.execute(
            insert(table).values(
                **store.scope,
                token=token,
                person=session.person,
                csrf=session.csrf,
                created_ns=session.created_ns,
                last_ns=session.last_ns,
            )
        )
        _audit(store, connection, session.created_ns, session.person, "log-in", session.person)


def session(store: Store, token: bytes) -> Session | None:
    """The session of this (hashed) token, whatever its age."""
    table, users_ = tables.sessions, tables.users
    with store.people() as connection:
        row = connection.execute(
            select(table, users_.c.role)
            .join(users_, users_.c.name == table.c.person)
            .where(table.c.token == token, store.own(table), store.own(users_))
        ).first()
    if row is None:
        return None
    return Session(
        person=row.person,
        role=row.role,
        csrf=row.csrf,
        created_ns=row.created_ns,
        last_ns=row.last_ns,
    )


def touch_session(store: Store, token: bytes, now_ns: int) -> None:
    """Notes that a session is in use."""
    table = tables.sessions
    with store.people() as connection:
        connection.execute(
            update(table).where(table.c.token == token, store.own(table)).values(last_ns=now_ns)
        )


def close_session(store: Store, token: bytes, *, by: str, now_ns: int) -> None:
    """Ends a session."""
    table = tables.sessions
    with store.people() as connection:
        connection.execute(delete(table).where(table.c.token == token, store.own(table)))
        _audit(store, connection, now_ns, by, "log-out", by)


def note(store: Store, *, by: str, action: str, target: str, now_ns: int) -> None:
    """Keeps a record of something a person did."""
    with store.people() as connection:
        _audit(store, connection, now_ns, by, action, target)


def audit(store: Store, *, offset: int, limit: int) -> Page[AuditRow]:
    """What people did, latest first: at the console, and decisions about the plant."""
    table = tables.audit
    where = [store.own(table)]
    query = cut(
        select(table).where(*where).order_by(table.c.ts_ns.desc(), table.c.id), 0, offset + limit
    )
    rows: list[Any] = []
    total = 0
    for place in (store.people, store.reading):
        with place() as connection:
            rows += connection.execute(query).all()
            total += total_of(connection, table, where)
    rows.sort(key=lambda row: (-row.ts_ns, row.id))
    items = [
        AuditRow(time=iso(row.ts_ns), person=row.person, action=row.action, target=row.target)
        for row in rows[offset : offset + limit]
    ]
    return Page(items, total, offset, limit)


def admins(store: Store) -> int:
    """How many administrators there are."""
    table = tables.users
    with store.people() as connection:
        return (
            connection.scalar(select(func.count()).where(table.c.role == "admin", store.own(table)))
            or 0
        )


def _audit(
    store: Store, connection: Connection, now_ns: int, person: str, action: str, target: str
) -> None:
    connection.execute(
        insert(tables.audit).values(
            **store.scope,
            id=os.urandom(16),
            ts_ns=now_ns,
            person=person,
            action=action,
            target=target,
        )
    )
