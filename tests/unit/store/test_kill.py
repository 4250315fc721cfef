"""A run killed at any moment goes on to the undisturbed result."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

COUNT = 600


def frame(number: int) -> bytes:
    """An ARP request of one of 200 hosts."""
    host = number % 200
    mac = bytes([0x28, 0x63, 0x36, 0, 0, host])
    arp = bytes.fromhex("0001080006040001") + mac + bytes([10, 0, 0, host]) + bytes(6)
    return b"\xff" * 6 + mac + b"\x08\x06" + arp + bytes([10, 0, 0, 254]) + bytes(18)


@pytest.mark.parametrize("delay_s", [0.3, 0.5, 0.6, 0.7, 0.9])
def test_kill_at_any_moment_then_go_on(tmp_path: Path, delay_s: float) -> None:
    """Killed during a replay, then the same command: the JSON of an undisturbed run."""
    data = bytes.fromhex("d4c3b2a1020004000000000000000000ffff000001000000")
    for number in range(COUNT):
        raw = frame(number)
        data += (1_700_000_000 + 2 * number).to_bytes(4, "little") + bytes(4)
        data += len(raw).to_bytes(4, "little") * 2 + raw
    path = tmp_path / "arp.pcap"
    path.write_bytes(data)
    command = [sys.executable, "-m", "otic", "replay", str(path), "--format", "json"]
    kept = [*command, "--database", str(tmp_path / "otic.db")]
    expected = subprocess.run(command, capture_output=True, check=True).stdout
    victim = subprocess.Popen(kept, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    time.sleep(delay_s)
    os.kill(victim.pid, signal.SIGKILL)
    victim.wait()

    assert expected == subprocess.run(kept, capture_output=True, check=True).stdout
