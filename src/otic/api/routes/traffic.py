"""Connections and operations."""

from __future__ import annotations

from otic.api.routing import Limit, Offset, OptionalId, Search, Text, Texts, read
from otic.store.queries import traffic as queries
from otic.store.queries.common import Page, Store


@read("/api/connections", permission="traffic:read", operation_id="listConnections")
def connections(
    store: Store,
    device: OptionalId = None,
    protocol: Text = None,
    q: Search = None,
    sort: queries.ConnectionSort = "bytes",
    descending: bool = True,
    offset: Offset = 0,
    limit: Limit = 100,
) -> Page[queries.ConnectionRow]:
    """Who talks to whom."""
    return queries.connections(
        store,
        device=device,
        protocol=protocol,
        q=q,
        sort=sort,
        descending=descending,
        offset=offset,
        limit=limit,
    )


@read("/api/operations", permission="traffic:read", operation_id="listOperations")
def operations(
    store: Store,
    device: OptionalId = None,
    protocol: Text = None,
    action: Texts = None,
    q: Search = None,
    sort: queries.OperationSort = "count",
    descending: bool = True,
    offset: Offset = 0,
    limit: Limit = 100,
) -> Page[queries.OperationRow]:
    """What is done over the connections."""
    return queries.operations(
        store,
        device=device,
        protocol=protocol,
        action=action,
        q=q,
        sort=sort,
        descending=descending,
        offset=offset,
        limit=limit,
    )


handlers = [connections, operations]
