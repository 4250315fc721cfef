"""Alerts: list and one in full."""

from __future__ import annotations

from typing import Annotated, Literal

from litestar.exceptions import NotFoundException
from litestar.params import Parameter

from otic.api.routing import Id, Limit, Offset, OptionalId, Search, Text, read
from otic.store.queries import alerts as queries
from otic.store.queries.common import Store

Severities = Annotated[
    list[Literal["critical", "major", "minor", "warning"]] | None, Parameter(max_items=4)
]
Engines = Annotated[
    list[Literal["policy", "protocol", "malware", "anomaly", "operational"]] | None,
    Parameter(max_items=5),
]


@read("/api/alerts", permission="alerts:read", operation_id="listAlerts")
def listed(
    store: Store,
    q: Search = None,
    severity: Severities = None,
    engine: Engines = None,
    title: Text = None,
    device: OptionalId = None,
    policy: bool = False,
    sort: queries.Sort = "severity",
    descending: bool = True,
    offset: Offset = 0,
    limit: Limit = 100,
) -> queries.AlertPage:
    """Alerts; with `policy`, what would be alerts if it were not known."""
    asked = queries.AlertFilter(
        q=q,
        severity=list(severity) if severity else None,
        engine=list(engine) if engine else None,
        title=title,
        device=device,
        policy=policy,
    )
    return queries.page(store, asked, sort=sort, descending=descending, offset=offset, limit=limit)


@read("/api/alerts/{alert:str}", permission="alerts:read", errors=(404,), operation_id="getAlert")
def one(store: Store, alert: Id) -> queries.AlertDetail:
    """One alert with what explains it and what proves it."""
    found = queries.detail(store, alert)
    if found is None:
        raise NotFoundException(detail=f"There is no alert {alert}.")
    return found


handlers = [listed, one]
