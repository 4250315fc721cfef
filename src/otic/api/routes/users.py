"""People who may log in, and the audit of what they did."""

from __future__ import annotations

import time
from typing import Annotated, Any, Literal

import msgspec
from litestar import Request
from litestar.exceptions import HTTPException, NotFoundException
from litestar.params import Parameter

from otic.api.auth import current, hash_password
from otic.api.routes.session import NewPassword
from otic.api.routing import Limit, Offset, create, read, remove
from otic.store.queries import people
from otic.store.queries.common import Page, Store
from otic.times import iso

Role = Literal["admin", "analyst", "viewer"]
Name = Annotated[
    str, msgspec.Meta(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$", max_length=64, min_length=1)
]
NamePath = Annotated[str, Parameter(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$")]


class UserInfo(msgspec.Struct, frozen=True, kw_only=True):
    """Someone who may log in."""

    name: str
    role: str
    created: str
    locked: bool


class NewUser(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Someone who shall be able to log in."""

    name: Name
    role: Role
    password: NewPassword


def _info(user: people.User) -> UserInfo:
    return UserInfo(
        name=user.name,
        role=user.role,
        created=iso(user.created_ns),
        locked=user.locked_until_ns > time.time_ns(),
    )


@read("/api/users", permission="users:manage", operation_id="listUsers")
def show(store: Store) -> list[UserInfo]:
    """All who may log in."""
    return [_info(user) for user in people.users(store)]


@create("/api/users", permission="users:manage", errors=(409,), operation_id="addUser")
def add(request: Request[Any, Any, Any], data: NewUser, store: Store) -> UserInfo:
    """Let someone log in."""
    user = people.User(
        name=data.name,
        role=data.role,
        password=hash_password(data.password),
        created_ns=time.time_ns(),
        failures=0,
        locked_until_ns=0,
    )
    if not people.add_user(store, user, by=current(request).name):
        raise HTTPException(status_code=409, detail=f"There is a user {data.name} already.")
    return _info(user)


@remove(
    "/api/users/{name:str}", permission="users:manage", errors=(404, 409), operation_id="removeUser"
)
def take_away(request: Request[Any, Any, Any], name: NamePath, store: Store) -> None:
    """Remove someone and end their sessions."""
    by = current(request).name
    if name == by:
        raise HTTPException(status_code=409, detail="You cannot remove yourself.")
    if not people.remove_user(store, name, by=by, now_ns=time.time_ns()):
        raise NotFoundException(detail=f"There is no user {name}.")


@read("/api/audit", permission="audit:read", operation_id="listAudit")
def audit(store: Store, offset: Offset = 0, limit: Limit = 100) -> Page[people.AuditRow]:
    """What people did, latest first."""
    return people.audit(store, offset=offset, limit=limit)


handlers = [show, add, take_away, audit]
