"""Namespaces of a sensor and its plant and the cable between: `mon0` is ours, `mir0` theirs."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

MONITOR, MIRROR = "mon0", "mir0"

WITHHELD = re.compile(r"not permitted|denied|not supported|Unknown device type")

SENDER = """\
import socket, sys
out = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
out.bind((sys.argv[1], 0))
for line in sys.stdin:
    out.send(bytes.fromhex(line))
"""


class Cable:
    """Two namespaces, without any address, and with a kernel that says nothing on its own."""

    def __init__(self, name: str) -> None:
        self.sensor, self.plant = f"{name}-sensor", f"{name}-plant"

    def inside(self, *command: str) -> list[str]:
        """A command line that runs in the sensor's namespace."""
        return ["ip", "netns", "exec", self.sensor, *command]

    def ours(self, *words: str) -> None:
        """Runs `ip` in the sensor's namespace."""
        ip("-n", self.sensor, *words)

    def send(self, frames: list[bytes]) -> None:
        """Sends frames from the plant's end."""
        subprocess.run(
            ["ip", "netns", "exec", self.plant, "python3", "-c", SENDER, MIRROR],
            input="\n".join(frame.hex() for frame in frames),
            text=True,
            check=True,
        )


def ip(*words: str) -> None:
    """Runs `ip`; skips where the kernel withholds the right."""
    done = subprocess.run(["ip", *words], capture_output=True, text=True, check=False)
    if done.returncode and WITHHELD.search(done.stderr):
        pytest.skip(f"the kernel withholds network namespaces: {done.stderr.strip()}")
    assert done.returncode == 0, done.stderr


@contextmanager
def cable() -> Iterator[Cable]:
    """Namespaces and a cable between them, both ends up; removed afterwards."""
    made = Cable(f"otic-{os.getpid()}")
    try:
        for namespace in (made.sensor, made.plant):
            ip("netns", "add", namespace)
            quiet = "for way in all default; do file=/proc/sys/net/ipv6/conf/$way/disable_ipv6;"
            quiet += " [ ! -e $file ] || echo 1 > $file; done"
            subprocess.run(["ip", "netns", "exec", namespace, "sh", "-c", quiet], check=True)
        peer = ("type", "veth", "peer", "name", MIRROR, "netns", made.plant)
        made.ours("link", "add", MONITOR, *peer)
        made.ours("link", "set", MONITOR, "arp", "off", "up")
        ip("-n", made.plant, "link", "set", MIRROR, "up")
        yield made
    finally:
        for namespace in (made.sensor, made.plant):
            subprocess.run(["ip", "netns", "del", namespace], capture_output=True, check=False)
