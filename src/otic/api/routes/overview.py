"""The first page, and the captures."""

from __future__ import annotations

from otic.api.routing import read
from otic.store.queries import overview as queries
from otic.store.queries.common import Store


@read("/api/overview", permission="overview:read", operation_id="getOverview")
def overview(store: Store) -> queries.Overview:
    """What was captured, what there is, what needs attention, what was not seen."""
    return queries.overview(store)


@read("/api/captures", permission="overview:read", operation_id="listCaptures")
def captures(store: Store) -> list[queries.CaptureRow]:
    """The captures that were read."""
    return queries.captures(store)


handlers = [overview, captures]
