"""Setting a sensor up through the API: what is refused, what is written, who may."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from litestar.testing import TestClient

from otic.api import auth
from otic.api.app import create_app
from otic.api.routes import setup as routes
from otic.folder import DataFolder
from otic.settings import Interface, Settings, Subnet, load
from otic.store.queries import people
from otic.store.queries.common import Store

from .conftest import PASSWORD, Console, copied

BEFORE = '# By the gate.\n[ring]\nbytes = 0\n\n[[interface]]\nname = "plant"\npipe = "/run/plant"\n'
OWN = "a password of my own"


@pytest.fixture
def folder(database: Path, store: Store, tmp_path: Path) -> DataFolder:
    """A data folder with the demo plant's store, and no settings yet."""
    made = DataFolder(tmp_path / "sensor")
    made.create()
    copied(database, made.database)
    made.database.with_name(made.database.name + ".people").rename(made.people)
    return made


@pytest.fixture
def client(folder: DataFolder, monkeypatch: pytest.MonkeyPatch) -> Iterator[TestClient[Any]]:
    monkeypatch.setattr(routes, "PREVIEW_S", 0.01)
    live = Store(folder.database, people=folder.people, live=folder)
    with TestClient(create_app(live)) as opened:
        yield opened
    live.close()


@pytest.fixture
def admin(client: TestClient[Any]) -> Console:
    """An administrator who chose their own password."""
    console = Console(client, "admin")
    done = console.change("POST", "/api/session/password", {"old": PASSWORD, "new": OWN})
    assert done.status_code == 204
    return console


def choice(admin: Console, **more: Any) -> dict[str, Any]:
    """A choice that can be set, with some of it changed."""
    body: dict[str, Any] = {
        "interfaces": ["lo"],
        "subnets": [{"cidr": "10.20.1.0/24", "name": "Cell 1", "industrial": True}],
        "learning_s": 3600,
        "revision": admin.get("/api/setup")["revision"],
    }
    return body | more


def test_a_sensor_without_interface_says_that_it_is_not_set_up(
    client: TestClient[Any], folder: DataFolder
) -> None:
    """The console asks at log-in; once an interface is named, the answer is another."""
    admin = Console(client, "admin")
    assert admin.get("/api/session")["set_up"] is False
    folder.settings.write_text(BEFORE)
    assert admin.get("/api/session")["set_up"] is True
    folder.settings.write_text("colour = 1\n")
    assert admin.get("/api/session")["set_up"] is True
    assert "colour: is not a setting" in admin.get("/api/setup")["problem"]


def test_the_page_shows_settings_seen_networks_and_the_clock(
    admin: Console, folder: DataFolder
) -> None:
    """What there is to choose from: the plant's own network comes out of its traffic."""
    folder.settings.write_text(BEFORE)
    shown = admin.get("/api/setup")
    assert shown["interfaces"] == [{"name": "plant", "pipe": True}]
    assert shown["file"] == str(folder.settings)
    assert shown["own_password"] is True
    assert shown["learning_s"] == Settings().learning_s
    assert shown["seen"][0]["cidr"] == "10.20.1.0/24"
    assert shown["seen"][0]["addresses"] > 5
    assert shown["clock"]["time"].startswith("20")
    ports = {one["name"]: one for one in admin.get("/api/setup/interfaces")}
    assert "loopback" in ports["lo"]["concerns"]


def test_the_choice_is_written_and_kept_in_the_audit(admin: Console, folder: DataFolder) -> None:
    """The file says it, keeps what else it said, and the audit names who, what and when."""
    folder.settings.write_text(BEFORE)
    answer = admin.change("POST", "/api/setup", choice(admin, interfaces=["plant", "lo"]))
    assert answer.status_code == 200, answer.text
    assert answer.json()["written"] is True

    settings = load(folder.settings)
    assert settings.interface == [
        Interface(name="plant", pipe="/run/plant"),
        Interface(name="lo"),
    ]
    assert settings.subnet == [Subnet(cidr="10.20.1.0/24", name="Cell 1")]
    assert (settings.learning_s, settings.ring.bytes) == (3600, 0)
    assert folder.settings.read_text() == answer.json()["text"]
    assert "\n# By the gate.\n[ring]\n" in folder.settings.read_text()
    row = admin.get("/api/audit", limit=1)["items"][0]
    assert (row["person"], row["action"]) == ("admin", "sensor-set-up")
    assert row["target"] == "interfaces plant, lo; subnets 10.20.1.0/24; learning 3600 s"


@pytest.mark.parametrize(
    ("wrong", "field", "why"),
    [
        ({"interfaces": []}, "interfaces", "at least one"),
        ({"interfaces": ["lo", "lo"]}, "interfaces", "twice"),
        ({"interfaces": ["lo", "no-such0"]}, "interfaces[1]", "no interface no-such0"),
        ({"subnets": [{"cidr": "10.20.1.5/24"}]}, "subnets[0].cidr", "10.20.1.0/24 is one"),
        ({"subnets": [{"cidr": "10.20.1.0"}]}, "subnets[0].cidr", "such as 10.20.1.0/24"),
        ({"subnets": [{"cidr": "plant"}]}, "subnets[0].cidr", "plant is no subnet"),
        ({"subnets": [{"cidr": ""}]}, "subnets[0].cidr", "An empty line"),
        ({"subnets": [{"cidr": "0.0.0.0/0"}]}, "subnets[0].cidr", "cannot be"),
        ({"subnets": [{"cidr": "10.0.0.0/8"}] * 2}, "subnets[1].cidr", "twice"),
        ({"learning_s": 59}, "learning_s", "one minute"),
        ({"learning_s": 10**9}, "learning_s", "366 days"),
    ],
)
def test_what_is_wrong_is_named_field_by_field(
    admin: Console, folder: DataFolder, wrong: dict[str, Any], field: str, why: str
) -> None:
    """A refusal names the field and the reason, and writes nothing."""
    answer = admin.change("POST", "/api/setup", choice(admin, **wrong))
    assert answer.status_code == 400, answer.text
    [one] = answer.json()["invalid"]
    assert one.startswith(f"{field}: ")
    assert why in one
    assert not folder.settings.exists()


