"""`otic doctor --proof` on real sensors: what the kernel says of a process that listens."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from support.cables import MONITOR, cable
from support.sensors import QUIET, otic, running

FRAME = bytes.fromhex("ffffffffffff28633600000108060001080006040001286336000001") + bytes(32)


def doctor(within: list[str], *arguments: object) -> tuple[int, dict[str, Any]]:
    """Exit code and document of `otic doctor`."""
    command = [*within, *otic("doctor", *arguments, "--format", "json")]
    done = subprocess.run(command, capture_output=True, check=False, timeout=120)
    assert done.returncode in (0, 1), done.stderr.decode()
    document: dict[str, Any] = json.loads(done.stdout)
    return done.returncode, document


def test_a_sensor_on_a_cable_cannot_transmit(tmp_path: Path) -> None:
    """Yes with every reason; no as soon as the kernel would answer for the machine."""
    data = tmp_path / "data"
    data.mkdir()
    (data / "otic.toml").write_text(f'[[interface]]\nname = "{MONITOR}"\n{QUIET}')
    with cable() as between:
        within = between.inside()
        with running(within + otic("sensor", "--data", data), data):
            between.send([FRAME] * 10)
            code, proof = doctor(within, "--data", data, "--proof")

            assert (0, "yes") == (code, proof["cannot_transmit"]), proof["reasons"]
            assert len(proof["threads"]) > 1
            for rights in proof["threads"].values():
                assert {"0" * 16} == {rights[name] for name in ("CapEff", "CapPrm", "CapInh")}
                assert ("1", "2") == (rights["NoNewPrivs"], rights["Seccomp"])
            texts = [reason["text"] for reason in proof["reasons"]]
            assert f"{MONITOR} never sent a frame: its transmit counter is 0" in texts

            findings = doctor(within, "--data", data)[1]["findings"]
            mine = {one["text"]: one["level"] for one in findings if one["subject"] == MONITOR}
            assert "ok" == mine["it takes frames to other stations"]
            assert "ok" == mine["it has no address, and the kernel answers nothing there"]

            between.ours("address", "add", "192.0.2.1/24", "dev", MONITOR)
            code, proof = doctor(within, "--data", data, "--proof")

            assert (1, "no") == (code, proof["cannot_transmit"])
            against = [one for one in proof["reasons"] if one["verdict"] == "no"]
            assert [f"ip addr flush dev {MONITOR}"] == [one["command"] for one in against]

            between.ours("address", "flush", "dev", MONITOR)
            between.ours("link", "set", MONITOR, "arp", "on")
            code, proof = doctor(within, "--data", data, "--proof")

            assert (1, "no") == (code, proof["cannot_transmit"])
            against = [one for one in proof["reasons"] if one["verdict"] == "no"]
            assert [f"ip link set dev {MONITOR} arp off"] == [one["command"] for one in against]


def test_the_demo_cannot_transmit(tmp_path: Path) -> None:
    """Its frames come from a pipe: there is no port, and capture has given up its rights."""
    data = tmp_path / "data"
    with running(otic("demo", "--data", data, "--port", 0, "--no-tls"), data):
        code, proof = doctor([], "--data", data, "--proof")

        assert (0, "yes") == (code, proof["cannot_transmit"]), proof["reasons"]
        assert "plant is a pipe: there is no port to send on" in [
            reason["text"] for reason in proof["reasons"]
        ]
        code, document = doctor([], "--data", data)
        levels = {one["subject"]: one["level"] for one in document["findings"]}
        assert "ok" == levels["plant"]
        assert not (data / ".doctor-trial").exists()


@pytest.mark.parametrize("arguments", [(), ("--data", "nowhere")])
def test_without_a_sensor_there_is_nothing_to_prove(arguments: tuple[str, ...]) -> None:
    """Refused in one line."""
    done = subprocess.run(
        otic("doctor", "--proof", *arguments), capture_output=True, text=True, check=False
    )

    assert 2 == done.returncode
    assert 1 == len(done.stderr.strip().splitlines()), done.stderr
