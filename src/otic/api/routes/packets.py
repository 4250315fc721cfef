"""Slices of the packet ring of a sensor at work, as captures."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, BinaryIO

from litestar import Request
from litestar.exceptions import ClientException, NotFoundException
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import Parameter
from litestar.response import Stream

from otic.api.auth import current
from otic.api.routing import OptionalId, read
from otic.sensor.slices import MOST_BYTES, NoAddressError, write
from otic.store.queries import packets as queries
from otic.store.queries import people
from otic.store.queries.common import Store

PCAPNG = "application/x-pcapng"
PIECE_BYTES = 1 << 18

Time = Annotated[
    datetime | None, Parameter(description="ISO 8601; UTC where no time zone is named.")
]
Hosts = Annotated[
    list[Annotated[str, Parameter(min_length=1, max_length=64)]] | None,
    Parameter(
        max_items=50,
        description="Addresses, IP or MAC. Two mean what they said to each other, "
        "another number all that they sent and got.",
    ),
]
Port = Annotated[int | None, Parameter(ge=1, le=65_535, description="TCP or UDP, either side.")]
Most = Annotated[int, Parameter(ge=1_000, le=MOST_BYTES, description="Most bytes of frames.")]


@read(
    "/api/packets",
    permission="packets:download",
    errors=(404,),
    operation_id="downloadPackets",
    media_type=PCAPNG,
    responses={200: ResponseSpec(bytes, description="A pcapng file.", media_type=PCAPNG)},
)
def slice_of_ring(
    request: Request[Any, Any, Any],
    store: Store,
    start: Time = None,
    end: Time = None,
    host: Hosts = None,
    port: Port = None,
    device: OptionalId = None,
    connection: OptionalId = None,
    alert: OptionalId = None,
    most_bytes: Most = MOST_BYTES,
) -> Stream:
    """Frames of the packet ring as a capture with comments: why they were taken, which of them
    prove an alert, and whether the capture was cut at `most_bytes`.
    """
    if store.live is None:
        raise NotFoundException(detail="This is the result of a replay; it has no packet ring.")
    asked = queries.Asked(
        start_ns=_ns(start),
        end_ns=_ns(end),
        hosts=host or [],
        port=port,
        device=device,
        connection=connection,
        alert=alert,
    )
    wanted = queries.wanted(store, asked)
    if wanted.start_ns > wanted.end_ns:
        raise ClientException(detail="The end is before the start.")
    with tempfile.TemporaryDirectory(prefix="otic-") as folder:
        path = Path(folder) / "slice.pcapng"
        try:
            write(store.live, wanted, path, sensor=store.scope["sensor"], most_bytes=most_bytes)
        except NoAddressError as error:
            raise ClientException(detail=f"{error}.") from None
        # Open, it outlives its folder.
        file = path.open("rb")
    people.note(
        store,
        by=current(request).name,
        action="packets-downloaded",
        target=f"ring: {wanted.why}"[:500],
        now_ns=time.time_ns(),
    )
    name = f"otic-packets-{datetime.now(UTC):%Y%m%dT%H%M%SZ}.pcapng"
    return Stream(
        _pieces(file),
        media_type=PCAPNG,
        headers={"Content-Disposition": f'attachment; filename="{name}"'},
    )


def _pieces(file: BinaryIO) -> Iterator[bytes]:
    with file:
        while piece := file.read(PIECE_BYTES):
            yield piece


def _ns(moment: datetime | None) -> int | None:
    if moment is None:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    since = moment - datetime(1970, 1, 1, tzinfo=UTC)
    return (since.days * 86_400 + since.seconds) * 1_000_000_000 + since.microseconds * 1000


handlers = [slice_of_ring]
