"""Slices of a packet ring: exactly the frames that it holds, with the words that explain them."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from litestar.testing import TestClient

from otic.api import auth
from otic.api.app import create_app
from otic.folder import DataFolder
from otic.plant import demo
from otic.settings import load
from otic.store.queries import people
from otic.store.queries.common import Store
from support.frames import write_pcap
from support.program import COMMAND

START_S = 60


class Ring:
    """What capture and analysis leave behind when they saw the demo plant."""

    def __init__(self, path: Path) -> None:
        from otic import _core
        from otic.sensor.analyst import Analyst
        from otic.store.database import Database

        self.folder = DataFolder(path)
        self.folder.create()
        made = demo.demo().frames
        # The plant's work ends a minute ago.
        later_ns = time.time_ns() - 60_000_000_000 - made[-1][0]
        self.frames = [(ts_ns + later_ns, frame) for ts_ns, _, _, frame in made]
        pcap = write_pcap(path / "plant.pcap", iter(self.frames))
        self.folder.settings.write_text(f"learning_s = 1\n[[interface]]\nname='p'\npipe='{pcap}'\n")
        capture = _core.Capture(
            journal=self.folder.journal,
            pipes=[("p", str(pcap), [])],
            packets=(self.folder.packets, 10**9, 0, 0, 0),
            sensor="s1",
        )
        end = time.monotonic() + START_S
        while not capture.is_over() and time.monotonic() < end:
            time.sleep(0.05)
        assert capture.stop()
        settings = load(self.folder.settings)
        Analyst(self.folder, settings, Database(self.folder.database, settings)).run(lambda: True)


@pytest.fixture(scope="module")
def ring(tmp_path_factory: pytest.TempPathFactory) -> Ring:
    return Ring(tmp_path_factory.mktemp("ring") / "data")


@pytest.fixture
def store(ring: Ring) -> Iterator[Store]:
    opened = Store(ring.folder.database, people=ring.folder.people, live=ring.folder)
    yield opened
    opened.close()


@pytest.fixture
def client(store: Store) -> Iterator[TestClient[Any]]:
    for role in auth.ROLES:
        user = people.User(
            name=role,
            role=role,
            password=auth.hash_password("correct horse battery"),
            created_ns=1,
            failures=0,
            locked_until_ns=0,
        )
        people.add_user(store, user, by="test")
    with TestClient(create_app(store)) as opened:
        yield opened


def log_in(client: TestClient[Any], role: str = "analyst") -> None:
    body = {"name": role, "password": "correct horse battery"}
    assert client.post("/api/session", json=body).status_code == 201


def read(path: Path, *fields: str) -> list[list[str]]:
    """These fields of each frame, as tshark reads them."""
    if shutil.which("tshark") is None:
        pytest.skip("tshark is missing: make deps")
    words = [word for field in fields for word in ("-e", field)]
    done = subprocess.run(
        ["tshark", "-n", "-r", str(path), "-T", "fields", *words],
        check=True,
        capture_output=True,
        text=True,
    )
    return [line.split("\t") for line in done.stdout.splitlines()]


def times(path: Path) -> list[int]:
    return [int(row[0].replace(".", "")) for row in read(path, "frame.time_epoch")]


def get(client: TestClient[Any], path: Path, **params: Any) -> Path:
    answer = client.get("/api/packets", params=params)
    assert answer.status_code == 200, answer.text
    path.write_bytes(answer.content)
    return path


def between(ring: Ring, one: bytes, other: bytes) -> list[int]:
    """Times of the plant's IPv4 frames between two addresses."""
    return [
        ts_ns // 1000 * 1000
        for ts_ns, frame in ring.frames
        if frame[12:14] == b"\x08\0" and {frame[26:30], frame[30:34]} == {one, other}
    ]


def pair_of(ring: Ring) -> tuple[bytes, bytes]:
    frame = next(f for _, f in ring.frames if f[12:14] == b"\x08\0" and f[23] == 6)
    return frame[26:30], frame[30:34]


def text(address: bytes) -> str:
    return ".".join(map(str, address))


