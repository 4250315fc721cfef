"""The packet store of a database: frames that evidence cites, and those around them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

import msgspec

from otic.errors import StoreError
from otic.facts import Span
from otic.sensor.pipeline import Result

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
    spans: list[Iterable[Span]] = [alert.spans for alert in result.alerts]
    spans += [claim.evidence.spans for claim in state.claims.values()]
    spans += [change.evidence.spans for change in state.changes.values()]
    spans += [event.spans for event in state.events.values()]
    spans += [violation.spans for violation in state.violations.values()]
    found: dict[int, set[int]] = defaultdict(set)
    for some in spans:
        for file, frame, _, _ in some:
            found[file].update(range(max(1, frame - AROUND), frame + AROUND + 1))
    return found


def stored_frames(database: Path, file: str) -> dict[int, bytes]:
    """The kept frames of one capture by number; nothing when none were kept."""
    from otic import _core

    folder = folder_of(database)
    try:
        index = msgspec.msgpack.decode((folder / INDEX).read_bytes(), type=list[KeptFile])
    except (OSError, msgspec.MsgspecError):
        return {}
    for kept in index:
        if kept.file == file:
            places = list(range(1, len(kept.frames) + 1))
            try:
                frames = _core.read_frames(str(folder / kept.pcapng), places)
            except _core.CaptureError as error:
                raise StoreError(f"{folder.name}: {error}") from None
            return {kept.frames[row[0] - 1]: row[4] for row in frames}
    return {}
