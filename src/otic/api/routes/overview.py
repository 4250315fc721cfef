"""The first page, and the captures."""

from __future__ import annotations

import time
from typing import Any

from litestar import Request

from otic.api.routing import read
from otic.store.queries import overview as queries
from otic.store.queries.common import Store

KEPT_S = 5
LIVE_KEPT_S = 1
"""How long one overview serves everybody; less while a sensor is at work."""


@read("/api/overview", permission="overview:read", operation_id="getOverview")
def overview(request: Request[Any, Any, Any], store: Store) -> queries.Overview:
    """What was captured, what there is, what needs attention, what was not seen."""
    now_s = time.monotonic()
    kept = request.app.state.overview
    kept_s = KEPT_S if store.live is None else LIVE_KEPT_S
    if kept is None or kept[0] + kept_s < now_s:
        kept = request.app.state.overview = (now_s, queries.overview(store))
    made: queries.Overview = kept[1]
    return made


@read("/api/captures", permission="overview:read", operation_id="listCaptures")
def captures(store: Store) -> list[queries.CaptureRow]:
    """The captures that were read."""
    return queries.captures(store)


handlers = [overview, captures]
