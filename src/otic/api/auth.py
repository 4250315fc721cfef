"""Who may do what: passwords, log-ins, sessions, roles.

Passwords are kept as Argon2id hashes. A session is a random token in a cookie that scripts cannot
read and other sites cannot send; the store keeps only its hash. Everything that changes something
also carries the session's second token in a header.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time
from collections import OrderedDict
from typing import Any
from urllib.parse import urlsplit

import msgspec
from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from litestar import Request
from litestar.connection import ASGIConnection
from litestar.exceptions import HTTPException, NotAuthorizedException, PermissionDeniedException
from litestar.handlers import BaseRouteHandler

from otic.store.queries import people
from otic.store.queries.common import Store

COOKIE = "otic_session"
CSRF_HEADER = "X-CSRF-Token"
SAFE = {"GET", "HEAD", "OPTIONS"}

IDLE_NS = 1800 * 1_000_000_000
"""A session unused for this long is over."""

LONGEST_NS = 12 * 3600 * 1_000_000_000
"""A session is over after this time however much it is used."""

TOUCH_NS = 60 * 1_000_000_000
"""How often the use of a session is noted."""

FREE_FAILURES = 5
"""Failed log-ins in a row after which each further one locks the name."""

FIRST_LOCK_S = 30
LONGEST_LOCK_S = 900

ADDRESS_FAILURES = 20
ADDRESS_WINDOW_S = 300
"""Failed log-ins of one address in this time after which it has to wait."""

MOST_ADDRESSES = 10_000

SHORTEST_PASSWORD = 12
LONGEST_PASSWORD = 256

PUBLIC = "public"
"""The permission of routes that need no log-in."""

LOGGED_IN = "session"
"""The permission that everybody who is logged in has."""

_READ = frozenset({LOGGED_IN, "overview:read", "devices:read", "traffic:read", "alerts:read"})
_EVIDENCE = frozenset({"evidence:read"})
_PACKETS = frozenset({"packets:download", "devices:export"})
_DECIDE = frozenset({"learning:decide"})
_ADMIN = frozenset({"users:manage", "audit:read", "sensor:set-up"})

ROLES: dict[str, frozenset[str]] = {
    "viewer": _READ | _EVIDENCE,
    "analyst": _READ | _EVIDENCE | _PACKETS | _DECIDE,
    "admin": _READ | _EVIDENCE | _PACKETS | _DECIDE | _ADMIN,
}
"""What each role may do."""

PERMISSIONS = frozenset().union(*ROLES.values()) | {PUBLIC}

_hasher = PasswordHasher()
_nobody = _hasher.hash(secrets.token_hex(16))


class Person(msgspec.Struct, frozen=True, kw_only=True):
    """Who is logged in, by which session."""

    name: str
    role: str
    csrf: str
    token: bytes

    @property
    def permissions(self) -> frozenset[str]:
        """What this person may do."""
        return ROLES.get(self.role, frozenset())


def hash_password(password: str) -> str:
    """The Argon2id hash to keep."""
    return _hasher.hash(password)


def verify(hashed: str, password: str) -> bool:
    """Whether this is the password; takes as long for a name that does not exist."""
    try:
        return _hasher.verify(hashed, password)
    except (VerificationError, InvalidHashError):
        return False


def new_password() -> str:
    """A random password that can be read out: four groups without look-alikes, 90 bits."""
    letters = "abcdefghjkmnpqrstuvwxyz23456789"
    return "-".join("".join(secrets.choice(letters) for _ in range(5)) for _ in range(4))


def first_user(store: Store) -> str | None:
    """Makes the administrator when nobody may log in yet, and gives their password."""
    if people.users(store):
        return None
    password = new_password()
    admin = people.User(
        name="admin",
        role="admin",
        password=hash_password(password),
        created_ns=time.time_ns(),
        failures=0,
        locked_until_ns=0,
    )
    return password if people.add_user(store, admin, by="otic") else None


class Throttle:
    """Counts failed log-ins by address, whatever name they try."""

    def __init__(self) -> None:
        self._failures: OrderedDict[str, list[float]] = OrderedDict()

    def wait_s(self, address: str, now_s: float) -> int:
        """Seconds this address has to wait; 0 when it may try."""
        times = [at for at in self._failures.get(address, ()) if at > now_s - ADDRESS_WINDOW_S]
        if len(times) < ADDRESS_FAILURES:
            return 0
        return int(times[-ADDRESS_FAILURES] + ADDRESS_WINDOW_S - now_s) + 1

    def failed(self, address: str, now_s: float) -> None:
        """Counts one more."""
        times = self._failures.setdefault(address, [])
        times.append(now_s)
        del times[:-ADDRESS_FAILURES]
        self._failures.move_to_end(address)
        while len(self._failures) > MOST_ADDRESSES:
            self._failures.popitem(last=False)


class TooManyLogins(HTTPException):
    """The name or the address has to wait."""

    status_code = 429

    def __init__(self, wait_s: int) -> None:
        super().__init__(
            detail=f"Too many failed log-ins. Try again in {wait_s} seconds.",
            headers={"Retry-After": str(wait_s)},
        )


def log_in(
    store: Store, throttle: Throttle, *, name: str, password: str, address: str
) -> tuple[Person, str]:
    """Opens a session; gives who is logged in, and the cookie's token.

    Raises:
        NotAuthorizedException: name or password is wrong; which of both is not said.
        TooManyLogins: the name is locked, or the address tried too often.
    """
    now_ns = time.time_ns()
    if wait_s := throttle.wait_s(address, time.monotonic()):
        raise TooManyLogins(wait_s)
    user = people.user(store, name)
    if user is not None and user.locked_until_ns > now_ns:
        raise TooManyLogins((user.locked_until_ns - now_ns) // 1_000_000_000 + 1)
    if not verify(user.password if user is not None else _nobody, password) or user is None:
        throttle.failed(address, time.monotonic())
        if user is not None:
            over = user.failures + 1 - FREE_FAILURES
            lock_s = min(FIRST_LOCK_S * 2 ** min(over, 10), LONGEST_LOCK_S) if over >= 0 else 0
            locked = now_ns + lock_s * 1_000_000_000 if lock_s else 0
            people.note_failure(store, name, locked, now_ns=now_ns)
        raise NotAuthorizedException(detail="Name or password is wrong.")
    token = secrets.token_urlsafe(32)
    person = Person(
        name=user.name, role=user.role, csrf=secrets.token_urlsafe(32), token=digest(token)
    )
    session = people.Session(
        person=person.name,
        role=person.role,
        csrf=person.csrf,
        created_ns=now_ns,
        last_ns=now_ns,
    )
    people.open_session(store, person.token, session, oldest_ns=now_ns - IDLE_NS)
    return person, token


def digest(token: str) -> bytes:
    """What the store keeps of a token."""
    return hashlib.sha256(token.encode()).digest()


def who(store: Store, token: str | None) -> Person | None:
    """The person this cookie's token belongs to, while the session lasts."""
    if not token:
        return None
    key = digest(token)
    session = people.session(store, key)
    now_ns = time.time_ns()
    if session is None or not (
        session.last_ns + IDLE_NS > now_ns and session.created_ns + LONGEST_NS > now_ns
    ):
        return None
    if session.last_ns + TOUCH_NS < now_ns:
        people.touch_session(store, key, now_ns)
    return Person(name=session.person, role=session.role, csrf=session.csrf, token=key)


