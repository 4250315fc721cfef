"""Frames of a live sensor: out of the packet ring while there, else those pinned to alerts.

A pin is `<alert>.pcapng`, which anybody can open, and `<alert>.msgpack`, which says for each of its
frames the segment and the number that evidence cites.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from pathlib import Path

import msgspec
import structlog

from otic.detect.alerts import Alert
from otic.errors import CaptureError
from otic.facts import Span
from otic.folder import DataFolder
from otic.sensor.packets import AROUND, Frame

log = structlog.get_logger()

MOST_SPANS = 32
"""Cited frames of one alert that are pinned, each with those around it."""

PATIENCE_S = 5.0
"""The ring writes behind the facts: frames that are not there yet are asked for again so long."""


class _Pin(msgspec.Struct, frozen=True):
    frames: list[tuple[int, int]]


class _Wanted(msgspec.Struct):
    alert: bytes
    title: str
    spans: list[Span]
    until: float


class Pins:
    """Copies the frames that prove alerts out of the ring before it moves on."""

    def __init__(self, folder: DataFolder, most_bytes: int) -> None:
        self._folder = folder
        self._most_bytes = most_bytes
        self._wanted: list[_Wanted] = []
        self._asked = {path.stem for path in folder.pins.glob("*.msgpack")}

    def ask(self, alerts: Iterable[Alert]) -> None:
        """Wants the frames of these alerts; those that were asked for before are passed over."""
        until = time.monotonic() + PATIENCE_S
        for alert in alerts:
            name = alert.id.hex()
            if name not in self._asked and alert.spans:
                self._asked.add(name)
                spans = alert.spans[:MOST_SPANS]
                self._wanted.append(_Wanted(alert.id, alert.title, spans, until))

    def work(self) -> None:
        """Copies what is there by now."""
        now = time.monotonic()
        waiting = []
        for wanted in self._wanted:
            rows, whole = self._rows(wanted)
            if not whole and now < wanted.until:
                waiting.append(wanted)
            elif rows:
                self._write(wanted, rows)
        if len(waiting) < len(self._wanted):
            self.make_room()
        self._wanted = waiting

    def _rows(self, wanted: _Wanted) -> tuple[dict[tuple[int, int], Frame], bool]:
        from otic import _core

        rows: dict[tuple[int, int], Frame] = {}
        whole = True
        for segment, number, _, _ in wanted.spans:
            try:
                found = _core.ring_around(self._folder.packets, segment, number, AROUND)
            except OSError:
                found = []
            rows |= {(row[0], row[1]): (row[1], row[2], row[3], row[4], row[6]) for row in found}
            whole = whole and (segment, number) in rows
        return rows, whole

    def _write(self, wanted: _Wanted, rows: dict[tuple[int, int], Frame]) -> None:
        from otic import _core

        cited = {(segment, number) for segment, number, _, _ in wanted.spans}
        places = sorted(rows)
        name = wanted.alert.hex()
        frames = []
        for place in places:
            _, ts_ns, length, link, data = rows[place]
            comment = f"cited by: {wanted.title}" if place in cited else ""
            frames.append((ts_ns, length, link, "", data, comment))
        try:
            _core.write_slice(self._folder.pins / f"{name}.pcapng", frames)
            index = self._folder.pins / f"{name}.msgpack"
            index.write_bytes(msgspec.msgpack.encode(_Pin(places)))
        except OSError as error:
            log.error("pin_cannot_be_written", alert=name, reason=str(error))
            for half in self._folder.pins.glob(f"{name}.*"):
                half.unlink(missing_ok=True)

    def make_room(self, at_least: int = 0) -> bool:
        """The oldest pins go when there are too many bytes, and while they hold `at_least` so many.

        Whether one went. How old they are is told by their segments, which rise even when the clock
        is set back.
        """
        sizes = {path: path.stat().st_size for path in self._folder.pins.glob("*.pcapng")}
        left = sum(sizes.values())
        most = min(self._most_bytes, left - at_least)
        if left <= most:
            return False
        for path in sorted(sizes, key=_age):
            if left <= most:
                break
            left -= sizes[path]
            path.unlink(missing_ok=True)
            path.with_suffix(".msgpack").unlink(missing_ok=True)
        return bool(sizes)


def _age(path: Path) -> tuple[tuple[int, int], str]:
    """Where a pin stands among the others: its last segment and frame there, then its name."""
    try:
        pin = msgspec.msgpack.decode(path.with_suffix(".msgpack").read_bytes(), type=_Pin)
    except (OSError, msgspec.MsgspecError):
        return (0, 0), path.stem  # Half written: nobody can read it.
    return max(pin.frames, default=(0, 0)), path.stem


def frames(folder: DataFolder, segment: int, numbers: Iterable[int]) -> list[Frame]:
    """These frames of a segment, by number; those that nobody kept are left out.

    Raises:
        CaptureError: a file of the ring cannot be read.
    """
    from otic import _core

    wanted = sorted(set(numbers))
    found: dict[int, Frame] = {}
    try:
        for row in _core.ring_frames(folder.packets, segment, wanted):
            found[row[1]] = (row[1], row[2], row[3], row[4], row[6])
    except FileNotFoundError:
        pass  # The ring has moved on.
    except OSError as error:
        raise CaptureError(str(error)) from None
    missing = {number for number in wanted if number not in found}
    if missing:
        found |= _pinned(folder.pins, segment, missing)
    return [found[number] for number in sorted(found)]


def _pinned(pins: Path, segment: int, numbers: set[int]) -> dict[int, Frame]:
    from otic import _core

    found: dict[int, Frame] = {}
    for path in sorted(pins.glob("*.msgpack")):
        try:
            pin = msgspec.msgpack.decode(path.read_bytes(), type=_Pin)
            places = {
                at: number
                for at, (other, number) in enumerate(pin.frames, 1)
                if other == segment and number in numbers
            }
            if places:
                rows = _core.read_frames(str(path.with_suffix(".pcapng")), list(places))
                found |= {places[row[0]]: (places[row[0]], *row[1:]) for row in rows}
        except (OSError, msgspec.MsgspecError, _core.CaptureError) as error:
            log.error("pin_cannot_be_read", pin=path.name, reason=str(error))
        if numbers <= found.keys():
            break
    return found
