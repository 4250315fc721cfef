"""A live sensor on a cable: it counts every frame, says what it missed, and sends nothing."""

from __future__ import annotations

import os
import random
import shutil
import signal
import struct
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from otic import _core
from otic.cli.examples import frames_of
from otic.cli.protocol import TEMPLATE
from otic.folder import DataFolder
from otic.plant import demo
from otic.protocols import parse
from otic.sensor.analyst import Analyst
from otic.settings import load
from otic.store import tables
from otic.store.database import Database
from support.cable import MONITOR, PLANT, Cable
from support.frames import write_pcap
from support.sensor import Sensor
from support.store import content

SETTINGS = """
learning_s = 1
[[interface]]
name = "mon0"
ring_bytes = {ring_bytes}
filter = "{filter}"
[console]
port = 0
"""


def settings(*, ring_bytes: int = 67_108_864, wanted: str = "") -> str:
    return SETTINGS.format(ring_bytes=ring_bytes, filter=wanted)


@pytest.fixture
def cable() -> Iterator[Cable]:
    made = Cable()
    yield made
    made.close()


@pytest.fixture
def start(cable: Cable, tmp_path: Path) -> Iterator[Callable[..., Sensor]]:
    """Starts a sensor on the monitor's end of the cable."""
    started: list[Sensor] = []

    def on_the_cable(text: str) -> Sensor:
        # Its processes run in the namespace and write outside it.
        enter = cable.enter(cable.sensor)
        started.append(Sensor(tmp_path / "data", text, enter))
        return started[-1]

    yield on_the_cable
    for sensor in started:
        sensor.close()


