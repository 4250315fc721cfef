"""The device map."""

from __future__ import annotations

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
KEPT_S = 1
"""How long the plant as read serves everybody while a sensor changes it."""


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
    now_s = time.monotonic()
    kept = request.app.state.map
    if kept is None or kept[0] + KEPT_S < now_s:
        stamp = queries.stamp(store)
        made = kept[2] if kept and kept[1] == stamp else queries.graph(store)
        kept = request.app.state.map = (now_s, stamp, made)
    graph: queries.Graph = kept[2]
    return graph


handlers = [device_map]
