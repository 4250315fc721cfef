"""What cannot be done is said in one line, with exit code 2; what can be read, is read."""

from __future__ import annotations

import gzip
import socket
from pathlib import Path

import pytest
import zstandard

from support.frames import (
    ETHERNET,
    MS_NS,
    RAW_IP,
    START_NS,
    Host,
    ipv4,
    pcap,
    pcapng,
    polling,
    udp,
    write_pcap,
)
from support.program import document, replay, run

CLIENT = Host(mac="02:00:00:00:00:01", ip="10.0.0.1")
SERVER = Host(mac="02:00:00:00:00:02", ip="10.0.0.2")
FRAMES = polling(CLIENT, SERVER)


def refused(*arguments: object) -> str:
    """The one line that a refused command prints."""
    done = run(*arguments)
    said = done.stderr.decode()
    assert done.returncode == 2, said
    assert done.stdout == b""
    assert said.startswith("otic: ")
    assert said.count("\n") == 1, said
    return said


def test_missing_file(tmp_path: Path) -> None:
    """A capture that is not there."""
    assert "missing.pcap" in refused("replay", tmp_path / "missing.pcap")


def test_directory(tmp_path: Path) -> None:
    """A folder instead of a capture."""
    assert "directory" in refused("replay", tmp_path)


def test_empty_file(tmp_path: Path) -> None:
    """A file of 0 bytes."""
    (tmp_path / "empty.pcap").touch()

    assert "empty.pcap" in refused("replay", tmp_path / "empty.pcap")


def test_no_capture(tmp_path: Path) -> None:
    """A file that is no capture."""
    (tmp_path / "notes.pcap").write_text("these are notes, not frames\n" * 20)

    assert "notes.pcap" in refused("replay", tmp_path / "notes.pcap")


def test_one_bad_file_among_good_ones(tmp_path: Path) -> None:
    """One file that cannot be read stops the run before it starts, by name."""
    good = write_pcap(tmp_path / "good.pcap", FRAMES)

    assert "missing.pcap" in refused("replay", good, tmp_path / "missing.pcap")


def test_damaged_database(tmp_path: Path) -> None:
    """A database that is none."""
    capture = write_pcap(tmp_path / "good.pcap", FRAMES)
    (tmp_path / "broken.db").write_bytes(b"SQLite format 3\0" + b"\x07" * 5000)

    assert "broken.db" in refused("replay", capture, "--database", tmp_path / "broken.db")


def test_occupied_port(tmp_path: Path) -> None:
    """The console's port is taken."""
    pytest.importorskip("otic.api.app")
    capture = write_pcap(tmp_path / "good.pcap", FRAMES)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = run("replay", capture, "--database", tmp_path / "a.db", "--serve", "--port", port)

    assert done.returncode == 2
    said = done.stderr.decode().strip().splitlines()
    assert str(port) in said[-1]
    assert not any("Traceback" in line for line in said)


def test_no_frames_is_no_error(tmp_path: Path) -> None:
    """A capture without a frame is read: nothing was there."""
    found = document(write_pcap(tmp_path / "none.pcap", []))

    assert found["coverage"]["frames"] == 0
    assert found["devices"] == []


@pytest.mark.parametrize("missing_bytes", [1, 20, 80])
def test_a_cut_off_capture_is_read_to_the_cut(tmp_path: Path, missing_bytes: int) -> None:
    """The end of the file is missing: what is there counts, and the cut is said."""
    whole = pcap(FRAMES)
    (tmp_path / "cut.pcap").write_bytes(whole[:-missing_bytes])

    found = document(tmp_path / "cut.pcap")

    lost = 1 if missing_bytes < 76 else 2
    assert found["captures"][0]["cut_off"]
    assert found["captures"][0]["frames"] == len(FRAMES) - lost
    assert found["operations"]


def test_compressed_captures(tmp_path: Path) -> None:
    """Gzip and zstd files are read as what they hold."""
    plain = write_pcap(tmp_path / "same.pcap", FRAMES)
    expected = document(plain)
    for name, data in {
        "gzip": gzip.compress(plain.read_bytes()),
        "zstd": zstandard.compress(plain.read_bytes()),
    }.items():
        folder = tmp_path / name
        folder.mkdir()
        (folder / "same.pcap").write_bytes(data)

        found = document(folder / "same.pcap")

        for part in ("devices", "connections", "operations", "changes", "events", "coverage"):
            assert found[part] == expected[part], (name, part)


def test_two_interfaces_of_two_link_types(tmp_path: Path) -> None:
    """A pcapng file with an Ethernet and a raw IP interface."""
    question = bytes.fromhex("00010100000100000000000003706c63000001 0001".replace(" ", ""))
    bare = ipv4("10.1.0.1", "10.1.0.2", 17, udp("10.1.0.1", "10.1.0.2", (5353, 53), question))
    frames = [(0, ts_ns, frame) for ts_ns, frame in FRAMES]
    frames.append((1, START_NS + 900 * MS_NS, bare))
    (tmp_path / "two.pcapng").write_bytes(pcapng([ETHERNET, RAW_IP], frames))

    found = document(tmp_path / "two.pcapng")

    assert len(found["captures"][0]["link_types"]) == 2
    assert {"modbus"} <= {row["protocol"] for row in found["connections"]}
    assert "10.1.0.1" in {ip for device in found["devices"] for ip in device["ips"]}


def test_an_unknown_link_type_is_coverage(tmp_path: Path) -> None:
    """Frames that cannot be decoded are counted, not refused."""
    capture = write_pcap(tmp_path / "odd.pcap", FRAMES, link_type=147)

    found = document(capture)

    assert sum(found["coverage"]["undecoded_link_types"].values()) == len(FRAMES)


def test_an_unknown_option_is_refused(tmp_path: Path) -> None:
    """An option that does not exist: exit code 2, no traceback."""
    done = run("replay", "--no-such-option", tmp_path / "a.pcap")

    assert done.returncode == 2
    assert b"Traceback" not in done.stderr


def test_a_closed_pipe_is_no_error(tmp_path: Path) -> None:
    """The JSON is one document that ends with a line end or a brace, nothing else around it."""
    capture = write_pcap(tmp_path / "good.pcap", FRAMES)

    assert replay(capture).strip()[:1] == b"{"