def permission_of(handler: BaseRouteHandler) -> str | None:
    """The permission a route names."""
    named = handler.opt.get("permission")
    return named if isinstance(named, str) else None


def require_permission(
    connection: ASGIConnection[Any, Any, Any, Any], handler: BaseRouteHandler
) -> None:
    """Lets only those through who have the permission that the route names.

    Raises:
        NotAuthorizedException: nobody is logged in.
        PermissionDeniedException: the route names none, the role lacks it, or the request comes
            from another site.
    """
    permission = permission_of(handler)
    if permission not in PERMISSIONS:
        raise PermissionDeniedException(detail="This route names no permission.")
    method = str(connection.scope.get("method", "GET"))
    if method not in SAFE:
        _same_site(connection)
    if permission == PUBLIC:
        return
    person = who(connection.app.state.store, connection.cookies.get(COOKIE))
    if person is None:
        raise NotAuthorizedException(detail="Log in first.")
    if permission not in person.permissions:
        raise PermissionDeniedException(
            detail=f"The role {person.role} does not have the permission {permission}."
        )
    if method not in SAFE and not hmac.compare_digest(
        connection.headers.get(CSRF_HEADER, "").encode("latin-1", "replace"), person.csrf.encode()
    ):
        raise PermissionDeniedException(
            detail=f"The header {CSRF_HEADER} does not hold the session's token."
        )
    connection.scope["user"] = person


def _same_site(connection: ASGIConnection[Any, Any, Any, Any]) -> None:
    origin = connection.headers.get("Origin")
    if origin is not None and urlsplit(origin).netloc != connection.headers.get("Host"):
        raise PermissionDeniedException(detail="The request comes from another site.")


def current(request: Request[Any, Any, Any]) -> Person:
    """Who is logged in, on routes that need it."""
    person: Person = request.user
    return person
