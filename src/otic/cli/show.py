"""`otic show`: the bytes behind a value or an alert."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

from rich.console import Console
from rich.text import Text

from otic.cli import DONE
from otic.errors import CaptureError, EvidenceError
from otic.evidence import Place, decode, parse

WIDTH = 16
MARK = "bold reverse"


def run(what: list[str], *, decode: str | None, database: Path | None, folder: Path | None) -> int:
    """Prints each cited frame and the value the joined bytes give."""
    out = Console(highlight=False, soft_wrap=True)
    if database is not None:
        if len(what) != 2 or what[0] != "alert":
            raise EvidenceError("otic show --database DB alert ID")
        return _alert(out, database, what[1], decode, folder or Path())
    if len(what) != 1:
        raise EvidenceError("otic show FILE:FRAME:OFFSET:LENGTH[,…] [--decode NAME]")
    _show(out, parse(what[0]), decode, lambda name: (folder / name) if folder else Path(name), {})
    return DONE


def _alert(out: Console, database: Path, id_: str, decoding: str | None, folder: Path) -> int:
    from otic.detect.messages import render
    from otic.sensor.packets import stored_frames
    from otic.store.results import read_alert

    alert = read_alert(database, id_)
    out.print(f"[bold]{alert.title}[/] ({alert.severity}, {alert.rule})")
    out.print(Text(render(alert.key, alert.values)))
    places = [Place(*span) for span in alert.places]
    where = {place.file: stored_frames(database, place.file) for place in places}
    _show(out, places, decoding, lambda name: folder / name, where)
    return DONE


def _show(
    out: Console,
    places: list[Place],
    decoding: str | None,
    locate: Callable[[str], Path],
    stored: dict[str, dict[int, bytes]],
) -> None:
    by_frame: dict[tuple[str, int], list[Place]] = defaultdict(list)
    for place in places:
        by_frame[place.file, place.frame].append(place)
    frames: dict[tuple[str, int], bytes] = {}
    for (file, number), cited in by_frame.items():
        frames[file, number] = _frame(locate(file), file, number, stored.get(file, {}))
        out.print(f"\n{file} frame {number}")
        _dump(out, frames[file, number], cited)
    joined = b"".join(
        frames[place.file, place.frame][place.offset : place.offset + place.length]
        for place in places
    )
    if len(joined) != sum(place.length for place in places):
        raise EvidenceError("the cited bytes reach beyond the captured frame")
    if decoding is not None:
        out.print(Text(f"\n{decoding}: {decode(decoding, joined)}"))
    else:
        out.print(f"\nhex: {joined.hex()}")


def _frame(path: Path, file: str, number: int, stored: dict[int, bytes]) -> bytes:
    if number in stored:
        return stored[number]
    from otic import _core

    try:
        found = _core.read_frames(str(path), [number])
    except _core.CaptureError as error:
        raise CaptureError(str(error)) from None
    if not found:
        raise EvidenceError(f"{file} has no frame {number}")
    return found[0][4]


def _dump(out: Console, data: bytes, cited: list[Place]) -> None:
    marked = {at for place in cited for at in range(place.offset, place.offset + place.length)}
    for start in range(0, len(data), WIDTH):
        line = Text(f"  {start:04x}  ")
        for at in range(start, start + WIDTH):
            shown = f"{data[at]:02x}" if at < len(data) else "  "
            line.append(shown, MARK if at in marked and at < len(data) else "")
            line.append(" ", MARK if at in marked and at + 1 in marked else "")
        line.append(" ")
        for at in range(start, min(start + WIDTH, len(data))):
            letter = chr(data[at]) if 0x20 <= data[at] < 0x7F else "."
            line.append(letter, MARK if at in marked else "")
        out.print(line)
