"""Devices: search, one in full, as CSV."""

from __future__ import annotations

import csv
import io
from typing import Annotated

from litestar import Response
from litestar.exceptions import NotFoundException
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import Parameter

from otic.api.routing import Id, Limit, Offset, Search, Text, Texts, read
from otic.store.queries import devices as queries
from otic.store.queries.common import Page, Store

Levels = Annotated[
    list[Annotated[int, Parameter(ge=0, le=5)]] | None,
    Parameter(max_items=6, description="Purdue levels."),
]
Types = Annotated[list[str] | None, Parameter(query="type", max_items=50)]
COLUMNS = (
    "id",
    "name",
    "type",
    "vendor",
    "model",
    "firmware",
    "serial",
    "os",
    "ips",
    "macs",
    "protocols",
    "purdue_level",
    "space",
    "first_seen",
    "last_seen",
)
EXPORT_ROWS = 500
FORMULA = ("=", "+", "-", "@", "\t", "\r")


@read("/api/devices", permission="devices:read", operation_id="listDevices")
def listed(
    store: Store,
    q: Search = None,
    type_: Types = None,
    vendor: Texts = None,
    level: Levels = None,
    protocol: Text = None,
    space: Text = None,
    sort: queries.Sort = "name",
    descending: bool = False,
    offset: Offset = 0,
    limit: Limit = 100,
) -> Page[queries.DeviceRow]:
    """Devices to search in; an empty vendor asks for those without one."""
    asked = queries.DeviceFilter(
        q=q, type=type_, vendor=vendor, level=level, protocol=protocol, space=space
    )
    return queries.page(store, asked, sort=sort, descending=descending, offset=offset, limit=limit)


@read(
    "/api/devices.csv",
    permission="devices:export",
    operation_id="exportDevices",
    media_type="text/csv",
    responses={200: ResponseSpec(str, description="One device a line.", media_type="text/csv")},
)
def exported(store: Store, q: Search = None) -> Response[str]:
    """Devices as CSV; cells that a spreadsheet takes for formulas start with an apostrophe."""
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(COLUMNS)
    offset = 0
    while True:
        page = queries.page(store, queries.DeviceFilter(q=q), offset=offset, limit=EXPORT_ROWS)
        for row in page.items:
            writer.writerow([cell(getattr(row, name)) for name in COLUMNS])
        offset += EXPORT_ROWS
        if offset >= page.total:
            break
    return Response(
        out.getvalue(),
        media_type="text/csv",
        headers={"Content-Disposition": 'attachment; filename="otic-devices.csv"'},
    )


def cell(value: object) -> str:
    """One cell as text that no spreadsheet takes for a formula."""
    text = " ".join(map(str, value)) if isinstance(value, list) else str(value or "")
    if value == 0:
        text = "0"
    text = "".join(letter if letter.isprintable() else " " for letter in text)
    return f"'{text}" if text.startswith(FORMULA) else text


@read(
    "/api/devices/{device:str}", permission="devices:read", errors=(404,), operation_id="getDevice"
)
def one(store: Store, device: Id) -> queries.DeviceDetail:
    """Everything known about one device, apart from its traffic and alerts."""
    found = queries.detail(store, device)
    if found is None:
        raise NotFoundException(detail=f"There is no device {device}.")
    return found


handlers = [listed, exported, one]
