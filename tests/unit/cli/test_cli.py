"""The command line refuses in one line and answers with the right exit code."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

CAPTURES = Path(__file__).parents[4] / "shared" / "captures"


def otic(*arguments: str | Path, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "otic", *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        cwd=cwd,
    )


def frame(number: int) -> bytes:
    """A broadcast ARP request of one host."""
    mac = bytes([0x28, 0x63, 0x36, 0, 0, number])
    ip = bytes([10, 0, 0, number])
    arp = bytes.fromhex("0001080006040001") + mac + ip + bytes(6) + bytes([10, 0, 0, 254])
    return b"\xff" * 6 + mac + b"\x08\x06" + arp + bytes(18)


def capture(path: Path, hosts: list[int]) -> Path:
    data = bytes.fromhex("d4c3b2a1020004000000000000000000ffff000001000000")
    for second, number in enumerate(hosts):
        raw = frame(number)
        data += (1_700_000_000 + second).to_bytes(4, "little") + bytes(4)
        data += len(raw).to_bytes(4, "little") * 2 + raw
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("kind", ["missing", "folder", "empty", "text", "none"])
def test_what_is_no_capture_is_refused_in_one_line(tmp_path: Path, kind: str) -> None:
    """Missing, a folder, 0 bytes or no capture: exit code 2 and one line, never a traceback."""
    path = tmp_path / "x.pcap"
    if kind == "folder":
        path.mkdir()
    elif kind != "missing":
        path.write_bytes(b"" if kind == "empty" else b"this is not a capture at all")
    run = otic("replay", *([path] if kind != "none" else []))

    assert 2 == run.returncode
    assert 1 == len(run.stderr.strip().splitlines()), run.stderr
    assert "" == run.stdout


def test_replay_says_what_it_found(tmp_path: Path) -> None:
    """JSON and text show the hosts; the JSON is the same for any number of threads."""
    path = capture(tmp_path / "arp.pcap", [1, 2, 3])
    one = otic("replay", path, "--format", "json")
    two = otic("replay", path, "--format", "json", "--threads", "2")

    assert (0, one.stdout) == (one.returncode, two.stdout)
    assert ["10.0.0.1", "10.0.0.2", "10.0.0.3"] == sorted(
        device["name"] for device in json.loads(one.stdout)["devices"]
    )
    assert "Devices: 3" in otic("replay", path).stdout


def test_check_finds_what_is_new(tmp_path: Path) -> None:
    """Exit code 0 against one's own baseline, 1 and the deviation when a host is new."""
    known = capture(tmp_path / "known.pcap", [1, 2])
    baseline = tmp_path / "baseline.txt"
    assert 0 == otic("replay", known, "--save-baseline", baseline).returncode
    assert 0 == otic("check", baseline, known).returncode
    run = otic("check", baseline, capture(tmp_path / "new.pcap", [1, 2, 3]))

    assert 1 == run.returncode
    assert "28:63:36:00:00:03" in run.stdout
    assert 2 == otic("check", known, known).returncode


def test_show_gives_the_bytes_and_the_value(tmp_path: Path) -> None:
    """Evidence text names frame bytes; show prints them and what they decode to."""
    path = capture(tmp_path / "arp.pcap", [1])
    run = otic("show", f"{path}:1:28:4", "--decode", "ip")

    assert 0 == run.returncode
    assert "ip: 10.0.0.1" in run.stdout
    assert 2 == otic("show", f"{path}:9:28:4").returncode
    assert 2 == otic("show", f"{path}:1:9999:4").returncode
    assert 2 == otic("show", "nonsense").returncode


def test_a_database_keeps_the_result_and_its_packets(tmp_path: Path) -> None:
    """A second run gives the same JSON; other files are refused in one line."""
    path = capture(tmp_path / "arp.pcap", [1, 2, 3])
    database = tmp_path / "otic.db"
    first = otic("replay", path, "--format", "json", "--database", database)
    again = otic("replay", path, "--format", "json", "--database", database)
    plain = otic("replay", path, "--format", "json")

    assert 0 == first.returncode, first.stderr
    assert plain.stdout == first.stdout == again.stdout
    other = otic("replay", capture(tmp_path / "other.pcap", [9]), "--database", database)
    assert (2, 1) == (other.returncode, len(other.stderr.strip().splitlines()))


def test_learning_by_options(tmp_path: Path) -> None:
    """--learn, --learn-until and --learn-fraction learn first and then alert."""
    path = capture(tmp_path / "arp.pcap", [1, 2, 3, 4])
    known = capture(tmp_path / "known.pcap", [1, 2, 3])
    for options in (
        ["--learn", known],
        ["--learn-until", "2023-11-14T22:13:22Z"],
        ["--learn-fraction", "0.7"],
    ):
        run = otic("replay", path, "--format", "json", *options)
        made = json.loads(run.stdout)
        new = [a["sources"] for a in made["alerts"] if a["rule"] == "new-device"]

        assert [["28:63:36:00:00:04"]] == new, options
        assert not made["would_alert"]
    assert 2 == otic("replay", path, "--learn-fraction", "2").returncode
    assert 2 == otic("replay", path, "--learn-until", "soon").returncode


def test_settings_are_read_and_refused(tmp_path: Path) -> None:
    """otic.toml names devices; a misspelt key is one line and exit code 2."""
    path = capture(tmp_path / "arp.pcap", [1])
    config = tmp_path / "otic.toml"
    config.write_text('[[device]]\naddress = "10.0.0.1"\nname = "Press 7"\n')
    run = otic("replay", path, "--format", "json", "--config", config)
    assert ["Press 7"] == [device["name"] for device in json.loads(run.stdout)["devices"]]
    config.write_text('[[device]]\nadress = "10.0.0.1"\n')
    run = otic("replay", path, "--config", config)
    assert 2 == run.returncode
    assert "otic.toml" in run.stderr


@pytest.mark.skipif(not CAPTURES.is_dir(), reason="needs the shared captures beside the project")
def test_real_captures_are_equal_for_any_number_of_threads() -> None:
    """Ten captures of the shared collection give the same bytes with one and two threads."""
    for path in sorted(CAPTURES.glob("*.pcap"))[:200:20]:
        one = otic("replay", path, "--format", "json")
        two = otic("replay", path, "--format", "json", "--threads", "2")

        assert (0, one.stdout) == (one.returncode, two.stdout), path.name
