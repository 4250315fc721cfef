"""A disk that fills up: what gives way does so in the stated order, is counted, and comes back."""

from __future__ import annotations

import shutil
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import pytest

from otic import _core
from otic.folder import DataFolder
from otic.plant import demo
from otic.sensor.analyst import Analyst
from otic.settings import load
from otic.store import tables
from otic.store.database import Database
from support.cable import Cable
from support.frames import arp, write_pcap
from support.sensor import Sensor
from support.store import content

SETTINGS = """
learning_s = 1
[[interface]]
name = "mon0"
ring_bytes = 2097152
[console]
port = 0
"""

DISK = "256m"


@pytest.fixture
def cable() -> Iterator[Cable]:
    made = Cable()
    yield made
    made.close()


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A small disk of its own."""
    path = tmp_path / "disk"
    path.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={DISK}", "tmpfs", str(path)],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        pytest.skip(f"the kernel withholds mounting: {done.stderr.strip()}")
    yield path
    subprocess.run(["umount", "--lazy", str(path)], check=True)


@pytest.fixture
def sensor(cable: Cable, disk: Path) -> Iterator[Sensor]:
    made = Sensor(disk / "data", SETTINGS, cable.enter(cable.sensor))
    yield made
    made.close()


class Held:
    """The journal of a sensor, with the segments that it drops: held open since they were begun."""

    def __init__(self, journal: Path) -> None:
        self._journal = journal
        self._files: dict[str, BinaryIO] = {}
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()

    def _watch(self) -> None:
        while not self._ended.wait(0.02):
            for path in self._journal.glob("*.journal"):
                if path.name not in self._files:
                    self._files[path.name] = path.open("rb")

    def copy(self, to: Path) -> None:
        """All of it, in another folder."""
        self.close()
        for name, file in self._files.items():
            with (to / name).open("wb") as copied:
                shutil.copyfileobj(file, copied)

    def close(self) -> None:
        self._ended.set()
        self._thread.join()


@pytest.fixture
def held(sensor: Sensor) -> Iterator[Held]:
    made = Held(sensor.folder.journal)
    yield made
    made.close()


def fill(disk: Path) -> None:
    """Somebody else's files take all there is."""
    with (disk / f"other-{time.monotonic_ns()}").open("wb", buffering=0) as file:
        for size in (1 << 20, 1 << 12):
            try:
                while True:
                    file.write(bytes(size))
            except OSError:
                continue


def stranger(path: Path, number: int) -> tuple[str, Path]:
    """The MAC of a host that nobody knows, and a capture in which it speaks."""
    ip = f"10.99.0.{number}"
    mac = f"02:99:00:00:00:{number:02x}"
    return mac, write_pcap(path / f"stranger-{number}.pcap", [(1, arp(mac, ip, ip))])


def processes(sensor: Sensor) -> list[int | None]:
    return [sensor.process_id(name) for name in ("capture", "analysis", "web")]


def ring_bytes(sensor: Sensor) -> int:
    return sum(path.stat().st_size for path in sensor.folder.packets.glob("*.pcapng"))


def waits(sensor: Sensor) -> bool:
    """Whether its analysis waits for room."""
    return len(sensor.events("disk_full")) > len(sensor.events("disk_has_room"))


def alerted(sensor: Sensor, address: str) -> bool:
    query = f"SELECT count(*) FROM alert_parties WHERE address = '{address}'"
    return bool(sensor.read(query)[0][0])


def test_a_full_disk_takes_in_the_stated_order_and_gives_back(
    sensor: Sensor, cable: Cable, disk: Path, held: Held, tmp_path: Path
) -> None:
    """First the packet ring, then pins, then time; alerts come as long as they can be written;
    what was missed is counted exactly; no process ends; with room everything goes on.
    """
    plant = write_pcap(
        tmp_path / "plant.pcap", ((ts_ns, frame) for ts_ns, _, _, frame in demo.demo().frames)
    )
    sensor.until(lambda: bool(sensor.events("learning_finished")), 30)
    started = processes(sensor)
    sent = cable.send(plant, rate=4000)
    sensor.until(lambda: len(list(sensor.folder.pins.glob("*.pcapng"))) >= 3)
    big = write_pcap(
        tmp_path / "big.pcap", [(1, bytes.fromhex("02000000000102000000000288b5") + bytes(1486))]
    )
    # The ring holds some forty megabytes.
    sent += cable.send(big, rate=8000, times=28_000)
    sensor.until(lambda: sensor.frames() + sum(sensor.drops().values()) >= sent)
    sensor.until(lambda: ring_bytes(sensor) > 30e6)
    before = sensor.not_kept()

    # The ring gives way, so that alerts can still be written.
    fill(disk)
    sensor.until(lambda: ring_bytes(sensor) < 32e6)
    host, frames = stranger(tmp_path, 1)
    sent += cable.send(frames)
    sensor.until(lambda: alerted(sensor, host))
    assert processes(sensor) == started
    # The analysis may have waited for the ring, but not longer; pins are where they were.
    assert not waits(sensor)
    assert not sensor.events("pin_dropped")

    # More is taken, until the ring has nothing more to give: pins go, then the analysis waits.
    def squeezed() -> bool:
        fill(disk)
        return waits(sensor) and not list(sensor.folder.pins.glob("*.pcapng"))

    sensor.until(squeezed, 60)
    assert sensor.events("pin_dropped")
    assert ring_bytes(sensor) == 0
    fill(disk)
    end = time.monotonic() + 40
    while time.monotonic() < end and not sensor.events("journal_cannot_be_written"):
        sent += cable.send(plant, rate=4000)
        fill(disk)
    assert sensor.events("journal_cannot_be_written")
    # Capture waits for the journal by now or soon: what its rings cannot hold is counted.
    host, frames = stranger(tmp_path, 2)
    sent += cable.send(plant, rate=4000)
    sent += cable.send(frames)
    time.sleep(1)
    assert processes(sensor) == started
    assert not alerted(sensor, host)

    # Room again.
    for path in disk.glob("other-*"):
        path.unlink()
    sensor.until(lambda: bool(sensor.events("journal_written_again")))
    sensor.until(lambda: not waits(sensor))
    sensor.until(lambda: sensor.frames() + sum(sensor.drops().values()) >= sent, 60)
    assert sensor.frames() + sum(sensor.drops().values()) == sent
    host, frames = stranger(tmp_path, 3)
    sent += cable.send(frames)
    sensor.until(lambda: alerted(sensor, host))

    def kept_again() -> bool:
        # For half a second after the disk refused a frame the ring does without.
        nonlocal sent
        sent += cable.send(frames)
        return ring_bytes(sensor) > 0

    sensor.until(kept_again)
    assert processes(sensor) == started
    sensor.until(lambda: sensor.not_kept() > before)
    sensor.stop()

    # What was read is in the ring or was given up by it, and the store is what the journal says.
    kept = sum(
        len(_core.ring_frames(sensor.folder.packets, int(path.stem), list(range(1, sent + 1))))
        for path in sensor.folder.packets.glob("*.pcapng")
    )
    assert 0 < kept <= sensor.frames() - sensor.not_kept()
    again = DataFolder(tmp_path / "again")
    again.create()
    held.copy(again.journal)
    chosen = load(sensor.folder.settings)
    Analyst(again, chosen, Database(again.database, chosen)).run(lambda: True)
    assert content(sensor.folder.database, tables.memberships) == content(
        again.database, tables.memberships
    )
