"""The last stage of a canary: the console's server reads it out of the store.

It runs where requests do, in the event loop and its worker threads, so that it stands still when
they do.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import structlog
from anyio import to_thread
from litestar import Litestar

from otic.errors import OticError
from otic.sensor.canary import Trail
from otic.store.queries import capture as queries
from otic.store.queries.common import Store

log = structlog.get_logger()

LOOK_S = 1.0
"""How often the store is asked."""


def watching(store: Store) -> Callable[[Litestar], AbstractAsyncContextManager[None]]:
    """Watches for canaries as long as the application lives."""

    @asynccontextmanager
    async def lifespan(_: Litestar) -> AsyncIterator[None]:
        task = asyncio.create_task(_watch(store)) if store.live is not None else None
        try:
            yield
        finally:
            if task is not None:
                task.cancel()

    return lifespan


async def _watch(store: Store) -> None:
    if store.live is None:
        return
    trail = Trail(store.live.canary("web"))
    last = None
    while True:
        try:
            now = await to_thread.run_sync(queries.canary, store)
            if now is not None and now != last:
                last = now
                await to_thread.run_sync(trail.passes, "web", now)
        except OticError as error:
            log.error("canary_cannot_be_read", reason=str(error))
        await asyncio.sleep(LOOK_S)
