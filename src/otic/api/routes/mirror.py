"""How good the mirror is."""

from __future__ import annotations

from litestar.response import Response

from otic.api.routing import read
from otic.coverage.report import Mirror, Period, text
from otic.store.queries import mirror as queries
from otic.store.queries.common import Store


@read("/api/mirror", permission="overview:read", operation_id="getMirror")
def mirror(store: Store, period: Period | None = None) -> Mirror:
    """Findings with what mends them, lanes, protocols and connections with their grades."""
    return queries.mirror(store, period)


@read("/api/mirror/report", permission="overview:read", operation_id="getMirrorReport")
def report(store: Store, period: Period | None = None) -> Response[str]:
    """The same as a plain text to hand on."""
    return Response(
        text(queries.mirror(store, period)),
        media_type="text/plain; charset=utf-8",
        headers={"Content-Disposition": 'attachment; filename="mirror-quality.txt"'},
    )


handlers = [mirror, report]
