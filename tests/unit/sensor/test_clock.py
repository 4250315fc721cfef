"""A clock that is set by a year or to 1970 while a sensor runs harms nothing that it knows."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import msgspec
import pytest
from sqlalchemy import select

from builders import START_NS, at, batch, binding, claim, connection, endpoint, operation, sighting
from otic import _core
from otic.facts import Batch, Epoch, Tick, encode
from otic.folder import DataFolder
from otic.sensor.analyst import Analyst
from otic.sensor.pins import Pins
from otic.settings import Settings
from otic.store import tables
from otic.store.database import Database
from otic.store.engine import open_engine
from support.store import content

YEAR_S = 365 * 86_400
SETTINGS = Settings(learning_s=5)
PLC, HMI = "10.0.0.1", "10.0.0.2"
MACS = {PLC: "28:63:36:00:00:01", HMI: "28:63:36:00:00:02"}


def known(s: float) -> list[Any]:
    """What the plant always shows, told at this second."""
    poll = connection(HMI, PLC)
    facts = [poll, operation(poll), claim(endpoint(PLC), "firmware", "V4.1")]
    for ip, mac in MACS.items():
        # Which endpoint came first decides which one names the device.
        facts += [endpoint(mac), endpoint(ip, s=0.1), sighting(mac, ip), binding(mac, ip)]
    return told(facts, s)


def stranger(ip: str, mac: str, s: float) -> list[Any]:
    return told([endpoint(mac), endpoint(ip), sighting(mac, ip), binding(mac, ip)], s)


def told(facts: list[Any], s: float) -> list[Any]:
    """These facts at this second."""
    later_ns = at(s) - START_NS
    return [msgspec.structs.replace(fact, ts_ns=fact.ts_ns + later_ns) for fact in facts]


class Line:
    """Batches of a sensor, one a second, on a clock that may be set."""

    def __init__(self) -> None:
        self.batches: list[Batch] = []
        self.s = 0.0
        self._epochs: list[Epoch] = []

    def second(self, *facts: Any) -> None:
        made = batch(len(self.batches), *facts, *self._epochs, s=self.s)
        number = len(self.batches)
        ticks = [Tick(name, at(self.s), number, True, 1, 60, {}) for name in ("eth1", "eth2")]
        self.batches.append(msgspec.structs.replace(made, ticks=ticks))
        self._epochs = []
        self.s += 1

    def set_to(self, s: float) -> None:
        self._epochs = [Epoch(at(self.s), at(s), "step", b"")]
        self.s = s


@pytest.fixture
def folder(tmp_path: Path) -> DataFolder:
    made = DataFolder(tmp_path / "data")
    made.create()
    return made


def append(folder: DataFolder, batches: list[Batch]) -> None:
    writer = _core.JournalWriter(str(folder.journal), "facts", "s", content="")
    for one in batches:
        writer.append(encode(one), one.end_ns)


def analysed(folder: DataFolder) -> Analyst:
    """An analysis that has read the journal to its end, and ended."""
    one = Analyst(folder, SETTINGS, Database(folder.database, SETTINGS))
    one.run(lambda: True)
    return one


def rows(folder: DataFolder, *columns: Any) -> list[tuple[Any, ...]]:
    engine = open_engine(folder.database)
    with engine.connect() as store:
        found = sorted(tuple(row) for row in store.execute(select(*columns)))
    engine.dispose()
    return found


def devices(folder: DataFolder) -> list[tuple[Any, ...]]:
    table = tables.devices
    return rows(folder, table.c.id, table.c.first_ns)


def alerts(folder: DataFolder) -> list[str]:
    return [rule for (rule,) in rows(folder, tables.alerts.c.rule)]


CLOCKS = [
    pytest.param(YEAR_S, id="a year ahead"),
    pytest.param(-YEAR_S, id="a year back"),
    pytest.param(-START_NS // 1_000_000_000, id="1970"),
]


@pytest.mark.parametrize("set_to", CLOCKS)
@pytest.mark.parametrize("restarts", [False, True], ids=["runs", "restarts"])
def test_a_clock_that_is_set_while_normal(folder: DataFolder, set_to: int, restarts: bool) -> None:
    """The plant is told again on each clock: same devices, no alert. A stranger is one, on both."""
    line = Line()

    def happens() -> list[str]:
        append(folder, line.batches[seen:])
        analysed(folder)
        before = content(folder.database, tables.memberships)
        if restarts:
            analysed(folder)
            assert content(folder.database, tables.memberships) == before
        return alerts(folder)

    seen = 0
    line.second(*known(line.s))
    for _ in range(8):
        line.second()
    assert happens() == []
    normal = devices(folder)
    assert len(normal) == 2

    seen = len(line.batches)
    line.set_to(set_to)
    line.second(*known(line.s))
    assert happens() == []
    assert devices(folder) == normal

    seen = len(line.batches)
    line.second(*stranger("10.0.0.66", "02:00:00:00:00:66", line.s))
    assert happens() == ["new-device"]

    seen = len(line.batches)
    line.set_to(100)
    line.second(*known(line.s))
    line.second(*stranger("10.0.0.77", "02:00:00:00:00:77", line.s))
    assert happens() == ["new-device"] * 2
    assert set(normal) < set(devices(folder))
    jumps = rows(folder, tables.epochs.c.before_ns, tables.epochs.c.after_ns)
    assert jumps == sorted([(at(9), at(set_to)), (at(set_to + 2), at(100))])


@pytest.mark.parametrize("set_to", CLOCKS)
def test_learning_counts_only_observed_seconds(folder: DataFolder, set_to: int) -> None:
    """Whatever the clock is set to while learning, five seconds of ticks end it, and not four."""
    line = Line()
    line.second(*known(line.s))
    line.second()
    line.set_to(set_to)
    line.second(*stranger("10.0.0.66", "02:00:00:00:00:66", line.s))
    line.second()
    append(folder, line.batches)
    assert analysed(folder).learning.active

    seen = len(line.batches)
    line.set_to(50)
    line.second()
    append(folder, line.batches[seen:])
    assert not analysed(folder).learning.active

    # All that was seen while learning is normal, and nothing else.
    seen = len(line.batches)
    line.second(*known(line.s), *stranger("10.0.0.66", "02:00:00:00:00:66", line.s))
    append(folder, line.batches[seen:])
    analysed(folder)
    assert alerts(folder) == []
    analysed(folder)
    assert alerts(folder) == []
    seen = len(line.batches)
    line.second(*stranger("10.0.0.77", "02:00:00:00:00:77", line.s))
    append(folder, line.batches[seen:])
    analysed(folder)
    assert alerts(folder) == ["new-device"]


@pytest.fixture
def pinned(folder: DataFolder) -> list[str]:
    """Three pins, written one after another on a clock that was set back before the last."""
    names = []
    for segment, mtime_s in enumerate((1_700_000_000, 1_700_000_060, 5), 1_700_000_000):
        name = f"{segment:032x}"
        index = folder.pins / f"{name}.msgpack"
        index.write_bytes(msgspec.msgpack.encode({"frames": [(segment, 1)]}))
        packets = folder.pins / f"{name}.pcapng"
        packets.write_bytes(bytes(1000))
        os.utime(packets, (mtime_s, mtime_s))
        names.append(name)
    return names


def test_the_oldest_pins_go_whatever_the_clock_says(folder: DataFolder, pinned: list[str]) -> None:
    """Pins go in the order of their segments, which only rise."""
    Pins(folder, most_bytes=2500).make_room()

    assert sorted(path.stem for path in folder.pins.glob("*.pcapng")) == pinned[1:]
