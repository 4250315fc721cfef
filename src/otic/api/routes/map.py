"""The device map."""

from __future__ import annotations

import threading
import time
from typing import Annotated, Any

from litestar import Request
from litestar.params import Parameter

from otic.api.routing import Search, Text, read
from otic.store.queries import map as queries
from otic.store.queries.common import Store

Opened = Annotated[
    list[str] | None,
    Parameter(query="open", max_items=50, description="Groups whose devices are drawn."),
]
KEPT_TIMES = 10
"""How long the plant as read serves everybody although it changed: times what reading it took."""

_reading = threading.Lock()


@read("/api/map", permission="devices:read", operation_id="getMap")
def device_map(
    request: Request[Any, Any, Any],
    store: Store,
    q: Search = None,
    protocol: Text = None,
    industrial: bool = False,
    open_: Opened = None,
) -> queries.DeviceMap:
    """Devices by Purdue level and who talks to whom; a large plant as groups that can be opened."""
    asked = queries.MapFilter(q=q, protocol=protocol, industrial=industrial, open=open_)
    return queries.view(_graph(request, store), asked)


def _graph(request: Request[Any, Any, Any], store: Store) -> queries.Graph:
    state = request.app.state
    with _reading:
        now_s = time.monotonic()
        kept = state.map
        if kept is None or kept[0] < now_s:
            stamp = queries.stamp(store)
            # A live sensor also writes between two batches.
            if kept is not None and store.live is None and kept[1] == stamp:
                made = kept[2]
            else:
                # Two of a large plant at a time would be too much memory.
                kept = state.map = None
                made = queries.graph(store)
            took_s = time.monotonic() - now_s
            until_s = now_s + took_s + took_s * KEPT_TIMES
            kept = state.map = (until_s, stamp, made)
        graph: queries.Graph = kept[2]
    return graph


handlers = [device_map]
