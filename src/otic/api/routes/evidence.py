"""Evidence: frames with the cited bytes marked, and captures of the frames that prove something."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import Annotated, Any

import msgspec
from litestar import Request, Response
from litestar.exceptions import NotFoundException
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import Parameter

from otic import _core
from otic.api.auth import current
from otic.api.routing import Id, read
from otic.errors import CaptureError, EvidenceError
from otic.evidence import decode as decode_bytes
from otic.sensor.packets import AROUND, Frame, frames
from otic.sensor.pins import frames as live_frames
from otic.store.queries import people
from otic.store.queries.alerts import evidence
from otic.store.queries.common import Cited, Store
from otic.times import iso

PCAPNG = "application/x-pcapng"
MOST_SPANS = 64
MOST_FRAMES = 5000
"""Frames of one downloaded capture; later ones are left out."""

Around = Annotated[int, Parameter(ge=0, le=50, description="Frames on each side.")]
Spans = Annotated[
    list[Annotated[str, Parameter(pattern=r"^\d{1,12}:\d{1,9}:\d{1,9}$")]] | None,
    Parameter(max_items=MOST_SPANS, description="Cited bytes as frame:offset:length."),
]
FileName = Annotated[str, Parameter(min_length=1, max_length=500)]
FrameNumber = Annotated[int, Parameter(ge=1, le=10**12)]


class Run(msgspec.Struct, frozen=True):
    """A run of bytes in a frame."""

    offset: int
    length: int


class FrameOut(msgspec.Struct, frozen=True, kw_only=True):
    """One captured frame; `data` is its bytes in hexadecimal."""

    number: int
    time: str
    link_type: str
    original_length: int
    data: str
    cited: list[Run]


class Decoded(msgspec.Struct, frozen=True, kw_only=True):
    """What the cited bytes give, joined in reading order."""

    decode: str
    data: str
    value: str | None
    problem: str | None


class Frames(msgspec.Struct, frozen=True, kw_only=True):
    """The asked frame, those around it, and all others that are cited."""

    file: str
    frame: int
    frames: list[FrameOut]
    decoded: Decoded | None


@read("/api/frames", permission="evidence:read", errors=(404,), operation_id="getFrames")
def shown(
    store: Store,
    file: FileName,
    frame: FrameNumber,
    around: Around = AROUND,
    span: Spans = None,
    decode: Annotated[str | None, Parameter(max_length=20)] = None,
) -> Frames:
    """Frames of a capture with the cited bytes marked."""
    cited = [tuple(map(int, text.split(":"))) for text in span or ()]
    near = range(max(1, frame - around), frame + around + 1)
    found = _frames(store, {file: {*near, *(number for number, _, _ in cited)}})[file]
    by_number = {row[0]: row for row in found}
    if frame not in by_number:
        raise EvidenceError(_gone(store, file, frame))
    return Frames(
        file=file,
        frame=frame,
        frames=[_shown(row, cited) for row in found],
        decoded=_decoded(by_number, cited, decode) if cited else None,
    )


def _shown(row: Frame, cited: list[tuple[int, ...]]) -> FrameOut:
    number, ts_ns, length, link, data = row
    return FrameOut(
        number=number,
        time=iso(ts_ns),
        link_type=link,
        original_length=length,
        data=data.hex(),
        cited=[
            Run(offset, min(size, len(data) - offset))
            for at, offset, size in cited
            if at == number and offset < len(data)
        ],
    )


def _decoded(frames_: dict[int, Frame], cited: list[tuple[int, ...]], name: str | None) -> Decoded:
    parts = [
        frames_[number][4][offset : offset + size]
        for number, offset, size in cited
        if number in frames_
    ]
    data = b"".join(parts)
    name = name or "derived"
    if len(data) != sum(size for _, _, size in cited):
        return Decoded(
            decode=name,
            data=data.hex(),
            value=None,
            problem="The cited bytes reach beyond the captured frames.",
        )
    try:
        value = decode_bytes(name, data)
    except EvidenceError as error:
        return Decoded(decode=name, data=data.hex(), value=None, problem=str(error))
    return Decoded(decode=name, data=data.hex(), value=value, problem=None)


_PCAPNG = {200: ResponseSpec(bytes, description="A pcapng file.", media_type=PCAPNG)}


@read(
    "/api/frames/pcap",
    permission="packets:download",
    errors=(404,),
    operation_id="downloadFrames",
    media_type=PCAPNG,
    responses=_PCAPNG,
)
def pcap_of_frames(
    request: Request[Any, Any, Any],
    store: Store,
    file: FileName,
    frame: FrameNumber,
    around: Around = AROUND,
) -> Response[bytes]:
    """A frame and those around it as a capture."""
    near = range(max(1, frame - around), frame + around + 1)
    found = _frames(store, {file: set(near)})
    if frame not in {row[0] for row in found[file]}:
        raise EvidenceError(_gone(store, file, frame))
    return _pcapng(request, store, found, f"frame-{frame}")


@read(
    "/api/alerts/{alert:str}/pcap",
    permission="packets:download",
    errors=(404,),
    operation_id="downloadAlert",
    media_type=PCAPNG,
    responses=_PCAPNG,
)
def pcap_of_alert(
    request: Request[Any, Any, Any], store: Store, alert: Id, around: Around = AROUND
) -> Response[bytes]:
    """The frames that prove an alert, and those around them, as a capture."""
    cited = evidence(store, alert=alert)
    if cited is None:
        raise NotFoundException(detail=f"There is no alert {alert}.")
    return _pcapng(request, store, _cited_frames(store, cited, around), f"alert-{alert[:8]}")


@read(
    "/api/devices/{device:str}/pcap",
    permission="packets:download",
    errors=(404,),
    operation_id="downloadDevice",
    media_type=PCAPNG,
    responses=_PCAPNG,
)
def pcap_of_device(
    request: Request[Any, Any, Any], store: Store, device: Id, around: Around = AROUND
) -> Response[bytes]:
    """The frames that a device's attributes and alerts rest on, and those around, as a capture."""
    cited = evidence(store, device=device)
    if cited is None:
        raise NotFoundException(detail=f"There is no device {device}.")
    return _pcapng(request, store, _cited_frames(store, cited, around), f"device-{device[:8]}")


