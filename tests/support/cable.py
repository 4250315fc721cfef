"""A cable between two network namespaces: the sensor listens on one end, the plant sends on the
other.

Nothing leaves the machine: the two namespaces hold the ends of one veth pair and nothing else.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

MONITOR, PLANT = "mon0", "plant0"

SENDER = """
import socket, struct, sys, time
path, interface, rate, times = sys.argv[1], sys.argv[2], float(sys.argv[3]), int(sys.argv[4])
data, frames, at = open(path, "rb").read(), [], 24
while at < len(data):
    size = struct.unpack_from("<I", data, at + 8)[0]
    frames.append(data[at + 16 : at + 16 + size])
    at += 16 + size
out = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
out.bind((interface, 0))
sent, start = 0, time.monotonic()
for frame in frames * times:
    while True:
        try:
            out.send(frame)
            break
        except OSError as error:
            if error.errno != 105:  # ENOBUFS: the queue is full
                raise
            time.sleep(0.0005)
    sent += 1
    if rate and sent % 32 == 0:
        ahead = start + sent / rate - time.monotonic()
        if ahead > 0:
            time.sleep(ahead)
print(sent)
"""


class Cable:
    """Two namespaces and the cable between them."""

    def __init__(self) -> None:
        """Makes them; skips the test where the kernel withholds the right."""
        number = os.getpid()
        self.sensor, self.plant = f"otic-s{number}", f"otic-p{number}"
        if shutil.which("ip") is None:
            pytest.fail("iproute2 is missing: make deps")
        try:
            for space in (self.sensor, self.plant):
                self._ip("netns", "add", space)
        except subprocess.CalledProcessError as error:
            self.close()
            pytest.skip(f"the kernel withholds network namespaces: {error.stderr.strip()}")
        self._ip(
            "link", "add", MONITOR, "netns", self.sensor,
            "type", "veth", "peer", "name", PLANT, "netns", self.plant,
        )  # fmt: skip
        for space, end in ((self.sensor, MONITOR), (self.plant, PLANT)):
            # The kernel's own IPv6 greetings would be traffic that nobody sent.
            switch = f"/proc/sys/net/ipv6/conf/{end}/disable_ipv6"
            self.within(space, "sh", "-c", f"test ! -e {switch} || echo 1 > {switch}")
            self.within(space, "ip", "link", "set", end, "up")
        self.within(self.sensor, "ip", "link", "set", "lo", "up")

    def _ip(self, *words: str) -> str:
        done = subprocess.run(["ip", *words], check=True, capture_output=True, text=True)
        return done.stdout

    def within(self, space: str, *command: str) -> str:
        """Runs a command in a namespace; what it prints."""
        return self._ip("netns", "exec", space, *command)

    def enter(self, space: str, *command: str) -> list[str]:
        """The command line of a command in a namespace."""
        return ["ip", "netns", "exec", space, *command]

    def send(self, capture: Path, *, rate: float = 0, times: int = 1) -> int:
        """Sends the frames of a (classic, little-endian) pcap so many times; how many."""
        words = [sys.executable, "-c", SENDER, str(capture), PLANT, str(rate), str(times)]
        return int(self.within(self.plant, *words))

    def counter(self, space: str, end: str, name: str) -> int:
        """A counter of one end of the cable, such as `rx_packets`."""
        path = f"/sys/class/net/{end}/statistics/{name}"
        return int(self.within(space, "cat", path))

    def link(self, state: str) -> None:
        """Pulls the cable at the plant's end (`down`), or puts it back (`up`)."""
        self.within(self.plant, "ip", "link", "set", PLANT, state)

    def close(self) -> None:
        """Takes everything away."""
        for space in (self.sensor, self.plant):
            subprocess.run(["ip", "netns", "del", space], capture_output=True, check=False)
