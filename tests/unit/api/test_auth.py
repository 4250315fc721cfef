"""Log-in, sessions, permissions."""

from __future__ import annotations

import time

import msgspec
import pytest

from otic.api import auth
from otic.api.app import create_app
from otic.store.queries import people

from .conftest import PASSWORD, copied


def test_every_route_names_a_known_permission(app):
    """No route can be reached without somebody having decided who may."""
    checked = 0
    for route in app.routes:
        for handler in getattr(route, "route_handlers", []):
            if handler.opt.get("is_asgi") or "OPTIONS" in handler.http_methods:
                continue
            assert auth.permission_of(handler) in auth.PERMISSIONS, handler
            checked += 1
    assert checked > 20


def test_only_log_in_and_the_console_files_are_public(app):
    """Everything that tells about the plant needs a log-in."""
    public = {
        route.path
        for route in app.routes
        for handler in getattr(route, "route_handlers", [])
        if auth.permission_of(handler) == auth.PUBLIC
    }
    assert public == {"/", "/{path:path}", "/api/session"}


def test_every_read_route_refuses_strangers(client, app):
    """Without a session every reading route answers 401."""
    for route in app.routes:
        if not route.path.startswith("/api/") or "{" in route.path:
            continue
        for handler in getattr(route, "route_handlers", []):
            if "GET" in handler.http_methods:
                answer = client.get(route.path, params={"file": "x", "frame": 1})
                assert answer.status_code == 401, route.path
                assert answer.headers["content-type"].startswith("application/problem+json")


@pytest.mark.parametrize("role", auth.ROLES)
def test_log_in_says_who_and_what_for(client, role):
    """A session carries the role's permissions."""
    answer = client.post("/api/session", json={"name": role, "password": PASSWORD})
    assert answer.status_code == 201
    assert answer.json()["permissions"] == sorted(auth.ROLES[role])
    assert client.get("/api/session").json()["name"] == role


def test_the_cookie_is_out_of_reach_of_scripts_and_other_sites(client):
    """HttpOnly and SameSite=Strict always; Secure with TLS."""
    answer = client.post("/api/session", json={"name": "viewer", "password": PASSWORD})
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=strict" in cookie
    assert "Secure" not in cookie


def test_with_tls_the_cookie_is_secure(store):
    """The cookie never travels in clear text once TLS is on."""
    from litestar.testing import TestClient

    with TestClient(create_app(store, secure=True)) as client:
        answer = client.post("/api/session", json={"name": "viewer", "password": PASSWORD})
    assert "Secure" in answer.headers["set-cookie"]


def test_a_wrong_password_and_an_unknown_name_look_alike(client):
    """Nobody learns which names exist."""
    wrong = client.post("/api/session", json={"name": "viewer", "password": "wrong"})
    unknown = client.post("/api/session", json={"name": "nobody", "password": "wrong"})
    assert wrong.status_code == unknown.status_code == 401
    assert wrong.json() == unknown.json()


def test_a_name_is_locked_after_failures(client, store):
    """After five failures in a row even the right password has to wait."""
    user = people.User(
        name="victim",
        role="viewer",
        password=auth.hash_password(PASSWORD),
        created_ns=1,
        failures=0,
        locked_until_ns=0,
    )
    people.add_user(store, user, by="test")
    for _ in range(auth.FREE_FAILURES):
        assert (
            client.post("/api/session", json={"name": "victim", "password": "no"}).status_code
            == 401
        )
    answer = client.post("/api/session", json={"name": "victim", "password": PASSWORD})
    assert answer.status_code == 429
    assert int(answer.headers["retry-after"]) > 0
    people.remove_user(store, "victim", by="test", now_ns=1)


def test_an_address_that_tries_many_names_has_to_wait(client):
    """Spraying one password over many names ends soon."""
    codes = [
        client.post("/api/session", json={"name": f"n{at}", "password": "x"}).status_code
        for at in range(auth.ADDRESS_FAILURES + 1)
    ]
    assert codes[-1] == 429
    assert set(codes[:-1]) == {401}


