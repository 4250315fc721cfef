"""How a route is declared: path, permission, and which errors it may answer with."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Annotated, Any

from anyio import to_thread
from litestar import delete, get, post
from litestar.handlers import HTTPRouteHandler
from litestar.params import Parameter

from otic.api.auth import PUBLIC
from otic.api.problems import documented

Declare = Callable[[Callable[..., Any]], HTTPRouteHandler]
"""What turns a function into a route."""

Limit = Annotated[int, Parameter(ge=1, le=500, description="Most rows of the answer.")]
Offset = Annotated[int, Parameter(ge=0, le=10_000_000, description="Rows to pass over.")]
Search = Annotated[
    str | None, Parameter(max_length=200, description="Words that all have to be found.")
]
Text = Annotated[str | None, Parameter(max_length=200)]
Texts = Annotated[list[str] | None, Parameter(max_items=50)]
Id = Annotated[str, Parameter(pattern="^[0-9a-f]{32}$", description="16 bytes in hexadecimal.")]
OptionalId = Annotated[
    str | None, Parameter(pattern="^[0-9a-f]{32}$", description="16 bytes in hexadecimal.")
]


def _declared(
    maker: Any, path: str, permission: str, errors: tuple[int, ...], more: Any
) -> Declare:
    always = (400, 503) if permission == PUBLIC else (400, 401, 403, 503)
    declare = maker(
        path,
        opt={"permission": permission},
        responses=documented(*sorted({*always, *errors})) | more.pop("responses", {}),
        **more,
    )

    def route(function: Callable[..., Any]) -> HTTPRouteHandler:
        made: HTTPRouteHandler = declare(in_thread(function))
        return made

    return route


def in_thread(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function as a coroutine that runs it in a worker thread.

    The framework's own switch for this wraps functions twice where a path has several methods.
    """

    @functools.wraps(function)
    async def run(*args: Any, **named: Any) -> Any:
        return await to_thread.run_sync(functools.partial(function, *args, **named))

    return run


def read(path: str, *, permission: str, errors: tuple[int, ...] = (), **more: Any) -> Declare:
    """A route that only reads."""
    return _declared(get, path, permission, errors, more)


def create(path: str, *, permission: str, errors: tuple[int, ...] = (), **more: Any) -> Declare:
    """A route that makes or changes something."""
    return _declared(post, path, permission, (403, *errors), more)


def remove(path: str, *, permission: str, errors: tuple[int, ...] = (), **more: Any) -> Declare:
    """A route that removes something."""
    return _declared(delete, path, permission, errors, more)
