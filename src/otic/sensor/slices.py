"""Slices of the packet ring: which frames are wanted, and the pcapng file that holds them."""

from __future__ import annotations

import time
from pathlib import Path

import msgspec

from otic import __version__
from otic.errors import EvidenceError, OticError
from otic.folder import DataFolder
from otic.times import iso

MOST_FRAMES = 5_000_000
MOST_BYTES = 1_000_000_000
"""Limits of one slice, frames and bytes as captured; the last frame says when it was cut there."""


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """Frames between two times (ns, both included); each other field narrows them where it is set.

    `hosts` sent or received them; they went between two of `pairs`; `port` is the TCP or UDP port
    of either side. `why` says in words what was asked for. `evidence` are titles of alerts by the
    (segment, number) of the frame that they cite.
    """

    start_ns: int
    end_ns: int
    why: str
    hosts: list[str] = []
    pairs: list[tuple[str, str]] = []
    port: int | None = None
    evidence: dict[tuple[int, int], list[str]] = {}


class Written(msgspec.Struct, frozen=True):
    """Frames in a file, their bytes, and whether more were wanted than may be taken."""

    frames: int
    bytes: int
    cut: bool


class NoAddressError(OticError):
    """What was given as an address is none."""


def write(
    folder: DataFolder,
    wanted: Wanted,
    path: Path,
    *,
    sensor: str,
    most_frames: int = MOST_FRAMES,
    most_bytes: int = MOST_BYTES,
) -> Written:
    """Writes the wanted frames that the ring holds into a pcapng file.

    Raises:
        NoAddressError: a host is no address.
        EvidenceError: the ring holds no such frame; no file is left.
        OticError: the ring cannot be read or the file not written.
    """
    from otic import _core

    section = (
        f"Otic {__version__}, sensor {sensor}: {wanted.why}, "
        f"from {iso(wanted.start_ns)} to {iso(wanted.end_ns)}, written {iso(time.time_ns())}. "
        f"At most {most_frames} frames and {most_bytes} bytes: the last frame says when it was cut."
    )
    comments = [
        (segment, number, "\n".join(f"Evidence of alert: {title}" for title in titles))
        for (segment, number), titles in sorted(wanted.evidence.items())
    ]
    try:
        written = Written(
            *_core.write_ring_slice(
                folder.packets,
                path,
                start_ns=wanted.start_ns,
                end_ns=wanted.end_ns,
                hosts=wanted.hosts,
                pairs=wanted.pairs,
                port=wanted.port,
                most_frames=most_frames,
                most_bytes=most_bytes,
                section=section,
                comments=comments,
                cut="Otic cut the slice here: more frames were wanted than may be taken.",
            )
        )
    except ValueError as error:
        raise NoAddressError(str(error)) from None
    except OSError as error:
        raise OticError(str(error)) from None
    if not written.frames:
        path.unlink(missing_ok=True)
        raise EvidenceError("the packet ring holds no such frame")
    return written
