"""How capture is, what changes as it happens, and the end of learning."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from typing import Any

import msgspec
from anyio import sleep, to_thread
from litestar import Request, get
from litestar.exceptions import ClientException, NotFoundException
from litestar.response import ServerSentEvent, ServerSentEventMessage

from otic.api.auth import current
from otic.api.problems import documented
from otic.api.routing import create, read
from otic.sensor.decisions import Decision, RefusedError, send
from otic.store.queries import capture as queries
from otic.store.queries.common import Store

LOOK_S = 0.25
"""How often a console that watches is told what is new."""

LONGEST_S = 300
"""A console asks again after so long, so that an ended session ends its watching."""


class Version(msgspec.Struct, frozen=True):
    """What is new: `looks` counts changes of devices and alerts, `batch` what was captured."""

    looks: int
    batch: int


@read("/api/capture", permission="overview:read", operation_id="getCapture")
def capture(store: Store) -> queries.Capture:
    """Interfaces, what was lost, blind times, learning, packet ring, processes."""
    return queries.capture(store)


@get(
    "/api/live",
    opt={"permission": "overview:read"},
    operation_id="watch",
    responses=documented(400, 401, 403, 503),
)
async def watch(store: Store) -> ServerSentEvent:
    """Events, each when something is new: `data` is a JSON object with `looks` and `batch`."""
    return ServerSentEvent(_versions(store))


async def _versions(store: Store) -> AsyncIterator[ServerSentEventMessage]:
    until = time.monotonic() + LONGEST_S
    last = None
    while time.monotonic() < until:
        now = await to_thread.run_sync(queries.version, store)
        if now != last:
            last = now
            text = msgspec.json.encode(Version(*now)).decode()
            yield ServerSentEventMessage(data=text, event="news")
        await sleep(LOOK_S)


@create(
    "/api/capture/learning/end",
    permission="learning:decide",
    errors=(404, 503),
    operation_id="endLearning",
    status_code=204,
)
def end_learning(request: Request[Any, Any, Any], store: Store) -> None:
    """What was seen until now is normal; from here on, what is new alerts."""
    if store.live is None:
        raise NotFoundException(detail="This is the result of a replay; nothing learns here.")
    decision = Decision(kind="finish-learning", person=current(request).name, ts_ns=time.time_ns())
    try:
        send(store.live.analysis_socket, decision)
    except RefusedError as error:
        raise ClientException(detail=f"{error}.") from None


handlers = [capture, watch, end_learning]
