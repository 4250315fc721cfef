"""`otic doctor --proof` on real sensors: what the kernel says of a process that listens."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from support.cable import MONITOR, PLANT, Cable
from support.doctor import FRAME, SETTINGS, doctor
from support.frames import START_NS, pcap
from support.program import COMMAND
from support.sensor import Sensor

ASK = """
import socket, sys
ask = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0806))
ask.bind((sys.argv[1], 0x0806))
ask.settimeout(1)
own = ask.getsockname()[4]
head = bytes.fromhex("0806 0001 0800 06 04 0001")
sender, target = bytes([192, 0, 2, 2]), bytes([192, 0, 2, 1])
ask.send(bytes.fromhex("ffffffffffff") + own + head + own + sender + bytes(6) + target + bytes(18))
try:
    print("answer" if ask.recv(100)[20:22] == bytes([0, 2]) else "something else")
except TimeoutError:
    print("silence")
"""
"""Asks by ARP who has 192.0.2.1."""


def against(proof: dict[str, Any]) -> list[str]:
    """Commands that would end what speaks against the proof."""
    return [reason["command"] for reason in proof["reasons"] if reason["verdict"] == "no"]


def test_a_sensor_on_a_cable_cannot_transmit(silent_cable: Cable, tmp_path: Path) -> None:
    """Yes with every reason; no as soon as the kernel would answer for the machine."""
    cable = silent_cable
    within = cable.enter(cable.sensor)
    sensor = Sensor(tmp_path / "data", SETTINGS, within)
    data = sensor.folder.path
    try:
        frames = tmp_path / "frames.pcap"
        frames.write_bytes(pcap([(START_NS, FRAME)] * 10))
        cable.send(frames)
        sensor.until(lambda: sensor.frames() == 10)
        code, proof = doctor(within, "--data", data, "--proof")

        assert (0, "yes") == (code, proof["cannot_transmit"]), proof["reasons"]
        assert sensor.process_id("capture") == proof["pid"]
        assert len(proof["threads"]) > 1
        for rights in proof["threads"].values():
            assert {"0" * 16} == {rights[name] for name in ("CapEff", "CapPrm", "CapInh", "CapAmb")}
            assert ("1", "2") == (rights["NoNewPrivs"], rights["Seccomp"])
        texts = [reason["text"] for reason in proof["reasons"]]
        assert f"{MONITOR} never sent a frame: its transmit counter is 0" in texts

        findings = doctor(within, "--data", data)[1]["findings"]
        mine = {one["text"]: one["level"] for one in findings if one["subject"] == MONITOR}
        assert "ok" == mine["it takes frames to other stations"]
        assert "ok" == mine["it has no address, and the kernel answers nothing there"]
        assert "ok" == next(level for text, level in mine.items() if "capture dropped none" in text)

        cable.within(cable.sensor, "ip", "address", "add", "192.0.2.1/24", "dev", MONITOR)
        code, proof = doctor(within, "--data", data, "--proof")
        assert (1, "no") == (code, proof["cannot_transmit"])
        assert f"ip addr flush dev {MONITOR}" in against(proof)

        cable.within(cable.sensor, "ip", "address", "flush", "dev", MONITOR)
        cable.within(cable.sensor, "ip", "link", "set", MONITOR, "arp", "on")
        code, proof = doctor(within, "--data", data, "--proof")
        assert (1, "no") == (code, proof["cannot_transmit"])
        assert [f"ip link set dev {MONITOR} arp off"] == against(proof)
    finally:
        sensor.stop()
        sensor.close()


def test_the_kernel_answers_arp_on_a_port_without_an_address(silent_cable: Cable) -> None:
    """Why ARP must be off: otherwise the machine answers for an address of another port."""
    cable = silent_cable
    cable.within(cable.sensor, "ip", "address", "add", "192.0.2.1/32", "dev", "lo")
    ask = [sys.executable, "-c", ASK, PLANT]

    assert "silence" == cable.within(cable.plant, *ask).strip()
    cable.within(cable.sensor, "ip", "link", "set", MONITOR, "arp", "on")
    assert "answer" == cable.within(cable.plant, *ask).strip()


def test_the_demo_cannot_transmit(tmp_path: Path) -> None:
    """Its frames come from a pipe: there is no port, and capture has given up its rights."""
    data = tmp_path / "data"
    with (tmp_path / "log").open("wb") as log:
        demo = subprocess.Popen(
            [*COMMAND, "demo", "--data", str(data), "--port", "0", "--no-tls"],
            stdout=log,
            stderr=log,
        )
        try:
            until = time.monotonic() + 30
            while not (data / "journal" / "capture-rights.json").exists():
                assert time.monotonic() < until, (tmp_path / "log").read_text()
                time.sleep(0.1)
            time.sleep(1)
            code, proof = doctor([], "--data", data, "--proof")

            assert (0, "yes") == (code, proof["cannot_transmit"]), proof["reasons"]
            texts = [reason["text"] for reason in proof["reasons"]]
            assert "plant is a pipe: there is no port to send on" in texts
            code, document = doctor([], "--data", data)
            assert "ok" in [f["level"] for f in document["findings"] if f["subject"] == "plant"]
            assert not (data / ".doctor-trial").exists()
        finally:
            demo.send_signal(signal.SIGINT)
            assert 0 == demo.wait(60)


@pytest.mark.parametrize("arguments", [(), ("--data", "nowhere")])
def test_without_a_sensor_there_is_nothing_to_prove(arguments: tuple[str, ...]) -> None:
    """Refused in one line."""
    done = subprocess.run(
        [*COMMAND, "doctor", "--proof", *arguments], capture_output=True, text=True, check=False
    )

    assert 2 == done.returncode
    assert 1 == len(done.stderr.strip().splitlines()), done.stderr
