"""Plays frames into a pipe in real time, as a mirror port would bring them."""

from __future__ import annotations

import struct
import time
from collections.abc import Callable, Iterator
from pathlib import Path

PCAP_HEADER = struct.pack("<IHHiIII", 0xA1B23C4D, 2, 4, 0, 0, 262_144, 1)
"""pcap with nanoseconds, version 2.4, Ethernet (draft-ietf-opsawg-pcap §4)."""

LATE_S = 1.0
"""Frames later than this were meant for nobody: the reader was away."""


def play(frames: Iterator[tuple[int, bytes]], pipe: Path, stopped: Callable[[], bool]) -> None:
    """Writes each frame at its time, until told to stop.

    A reader that goes away may come back; what it missed is lost to it, as on a wire.
    """
    while not stopped():
        with pipe.open("wb", buffering=0) as out:
            try:
                out.write(PCAP_HEADER)
                for ts_ns, frame in frames:
                    ahead = ts_ns / 1e9 - time.time()
                    if ahead < -LATE_S:
                        continue
                    if ahead > 0:
                        time.sleep(ahead)
                    if stopped():
                        return
                    seconds, rest = divmod(time.time_ns(), 1_000_000_000)
                    head = struct.pack("<IIII", seconds, rest, len(frame), len(frame))
                    out.write(head + frame)
            except BrokenPipeError:
                continue
