"""The packet store of a database: frames that evidence cites, and those around them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

import msgspec

from otic.errors import CaptureError, StoreError
from otic.facts import pack_spans, unpack_spans
from otic.sensor.analysis import Result

AROUND = 5
"""Frames kept before and after each cited one."""

INDEX = "index.msgpack"


class KeptFile(msgspec.Struct):
    """The frames kept of one capture, in the order they stand in its pcapng."""

    file: str
    pcapng: str
    frames: list[int]


def folder_of(database: Path) -> Path:
    """Where a database's packets are."""
    return database.with_name(database.name + ".packets")


def keep(result: Result, files: list[Path], database: Path, most_bytes: int) -> None:
    """Copies the cited frames and `AROUND` on each side into pcapng files, alerts' first.

    Stops at `most_bytes`.

    Raises:
        StoreError: the folder cannot be written.
    """
    from otic import _core

    left = most_bytes
    index: list[KeptFile] = []
    folder = folder_of(database)
    wanted = _cited(result)
    try:
        folder.mkdir(exist_ok=True)
        for ordinal, path in enumerate(files):
            numbers = sorted(wanted.get(ordinal, ()))
            if not numbers:
                continue
            frames = _core.read_frames(str(path), numbers)
            taken = []
            for number, ts_ns, length, link, data in frames:
                if len(data) > left:
                    break
                left -= len(data)
                taken.append((number, (ts_ns, length, link, data)))
            name = f"{ordinal}.pcapng"
            _core.write_pcapng(str(folder / name), [frame for _, frame in taken])
            index.append(
                KeptFile(result.captures[ordinal].file, name, [number for number, _ in taken])
            )
        (folder / INDEX).write_bytes(msgspec.msgpack.encode(index))
    except (OSError, _core.CaptureError) as error:
        raise StoreError(f"{folder.name}: {error}") from None


def _cited(result: Result) -> dict[int, set[int]]:
    """Frame numbers by file ordinal: cited by alerts, claims, changes, events, violations."""
    state = result.state
    packed = {pack_spans(alert.spans) for alert in result.alerts}
    packed |= {claim.evidence.spans for claim in state.claims.values()}
    packed |= {change.evidence.spans for change in state.changes.values()}
    packed |= {event.spans for event in state.events.values()}
    packed |= {violation.spans for violation in state.violations.values()}
    found: dict[int, set[int]] = defaultdict(set)
    for spans in packed:
        for file, frame, _, _ in unpack_spans(spans):
            found[file].update(range(max(1, frame - AROUND), frame + AROUND + 1))
    return found


Frame = tuple[int, int, int, str, bytes]
"""Number in its file from 1, time in ns, original length, link type, captured bytes."""


def stored(database: Path, file: str, numbers: Iterable[int]) -> list[Frame]:
    """Those of these frames of one capture that were kept, by number.

    Raises:
        StoreError: the packet store is damaged.
    """
    from otic import _core

    folder = folder_of(database)
    try:
        index = msgspec.msgpack.decode((folder / INDEX).read_bytes(), type=list[KeptFile])
    except (OSError, msgspec.MsgspecError):
        return []
    wanted = set(numbers)
    for kept in index:
        if kept.file == file:
            places = [at for at, number in enumerate(kept.frames, 1) if number in wanted]
            if not places:
                return []
            try:
                frames = _core.read_frames(str(folder / kept.pcapng), places)
            except _core.CaptureError as error:
                raise StoreError(f"{folder.name}: {error}") from None
            return [(kept.frames[row[0] - 1], *row[1:]) for row in frames]
    return []


def stored_frames(database: Path, file: str) -> dict[int, bytes]:
    """The bytes of all kept frames of one capture by number; nothing when none were kept."""
    return {row[0]: row[4] for row in stored(database, file, _kept(database, file))}


def _kept(database: Path, file: str) -> list[int]:
    try:
        raw = (folder_of(database) / INDEX).read_bytes()
        index = msgspec.msgpack.decode(raw, type=list[KeptFile])
    except (OSError, msgspec.MsgspecError):
        return []
    return next((kept.frames for kept in index if kept.file == file), [])


def frames(database: Path, file: str, path: Path, numbers: Iterable[int]) -> list[Frame]:
    """These frames of one capture, from the packet store, else from the capture itself.

    Numbers beyond the end of the capture are left out.

    Raises:
        CaptureError: a frame was not kept and the capture is no longer where it was read.
        StoreError: the packet store is damaged.
    """
    from otic import _core

    wanted = sorted(set(numbers))
    found = {row[0]: row for row in stored(database, file, wanted)}
    missing = [number for number in wanted if number not in found]
    if missing:
        try:
            for row in _core.read_frames(str(path), missing):
                found[row[0]] = row
        except _core.CaptureError as error:
            reason = str(error).removeprefix(f"{path}: ")
            raise CaptureError(f"{file} cannot be read any more: {reason}") from None
    return [found[number] for number in sorted(found)]
