"""The API on the demo plant, analysed once for all tests."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

litestar_testing = pytest.importorskip("litestar.testing")
pytest.importorskip("otic._core", reason="the packet core is not built")

from litestar import Litestar  # noqa: E402
from litestar.testing import TestClient  # noqa: E402

from otic.api import auth  # noqa: E402
from otic.api.app import create_app  # noqa: E402
from otic.plant import demo  # noqa: E402
from otic.sensor.learning import observed_time  # noqa: E402
from otic.store.queries import people  # noqa: E402
from otic.store.queries.common import PEOPLE, Store  # noqa: E402

PASSWORD = "correct horse battery"


def analysed(folder: Path) -> Path:
    """A database with the demo plant."""
    from otic.baseline.baseline import Baseline
    from otic.detect.rules import load as load_rules
    from otic.sensor.packets import keep
    from otic.sensor.pipeline import analyse, open_captures
    from otic.settings import Settings
    from otic.store.database import Database

    capture, database, settings = folder / "demo.pcapng", folder / "demo.db", Settings()
    demo.write(capture)
    until_ns = observed_time(open_captures([capture], settings)).at(demo.LEARN_FRACTION)
    sink = Database(database, settings, [capture])
    result = analyse(
        open_captures([capture], settings),
        settings=settings,
        rules=load_rules([], {}),
        baseline=Baseline(),
        learned_until_ns=until_ns,
        sink=sink,
    )
    keep(result, [capture], database, settings.packets_bytes)
    sink.close()
    return database


def copied(database: Path, to: Path) -> Path:
    """The same database in another file, its people too, with what their journals still hold."""
    for ending in ("", PEOPLE):
        source = sqlite3.connect(database.with_name(database.name + ending))
        target = sqlite3.connect(to.with_name(to.name + ending))
        source.backup(target)
        source.close()
        target.close()
    return to


@pytest.fixture(scope="session")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return analysed(tmp_path_factory.mktemp("demo"))


@pytest.fixture(scope="session")
def store(database: Path) -> Iterator[Store]:
    opened = Store(database)
    hashed = auth.hash_password(PASSWORD)
    for role in auth.ROLES:
        user = people.User(
            name=role, role=role, password=hashed, created_ns=1, failures=0, locked_until_ns=0
        )
        assert people.add_user(opened, user, by="test")
    yield opened
    opened.close()


@pytest.fixture
def app(store: Store) -> Litestar:
    return create_app(store)


class Console:
    """A browser that is logged in."""

    def __init__(self, client: TestClient[Any], role: str) -> None:
        self.client = client
        answer = client.post("/api/session", json={"name": role, "password": PASSWORD})
        assert answer.status_code == 201, answer.text
        self.csrf = answer.json()["csrf"]

    def get(self, path: str, **parameters: Any) -> Any:
        answer = self.client.get(path, params=parameters)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def change(self, method: str, path: str, body: Any = None) -> Any:
        return self.client.request(method, path, json=body, headers={auth.CSRF_HEADER: self.csrf})


@pytest.fixture
def client(app: Litestar) -> Iterator[TestClient[Any]]:
    with TestClient(app) as opened:
        yield opened


@pytest.fixture
def admin(client: TestClient[Any]) -> Console:
    return Console(client, "admin")


@pytest.fixture
def viewer(client: TestClient[Any]) -> Console:
    return Console(client, "viewer")