@pytest.fixture(scope="session")
def plant(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo plant's frames as a pcap: quiet work, then the visitor."""
    path = tmp_path_factory.mktemp("plant") / "plant.pcap"
    return write_pcap(path, ((ts_ns, frame) for ts_ns, _, _, frame in demo.demo().frames))


def refolded(folder: DataFolder, to: Path) -> dict[str, list[str]]:
    """What the journal alone gives, read by a fresh analysis."""
    again = DataFolder(to)
    again.create()
    shutil.copytree(folder.journal, again.journal, dirs_exist_ok=True)
    chosen = load(folder.settings)
    Analyst(again, chosen, Database(again.database, chosen)).run(lambda: True)
    return content(again.database, tables.memberships)


def alerts(sensor: Sensor) -> set[tuple[bytes, str]]:
    """Id and rule of every alert."""
    return set(sensor.read("SELECT id, rule FROM alerts"))


def rules(sensor: Sensor) -> set[str]:
    return {rule for (rule,) in sensor.read("SELECT DISTINCT rule FROM alerts")}


def test_every_frame_counts_once_and_nothing_is_sent(
    start: Callable[..., Sensor], cable: Cable, plant: Path, tmp_path: Path
) -> None:
    """Sent = read; the incident alerts, with its frames; the peer hears nothing from the sensor."""
    sensor = start(settings())
    heard_before = cable.counter(cable.plant, PLANT, "rx_packets")
    sent = cable.send(plant, rate=2000)
    sensor.until(lambda: sensor.frames() >= sent)
    sensor.until(lambda: {"stop-then-download", "port-scan"} <= rules(sensor))
    sensor.until(lambda: len(list(sensor.folder.pins.glob("*.pcapng"))) >= 3)

    assert sensor.frames() == sent
    assert not sum(sensor.drops().values())
    assert cable.counter(cable.plant, PLANT, "rx_packets") == heard_before
    assert cable.counter(cable.sensor, MONITOR, "tx_packets") == 0

    # What the kernel says of the process that captures, now.
    status = Path(f"/proc/{sensor.process_id('capture')}/status").read_text()
    told = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    assert int(told["CapEff"], 16) == int(told["CapPrm"], 16) == int(told["CapBnd"], 16) == 0
    assert (told["NoNewPrivs"], told["Seccomp"]) == ("1", "2")

    sensor.stop()
    # Every frame is in the packet ring under its number, or counted as not kept (a slow disk).
    packets = sensor.folder.packets
    kept = 0
    for path in sorted(packets.glob("*.pcapng")):
        rows = _core.ring_frames(packets, int(path.stem), list(range(1, sent + 1)))
        kept += len({row[1] for row in rows})
    assert kept + sensor.not_kept() == sent
    assert kept > 0
    assert content(sensor.folder.database, tables.memberships) == refolded(
        sensor.folder, tmp_path / "again"
    )


def test_overload_is_counted_exactly(
    start: Callable[..., Sensor], cable: Cable, plant: Path
) -> None:
    """With a tiny ring and a sender that does not wait: sent = read + dropped, three times."""
    sensor = start(settings(ring_bytes=2_097_152))
    expected = 0
    for _ in range(3):
        capture = sensor.process_id("capture")
        assert capture is not None
        os.kill(capture, signal.SIGSTOP)
        expected += cable.send(plant, times=8)
        os.kill(capture, signal.SIGCONT)
        wanted = expected
        sensor.until(lambda wanted=wanted: sensor.frames() + sum(sensor.drops().values()) >= wanted)  # type: ignore[misc]
        assert sensor.frames() + sum(sensor.drops().values()) == expected
    assert sensor.drops()["ring"] > 0
    assert set(sensor.drops()) == {"ring"}


def test_a_pulled_cable_is_a_blind_time_and_no_device_alert(
    start: Callable[..., Sensor], cable: Cable, plant: Path
) -> None:
    """The interface says within ten seconds that it has no link; devices say nothing."""
    sensor = start(settings())
    cable.send(plant, rate=5000)
    sensor.until(lambda: "stop-then-download" in rules(sensor))
    time.sleep(2)
    before = alerts(sensor)
    cable.link("down")
    sensor.until(lambda: "interface-down" in rules(sensor), 10)
    time.sleep(2)
    cable.link("up")
    sensor.until(lambda: sensor.read("SELECT up FROM interfaces") == [(1,)], 10)
    blinds = sensor.read("SELECT interface, cause, end_ns - start_ns FROM blinds")

    assert [row[:2] for row in blinds] == [("mon0", "link-down")]
    assert 2e9 < blinds[0][2] < 12e9
    assert [rule for _, rule in alerts(sensor) - before] == ["interface-down"]


def test_a_filter_changes_while_frames_come(
    start: Callable[..., Sensor], cable: Cable, plant: Path
) -> None:
    """otic.toml is edited: capture goes on, and from then on reads what the new filter wants."""
    sensor = start(settings())
    first = sensor.process_id("capture")
    sent = cable.send(plant, rate=5000)
    sensor.until(lambda: sensor.frames() >= sent)
    sensor.folder.settings.write_text(settings(wanted="port 502"))
    sensor.until(lambda: bool(sensor.events("filter_changed")))
    # A filter that means nothing changes nothing.
    sensor.folder.settings.write_text(settings(wanted="porte 502"))
    sensor.until(lambda: bool(sensor.events("settings_refused")))
    cable.send(plant, rate=5000)
    wanted = sum(
        502 in struct.unpack(">HH", frame[34:38])
        for _, _, _, frame in demo.demo().frames
        if frame[12:14] == b"\x08\0" and frame[23] in (6, 17)
    )
    sensor.until(lambda: sensor.frames() >= sent + wanted)
    time.sleep(1.5)

    assert sensor.frames() == sent + wanted
    assert sensor.process_id("capture") == first
    assert sensor.read("SELECT count(*) FROM blinds") == [(0,)]


def test_a_protocol_is_defined_while_frames_come(
    start: Callable[..., Sensor], cable: Cable, tmp_path: Path
) -> None:
    """A definition appears: capture goes on, and the open session that nobody knew is read."""
    folder = tmp_path / "definitions"
    folder.mkdir()
    text = TEMPLATE.format(name="plant-bus", title="Plant bus")
    own = parse(text, "own.toml")
    first, second = tmp_path / "first.pcap", tmp_path / "second.pcap"
    # The same session goes on: unknown at first, and past the tries that a flow is given.
    frames = [frame for _, _, _, frame in frames_of(own, own.examples[0]).frames]
    write_pcap(first, enumerate(frames[:5]))
    write_pcap(second, enumerate(frames[5:]))
    sensor = start(f'protocols = ["{folder}"]\n' + settings())
    capture = sensor.process_id("capture")
    sent = cable.send(first, rate=1000)
    sensor.until(lambda: sensor.frames() >= sent)
    named = "SELECT count(*) FROM connections WHERE protocol = 'plant-bus'"
    assert sensor.read(named) == [(0,)]
    # One that means nothing changes nothing.
    (folder / "own.toml").write_text(text.replace('action = "read"', 'action = "reed"'))
    sensor.until(lambda: bool(sensor.events("definitions_refused")))
    (folder / "own.toml").write_text(text)
    sensor.until(lambda: len(sensor.events("definitions_changed")) >= 2)
    cable.send(second, rate=1000)
    sensor.until(lambda: sensor.read(named) == [(1,)])

    assert sensor.process_id("capture") == capture
    assert sensor.read("SELECT count(*) FROM blinds") == [(0,)]


def test_processes_die_and_nothing_counts_twice(
    start: Callable[..., Sensor], cable: Cable, plant: Path, tmp_path: Path
) -> None:
    """kill -9 of each process at random moments under traffic: the store is what the journal says,
    and each stop of capture is a blind time.
    """
    chance = random.Random(4)
    sensor = start(settings())
    seconds = float(os.environ.get("OTIC_KILL_SECONDS", "12"))
    end = time.monotonic() + seconds
    killed: dict[str, int] = {}
    while time.monotonic() < end:
        cable.send(plant, rate=4000)
        name = chance.choice(("capture", "analysis", "web"))
        process = sensor.process_id(name)
        if process is None:
            continue
        time.sleep(chance.random())
        try:
            os.kill(process, signal.SIGKILL)
        except ProcessLookupError:
            continue
        killed[name] = killed.get(name, 0) + 1
        sensor.until(lambda name=name, old=process: sensor.process_id(name) not in (None, old), 60)  # type: ignore[misc]
    sensor.until(lambda: all(map(sensor.process_id, ("capture", "analysis", "web"))), 60)
    last = sensor.read("SELECT max(last_ns) FROM interfaces")[0][0]
    sensor.until(lambda: sensor.read("SELECT max(last_ns) FROM interfaces")[0][0] > last, 60)
    sensor.stop()

    print(f"{seconds:.0f} s: killed {killed}, {sensor.frames()} frames read, {sensor.drops()} lost")
    assert killed
    assert content(sensor.folder.database, tables.memberships) == refolded(
        sensor.folder, tmp_path / "again"
    )
    causes = sensor.read("SELECT count(*) FROM blinds WHERE cause = 'restart'")
    assert causes == [(killed.get("capture", 0),)]
