"""Template: what was read, in one sum; replace by what the route is for."""

from __future__ import annotations

import msgspec

from otic.api.routing import read
from otic.store.queries import overview
from otic.store.queries.common import Store


class Template(msgspec.Struct, frozen=True, kw_only=True):
    """How many captures were read, and their frames."""

    captures: int
    frames: int


@read("/api/template", permission="overview:read", operation_id="getTemplate")
def template(store: Store) -> Template:
    """How much was read."""
    captures = overview.captures(store)
    return Template(captures=len(captures), frames=sum(row.frames for row in captures))


handlers = [template]
