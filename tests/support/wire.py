"""A machine within the machine: programs talk over its loopback while every frame is recorded.

A network namespace of its own holds two addresses. Who connects to the first sends from the
second, so that client and server differ although both are the same machine.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SERVER, CLIENT = "10.77.0.1", "10.77.0.2"

RECORDER = """
import select, socket, struct, sys, time
ETH_P_ALL, OUTGOING, RCVBUFFORCE = 3, 4, 33
ear = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
ear.setsockopt(socket.SOL_SOCKET, RCVBUFFORCE, 1 << 25)
ear.bind(("lo", ETH_P_ALL))
ear.setblocking(False)
print("ready", flush=True)
with open(sys.argv[1], "wb") as out:
    out.write(struct.pack("<IHHiIII", 0xA1B23C4D, 2, 4, 0, 0, 262144, 1))
    over = False
    while not over:
        ready, _, _ = select.select([ear, sys.stdin], [], [])
        over = sys.stdin in ready
        while True:
            try:
                frame, where = ear.recvfrom(262144)
            except BlockingIOError:
                break
            if where[2] != OUTGOING:  # loopback shows each frame twice
                at = divmod(time.time_ns(), 10**9)
                out.write(struct.pack("<IIII", *at, len(frame), len(frame)) + frame)
"""


class Wire:
    """The namespace."""

    def __init__(self) -> None:
        """Makes it; skips the test where the kernel withholds the right."""
        self.space = f"otic-w{os.getpid()}"
        if shutil.which("ip") is None:
            pytest.fail("iproute2 is missing: make deps")
        try:
            self._ip("netns", "add", self.space)
        except subprocess.CalledProcessError as error:
            pytest.skip(f"the kernel withholds network namespaces: {error.stderr.strip()}")
        self._ip("-n", self.space, "link", "set", "lo", "up")
        for address in (SERVER, CLIENT):
            self._ip("-n", self.space, "address", "add", f"{address}/32", "dev", "lo")
        there = ("local", SERVER, "dev", "lo", "table", "local")
        self._ip("-n", self.space, "route", "replace", *there, "src", CLIENT)

    def _ip(self, *words: str) -> None:
        subprocess.run(["ip", *words], check=True, capture_output=True, text=True)

    def record(self, command: list[str], into: Path) -> subprocess.CompletedProcess[str]:
        """Runs a program within and writes what crosses the loopback meanwhile to a pcap."""
        enter = ["ip", "netns", "exec", self.space]
        recorder = subprocess.Popen(
            [*enter, sys.executable, "-c", RECORDER, str(into)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert recorder.stdin is not None
        assert recorder.stdout is not None
        with recorder:
            assert recorder.stdout.readline() == "ready\n"
            done = subprocess.run(
                [*enter, *command], capture_output=True, text=True, check=False, timeout=60
            )
            recorder.stdin.close()
        return done

    def close(self) -> None:
        """Takes it away."""
        subprocess.run(["ip", "netns", "del", self.space], capture_output=True, check=False)