def _cited_frames(store: Store, cited: Cited, around: int) -> dict[str, list[Frame]]:
    wanted: dict[str, set[int]] = {}
    for span in cited.spans:
        near = range(max(1, span.frame - around), span.frame + around + 1)
        wanted.setdefault(span.file, set()).update(near)
    if not wanted:
        raise EvidenceError("there are no frames that prove it")
    return _frames(store, wanted)


def _frames(store: Store, wanted: dict[str, set[int]]) -> dict[str, list[Frame]]:
    """These frames by file.

    Raises:
        CaptureError: the name is not one of the captures, or the capture is gone.
    """
    if store.live is not None:
        return {
            file: live_frames(store.live, _segment(file), sorted(numbers)[:MOST_FRAMES])
            for file, numbers in wanted.items()
        }
    with store.reading() as connection:
        paths = {capture.file: capture.path for capture in store.captures(connection)}
    found: dict[str, list[Frame]] = {}
    for file, numbers in wanted.items():
        if file not in paths:
            raise CaptureError(f"{file} is not one of the captures that were read")
        numbers = set(sorted(numbers)[:MOST_FRAMES])
        found[file] = frames(store.path, file, Path(paths[file] or file), numbers)
    return found


def _gone(store: Store, file: str, frame: int) -> str:
    if store.live is None:
        return f"{file} has no frame {frame}"
    return f"frame {frame} of segment {file} is not in the packet ring any more"


def _segment(file: str) -> int:
    """The segment of the packet ring that evidence of a live sensor names as its file."""
    if not file.isdecimal() or len(file) > 10:
        raise CaptureError(f"{file} is no segment of the packet ring")
    return int(file)


def _pcapng(
    request: Request[Any, Any, Any], store: Store, found: dict[str, list[Frame]], name: str
) -> Response[bytes]:
    rows = sorted(
        (row[1], row[2], row[3], row[4]) for frames_ in found.values() for row in frames_
    )[:MOST_FRAMES]
    with tempfile.TemporaryDirectory(prefix="otic-") as folder:
        path = Path(folder) / "frames.pcapng"
        try:
            _core.write_pcapng(str(path), rows)
        except _core.CaptureError as error:
            raise CaptureError(str(error)) from None
        content = path.read_bytes()
    people.note(
        store,
        by=current(request).name,
        action="packets-downloaded",
        target=name,
        now_ns=time.time_ns(),
    )
    return Response(
        content,
        media_type=PCAPNG,
        headers={"Content-Disposition": f'attachment; filename="otic-{name}.pcapng"'},
    )


handlers = [shown, pcap_of_frames, pcap_of_alert, pcap_of_device]