def test_changes_need_the_token(client, admin):
    """A request that another site made the browser send changes nothing."""
    body = {"name": "eve", "role": "admin", "password": PASSWORD}
    assert client.post("/api/users", json=body).status_code == 403
    answer = client.post("/api/users", json=body, headers={auth.CSRF_HEADER: "x"})
    assert answer.status_code == 403
    other = {auth.CSRF_HEADER: admin.csrf, "Origin": "https://evil.example"}
    assert client.post("/api/users", json=body, headers=other).status_code == 403


def test_a_viewer_changes_nothing_and_takes_no_packets(viewer, client):
    """The viewer's role has neither users nor packets."""
    body = {"name": "eve", "role": "admin", "password": PASSWORD}
    assert viewer.change("POST", "/api/users", body).status_code == 403
    frames = {"file": "demo.pcapng", "frame": 1}
    assert client.get("/api/frames/pcap", params=frames).status_code == 403
    assert client.get("/api/frames", params=frames).status_code == 200
    assert client.get("/api/devices.csv").status_code == 403


def test_log_out_ends_the_session(client, viewer):
    """The old cookie is worth nothing afterwards."""
    token = client.cookies[auth.COOKIE]
    assert viewer.change("DELETE", "/api/session").status_code == 204
    client.cookies.set(auth.COOKIE, token)
    assert client.get("/api/session").status_code == 401


def test_an_unused_session_ends(store, monkeypatch):
    """After half an hour without use one has to log in again."""
    now_ns = time.time_ns()
    session = people.Session(
        person="viewer", role="viewer", csrf="c", created_ns=now_ns, last_ns=now_ns
    )
    people.open_session(store, auth.digest("token"), session, oldest_ns=0)
    assert auth.who(store, "token") is not None
    monkeypatch.setattr(auth.time, "time_ns", lambda: now_ns + auth.IDLE_NS + 1)
    assert auth.who(store, "token") is None


def test_users_come_and_go(admin, client, store):
    """A new user can log in, change their password, and is gone when removed."""
    body = {"name": "ana", "role": "analyst", "password": "a first password"}
    assert admin.change("POST", "/api/users", body).status_code == 201
    assert admin.change("POST", "/api/users", body).status_code == 409
    assert "ana" in {user["name"] for user in admin.get("/api/users")}
    assert admin.change("DELETE", "/api/users/admin").status_code == 409
    assert admin.change("DELETE", "/api/users/ana").status_code == 204
    assert admin.change("DELETE", "/api/users/ana").status_code == 404
    actions = [(row["action"], row["target"]) for row in admin.get("/api/audit")["items"]]
    assert ("user-added", "ana") in actions
    assert ("user-removed", "ana") in actions


def test_a_password_change_needs_the_old_one(client, store):
    """Whoever finds an open browser cannot take the account."""
    user = people.User(
        name="pat",
        role="viewer",
        password=auth.hash_password(PASSWORD),
        created_ns=1,
        failures=0,
        locked_until_ns=0,
    )
    people.add_user(store, user, by="test")
    login = client.post("/api/session", json={"name": "pat", "password": PASSWORD})
    headers = {auth.CSRF_HEADER: login.json()["csrf"]}
    wrong = {"old": "wrong", "new": "another password"}
    right = {"old": PASSWORD, "new": "another password"}
    assert client.post("/api/session/password", json=wrong, headers=headers).status_code == 401
    assert client.post("/api/session/password", json=right, headers=headers).status_code == 204
    assert client.get("/api/session").status_code == 200
    again = client.post("/api/session", json={"name": "pat", "password": "another password"})
    assert again.status_code == 201
    people.remove_user(store, "pat", by="test", now_ns=1)


def test_passwords_are_argon2id(store):
    """The store holds hashes that are slow to guess."""
    user = people.user(store, "viewer")
    assert user is not None
    assert user.password.startswith("$argon2id$")
    assert PASSWORD not in str(msgspec.structs.asdict(user))


def test_the_first_password_is_made_once(tmp_path, database):
    """Only a store without users gets an administrator."""
    from otic.store.queries.common import Store

    opened = Store(copied(database, tmp_path / "copy.db"))
    for user in people.users(opened):
        people.remove_user(opened, user.name, by="test", now_ns=1)
    password = auth.first_user(opened)
    assert password is not None
    assert len(password) >= 20
    assert auth.first_user(opened) is None
    opened.close()
