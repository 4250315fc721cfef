"""What gives way, and in which order, when the disk of a sensor fills up.

1. The packet ring: it shrinks until the disk has `least_free` left, down to nothing.
2. The oldest pins, then the oldest journal segments that are in the store: below half of that.
3. The analysis waits, so that no transaction is cut off: below a quarter.
4. The journal cannot be written: capture waits, and the kernel counts what its rings cannot hold.

`docs/limits.md` tells it to people, with what each step counts.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

LEAST_SHARE = 20
LEAST_BYTES = 1 << 30
"""A disk shall have one part in so many left; more than so many bytes are not asked for."""

LOOK_S = 0.5

PATIENCE_S = 2.5
"""So long the packet ring, which looks once a second, has to make room before others do."""


def least_free(path: Path) -> int:
    """Bytes that the disk of this folder shall have left."""
    disk = os.statvfs(path)
    return min(disk.f_blocks * disk.f_frsize // LEAST_SHARE, LEAST_BYTES)


class Room:
    """How much the disk of a folder has left, looked at now and then."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._least = least_free(path)
        self._look_at = 0.0
        self._enough_at = time.monotonic()
        self.tight = False
        """Pins and old journal segments shall go."""
        self.full = False
        """The store shall not be written."""

    def look(self, *, now: bool = False) -> None:
        """Looks at the disk: at once, or when the last look is a while ago."""
        at = time.monotonic()
        if not now and at < self._look_at:
            return
        self._look_at = at + LOOK_S
        disk = os.statvfs(self._path)
        left = disk.f_bavail * disk.f_frsize
        if left >= self._least // 2:
            self._enough_at = at
        self.tight = at - self._enough_at > PATIENCE_S
        self.full = left < self._least // 4
