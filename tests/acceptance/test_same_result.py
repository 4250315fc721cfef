"""The same bytes give the same result: threads, runs, cut files, crashes."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from support.frames import MS_NS, SECOND_NS, START_NS, Host, Timed, arp, polling, write_pcap
from support.program import COMMAND, needs_shared, replay, run, sample


def plant(cells: int = 12, rounds: int = 20) -> list[Timed]:
    """Cells of a client and a server each, all at once, in the order of time."""
    frames: list[Timed] = []
    for cell in range(cells):
        client = Host(mac=f"02:00:00:00:{cell:02x}:01", ip=f"10.0.{cell}.1")
        server = Host(mac=f"02:00:00:00:{cell:02x}:02", ip=f"10.0.{cell}.2")
        begin = START_NS + cell * 7 * MS_NS
        frames.append((begin - MS_NS, arp(client.mac, client.ip, server.ip)))
        frames.append((begin - MS_NS, arp(server.mac, server.ip, client.ip)))
        frames += polling(client, server, rounds=rounds, at_ns=begin)
    return sorted(frames, key=lambda frame: frame[0])


@pytest.fixture
def capture(tmp_path: Path) -> Path:
    """The plant in one file."""
    return write_pcap(tmp_path / "plant.pcap", plant())


def test_threads_and_runs_give_the_same_bytes(capture: Path) -> None:
    """One thread, two threads and a second run print the same JSON, byte for byte."""
    first = replay(capture, options=("--threads", 1))

    assert first == replay(capture, options=("--threads", 2))
    assert first == replay(capture, options=("--threads", 1))


@needs_shared
def test_threads_give_the_same_bytes_on_the_samples() -> None:
    """The same holds for real captures, one in fifty."""
    for path in sample(tenth=True)[::5]:
        done = [run("replay", path, "--format", "json", "--threads", threads) for threads in (1, 2)]
        assert done[0].returncode == 0, (path.name, done[0].stderr)
        assert done[0].stdout == done[1].stdout, path.name


def ordinals(found: Any, first_frames: dict[str, int]) -> Any:
    """The document with each frame named by its ordinal in the run."""
    if isinstance(found, dict):
        if {"file", "frame", "offset", "length"} <= found.keys():
            return {**found, "file": "", "frame": found["frame"] + first_frames[found["file"]]}
        return {
            key: ordinals(value, first_frames) for key, value in found.items() if key != "captures"
        }
    if isinstance(found, list):
        return [ordinals(value, first_frames) for value in found]
    return found


@pytest.mark.parametrize("share", [0.1, 0.5, 0.77])
def test_a_cut_file_is_the_same_run(capture: Path, tmp_path: Path, share: float) -> None:
    """A capture cut in two, given together, says what the whole one says."""
    frames = plant()
    cut = int(len(frames) * share)
    while frames[cut - 1][0] > frames[cut][0]:
        cut += 1
    first = write_pcap(tmp_path / "first.pcap", frames[:cut])
    second = write_pcap(tmp_path / "second.pcap", frames[cut:])

    whole = json.loads(replay(capture))
    parts = json.loads(replay(first, second))

    assert ordinals(whole, {"plant.pcap": 0}) == ordinals(
        parts, {"first.pcap": 0, "second.pcap": cut}
    )


def test_files_given_together_are_merged_by_time(capture: Path, tmp_path: Path) -> None:
    """Two files that overlap in time are read as one stream."""
    frames = plant()
    even = write_pcap(tmp_path / "even.pcap", frames[::2])
    odd = write_pcap(tmp_path / "odd.pcap", frames[1::2])

    whole, parts = json.loads(replay(capture)), json.loads(replay(even, odd))

    assert [row["count"] for row in whole["operations"]] == [
        row["count"] for row in parts["operations"]
    ]
    assert whole["coverage"]["frames"] == parts["coverage"]["frames"]


def test_a_killed_run_goes_on_where_it_stopped(tmp_path: Path) -> None:
    """Kill -9 at random moments, then the same command: the bytes of an undisturbed run."""
    seconds = [
        (ts_ns + minute * 60 * SECOND_NS, frame)
        for minute in range(40)
        for ts_ns, frame in plant(cells=20, rounds=8)
    ]
    capture = write_pcap(tmp_path / "long.pcap", seconds)
    undisturbed = replay(capture, options=("--database", tmp_path / "whole.db"))
    database = tmp_path / "killed.db"

    def written() -> int:
        return sum(path.stat().st_size for path in tmp_path.glob("killed.db*") if path.is_file())

    chance = random.Random(20)
    killed = 0
    for _ in range(6):
        before = written()
        process = subprocess.Popen(
            [*COMMAND, "replay", capture, "--format", "json", "--database", database],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        # From the first bytes it writes on, however slow the machine is just now.
        while process.poll() is None and written() == before:
            time.sleep(0.002)
        time.sleep(chance.uniform(0, 0.4))
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
            killed += 1
        process.wait()

    assert killed
    assert undisturbed == replay(capture, options=("--database", database))


def test_a_database_refuses_other_captures(capture: Path, tmp_path: Path) -> None:
    """An interrupted run is not continued with another file."""
    other = write_pcap(tmp_path / "other.pcap", plant(cells=3))
    database = tmp_path / "one.db"
    replay(capture, options=("--database", database))

    done = run("replay", other, "--format", "json", "--database", database)

    assert done.returncode == 2
    assert done.stdout == b""
    assert done.stderr.decode().count("\n") == 1