def test_a_slice_holds_exactly_the_frames_between_two_addresses(
    ring: Ring, client: TestClient[Any], tmp_path: Path
) -> None:
    """tshark finds every frame of the two, and no other; who took them is in the audit."""
    log_in(client)
    one, other = pair_of(ring)
    found = get(client, tmp_path / "s.pcapng", host=[text(other), text(one)])

    assert between(ring, one, other) == [ts // 1000 * 1000 for ts in times(found)]
    with client.app.state.store.people() as connection:
        rows = connection.exec_driver_sql("SELECT person, action, target FROM audit").all()
    assert ("analyst", "packets-downloaded") in {row[:2] for row in rows}
    assert any(text(one) in row[2] for row in rows)


def test_a_slice_of_a_time_holds_that_time(
    ring: Ring, client: TestClient[Any], tmp_path: Path
) -> None:
    """Both ends count."""
    log_in(client)
    whole = times(get(client, tmp_path / "all.pcapng"))
    assert len(whole) == len(ring.frames)
    start, end = whole[len(whole) // 3], whole[len(whole) // 2]
    moment = [
        f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(t // 10**9))}" for t in (start, end)
    ]
    some = times(get(client, tmp_path / "t.pcapng", start=moment[0], end=moment[1]))
    limits = [t // 10**9 * 10**9 for t in (start, end)]
    assert some == [t for t in whole if limits[0] <= t <= limits[1]]
    assert 0 < len(some) < len(whole)


def test_an_alert_a_device_and_a_connection_have_their_frames(
    client: TestClient[Any], tmp_path: Path
) -> None:
    """What proves an alert says so in its comment, the file says why it was made."""
    log_in(client)
    alerts = client.get("/api/alerts", params={"limit": 100}).json()["items"]
    alert = next(row for row in alerts if row["rule"] == "stop-then-download")
    found = get(client, tmp_path / "a.pcapng", alert=alert["id"])
    comments = [row[0] for row in read(found, "frame.comment")]
    assert any(f"Evidence of alert: {alert['title']}" in comment for comment in comments)
    assert b"sensor local: frames around the alert" in found.read_bytes()[:400]

    row = client.get("/api/connections", params={"limit": 50, "protocol": ["modbus"]}).json()
    connection = row["items"][0]
    path = get(client, tmp_path / "c.pcapng", connection=connection["id"])
    ends = {connection["client"]["address"], connection["server"]["address"]}
    port = str(connection["port"])
    for source, target, *ports in read(path, "ip.src", "ip.dst", "tcp.srcport", "tcp.dstport"):
        assert {source, target} == ends
        assert port in ports

    device = connection["server"]["device"]["id"]
    addresses = client.get(f"/api/devices/{device}").json()
    mine = {one["address"] for one in addresses["addresses"]}
    path = get(client, tmp_path / "d.pcapng", device=device)
    assert read(path, "eth.src")
    for fields in read(path, "eth.src", "eth.dst", "ip.src", "ip.dst"):
        assert mine & set(fields)


def test_a_slice_that_is_cut_says_so(client: TestClient[Any], tmp_path: Path) -> None:
    """The last frame carries the comment, and the file is not larger than asked for."""
    log_in(client)
    found = get(client, tmp_path / "s.pcapng", most_bytes=5000)
    comments = [row[0] for row in read(found, "frame.comment")]
    assert "cut the slice here" in comments[-1]
    assert not any("cut the slice" in one for one in comments[:-1])
    assert sum(int(row[0]) for row in read(found, "frame.cap_len")) <= 5000


@pytest.mark.parametrize(
    ("params", "status"),
    [
        ({"host": "10.0.0"}, 400),
        ({"host": "../../etc"}, 400),
        ({"start": "2026-01-02T00:00:00Z", "end": "2026-01-01T00:00:00Z"}, 400),
        ({"start": "yesterday"}, 400),
        ({"port": "0"}, 400),
        ({"host": "203.0.113.200"}, 404),
        ({"device": "0" * 32}, 404),
        ({"connection": "0" * 32}, 404),
        ({"alert": "0" * 32}, 404),
    ],
)
def test_what_cannot_be_is_refused(
    client: TestClient[Any], params: dict[str, str], status: int
) -> None:
    """In one sentence, and nothing is written."""
    log_in(client)
    answer = client.get("/api/packets", params=params)
    assert answer.status_code == status, answer.text
    assert answer.json()["detail"]


def test_who_may_not_take_packets_gets_none(client: TestClient[Any]) -> None:
    """Neither without log-in nor as a viewer."""
    assert client.get("/api/packets").status_code == 401
    log_in(client, "viewer")
    assert client.get("/api/packets").status_code == 403


def test_the_command_writes_the_same_frames(ring: Ring, tmp_path: Path) -> None:
    """And refuses a file that is there."""
    one, other = pair_of(ring)
    output = tmp_path / "out.pcapng"
    words = ["packets", "--data", str(ring.folder.path), "--output", str(output)]
    words += ["--host", text(one), "--host", text(other)]
    done = subprocess.run([*COMMAND, *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert f"{len(between(ring, one, other))} frames" in done.stdout
    assert between(ring, one, other) == [ts // 1000 * 1000 for ts in times(output)]
    again = subprocess.run([*COMMAND, *words], capture_output=True, text=True, check=False)
    assert (again.returncode, len(again.stderr.splitlines())) == (2, 1)