def test_all_wrong_fields_are_named_at_once(admin: Console) -> None:
    """Nobody has to mend one field to learn of the next."""
    body = choice(admin, interfaces=[], subnets=[{"cidr": "x"}], learning_s=0)
    invalid = admin.change("POST", "/api/setup", body).json()["invalid"]
    fields = [one.partition(":")[0] for one in invalid]
    assert fields == ["interfaces", "subnets[0].cidr", "learning_s"]


def test_a_password_that_others_know_must_be_changed_first(
    client: TestClient[Any], folder: DataFolder
) -> None:
    """The first password was on a terminal: whoever sets a sensor up has one of their own."""
    admin = Console(client, "admin")
    assert admin.get("/api/setup")["own_password"] is False
    answer = admin.change("POST", "/api/setup", choice(admin))
    assert answer.status_code == 409
    assert "password of your own" in answer.json()["detail"]
    weak = admin.change("POST", "/api/session/password", {"old": PASSWORD, "new": "short"})
    assert weak.status_code == 400
    assert not folder.settings.exists()


def test_a_password_that_somebody_else_gave_is_not_one_s_own(
    admin: Console, folder: DataFolder
) -> None:
    """`otic user password` hands out a password that stands on a terminal again."""
    assert admin.get("/api/setup")["own_password"] is True
    opened = Store(folder.database, people=folder.people, live=folder)
    hashed = auth.hash_password("from the terminal")
    people.set_password(opened, "admin", hashed, by="command line", now_ns=2**62)
    assert people.chose_password(opened, "admin") is False
    opened.close()


def test_a_file_that_changed_meanwhile_is_not_overwritten(
    admin: Console, folder: DataFolder
) -> None:
    """Somebody edits the file while the page is open: theirs stays."""
    body = choice(admin)
    folder.settings.write_text(BEFORE)
    answer = admin.change("POST", "/api/setup", body)
    assert answer.status_code == 409
    assert folder.settings.read_text() == BEFORE


def test_a_file_that_cannot_be_written_is_shown_to_be_pasted(
    admin: Console, folder: DataFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The answer has the whole text and the reason; the audit does not say it was done."""

    def read_only(*_: Any, **__: Any) -> Any:
        raise OSError(30, os.strerror(30))

    monkeypatch.setattr("otic.sensor.settings_file.tempfile.mkstemp", read_only)
    answer = admin.change("POST", "/api/setup", choice(admin)).json()
    assert answer["written"] is False
    assert answer["reason"] == "otic.toml cannot be written: Read-only file system."
    assert not folder.settings.exists()
    folder.settings.write_text(answer["text"])
    assert load(folder.settings).interface == [Interface(name="lo")]
    done = sqlite3.connect(folder.people).execute("SELECT action FROM audit").fetchall()
    assert ("sensor-set-up",) not in done


def test_a_file_that_cannot_be_put_in_place_is_no_set_up(
    admin: Console, folder: DataFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The audit says that it was tried and failed; nothing is left beside the file."""

    def busy(*_: Any) -> Any:
        raise OSError(16, os.strerror(16))

    monkeypatch.setattr(Path, "replace", busy)
    answer = admin.change("POST", "/api/setup", choice(admin)).json()
    assert (answer["written"], "busy" in answer["reason"]) == (False, True)
    assert admin.get("/api/audit", limit=1)["items"][0]["action"] == "sensor-set-up-failed"
    assert [path.name for path in folder.path.glob("*otic.toml*")] == []
    assert list(folder.path.glob(".*")) == []


def test_what_the_file_says_already_may_stay(admin: Console, folder: DataFolder) -> None:
    """A port that is unplugged now, a short learning time, a subnet of one: no reason to refuse."""
    folder.settings.write_text(
        'learning_s = 30\n[[interface]]\nname = "usb0"\n[[subnet]]\ncidr = "10.0.0.5"\n'
    )
    body = choice(admin, interfaces=["usb0", "lo"], subnets=[{"cidr": "10.0.0.5"}], learning_s=30)
    answer = admin.change("POST", "/api/setup", body)
    assert answer.status_code == 200, answer.text
    assert [one.name for one in load(folder.settings).interface] == ["usb0", "lo"]


def test_only_administrators_set_up(client: TestClient[Any]) -> None:
    """Analysts and viewers neither see nor change how the sensor is set up."""
    for role in ("analyst", "viewer"):
        console = Console(client, role)
        for path in ("/api/setup", "/api/setup/interfaces"):
            assert client.get(path).status_code == 403
        body = {"interfaces": ["lo"], "subnets": [], "learning_s": 60, "revision": ""}
        assert console.change("POST", "/api/setup", body).status_code == 403


def test_a_replay_has_nothing_to_set_up(store: Store) -> None:
    """There is no sensor behind the result of a replay, and nothing is missing there."""
    with TestClient(create_app(store)) as opened:
        admin = Console(opened, "admin")
        assert admin.get("/api/session")["set_up"] is True
        assert opened.get("/api/setup").status_code == 404
