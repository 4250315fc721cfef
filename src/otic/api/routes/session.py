"""Log-in, log-out, who is logged in, one's own password."""

from __future__ import annotations

import time
from typing import Annotated, Any

import msgspec
from litestar import Request, Response
from litestar.datastructures import Cookie
from litestar.exceptions import HTTPException, NotAuthorizedException

from otic.api.auth import (
    COOKIE,
    LOGGED_IN,
    LONGEST_PASSWORD,
    PUBLIC,
    SHORTEST_PASSWORD,
    Person,
    current,
    hash_password,
    log_in,
    verify,
)
from otic.api.routing import create, read, remove
from otic.sensor.setup import is_set_up
from otic.store.queries import people
from otic.store.queries.common import Store

Password = Annotated[str, msgspec.Meta(min_length=1, max_length=LONGEST_PASSWORD)]
NewPassword = Annotated[
    str, msgspec.Meta(min_length=SHORTEST_PASSWORD, max_length=LONGEST_PASSWORD)
]


class Login(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Name and password."""

    name: Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
    password: Password


class SessionInfo(msgspec.Struct, frozen=True, kw_only=True):
    """Who is logged in, what they may do, and the token that changes must carry.

    `live` says that the sensor is at work, so that `/api/live` tells what is new; `set_up`, that it
    has an interface to listen on, or needs none.
    """

    name: str
    role: str
    permissions: list[str]
    csrf: str
    sensor: str
    site: str
    live: bool
    set_up: bool


class PasswordChange(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The password in use, and the one that shall replace it."""

    old: Password
    new: NewPassword


def _info(request: Request[Any, Any, Any], person: Person, store: Store) -> SessionInfo:
    return SessionInfo(
        name=person.name,
        role=person.role,
        permissions=sorted(person.permissions),
        csrf=person.csrf,
        sensor=store.scope["sensor"],
        site=store.scope["site"],
        live=store.live is not None,
        set_up=store.live is None or is_set_up(request.app.state.config or store.live.settings),
    )


@create("/api/session", permission=PUBLIC, errors=(401, 429), operation_id="logIn")
def start(request: Request[Any, Any, Any], data: Login, store: Store) -> Response[SessionInfo]:
    """Log in; the answer sets the session's cookie."""
    address = request.client.host if request.client else ""
    person, token = log_in(
        store,
        request.app.state.throttle,
        name=data.name,
        password=data.password,
        address=address,
    )
    cookie = Cookie(
        key=COOKIE,
        value=token,
        path="/",
        httponly=True,
        samesite="strict",
        secure=request.app.state.secure,
    )
    return Response(_info(request, person, store), cookies=[cookie], status_code=201)


@read("/api/session", permission=LOGGED_IN, operation_id="getSession")
def show(request: Request[Any, Any, Any], store: Store) -> SessionInfo:
    """Who is logged in."""
    return _info(request, current(request), store)


@remove("/api/session", permission=LOGGED_IN, operation_id="logOut")
def end(request: Request[Any, Any, Any], store: Store) -> Response[None]:
    """Log out."""
    person = current(request)
    people.close_session(store, person.token, by=person.name, now_ns=time.time_ns())
    answer: Response[None] = Response(None, status_code=204)
    answer.delete_cookie(COOKIE, path="/")
    return answer


@create(
    "/api/session/password",
    permission=LOGGED_IN,
    errors=(429,),
    status_code=204,
    operation_id="changePassword",
)
def change_password(request: Request[Any, Any, Any], data: PasswordChange, store: Store) -> None:
    """Change one's own password; other sessions of the same person end."""
    person = current(request)
    throttle, now_s = request.app.state.throttle, time.monotonic()
    if throttle.wait_s(f"password {person.name}", now_s):
        raise HTTPException(status_code=429, detail="Too many wrong passwords. Try again later.")
    user = people.user(store, person.name)
    if user is None or not verify(user.password, data.old):
        throttle.failed(f"password {person.name}", now_s)
        raise NotAuthorizedException(detail="The old password is wrong.")
    people.set_password(
        store,
        person.name,
        hash_password(data.new),
        by=person.name,
        now_ns=time.time_ns(),
        keep=person.token,
    )


handlers = [start, show, end, change_password]
