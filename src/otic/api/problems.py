"""Errors as `application/problem+json` (RFC 9457), with the reason in plain words."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

import msgspec
import structlog
from litestar import Request, Response
from litestar.exceptions import HTTPException
from litestar.openapi.datastructures import ResponseSpec

from otic.errors import CaptureError, EvidenceError, OticError

log = structlog.get_logger()

PROBLEM = "application/problem+json"


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """What went wrong and why."""

    title: str
    status: int
    detail: str
    type: str = "about:blank"
    invalid: list[str] = []


def problem(
    status: int,
    detail: str,
    *,
    invalid: list[str] | None = None,
    headers: dict[str, str] | None = None,
) -> Response[Problem]:
    """The answer that says what went wrong."""
    body = Problem(
        title=HTTPStatus(status).phrase, status=status, detail=detail, invalid=invalid or []
    )
    return Response(body, status_code=status, media_type=PROBLEM, headers=headers)


def on_http_error(_: Request[Any, Any, Any], error: HTTPException) -> Response[Problem]:
    """Errors of the web framework and of routes."""
    invalid = []
    if isinstance(error.extra, list):
        invalid = [
            f"{entry.get('key', 'body')}: {entry.get('message', '')}"
            for entry in error.extra
            if isinstance(entry, dict)
        ]
    detail = error.detail
    if error.status_code == HTTPStatus.BAD_REQUEST:
        detail = detail.partition(" for ")[0]
    return problem(
        error.status_code, detail, invalid=invalid, headers=dict(error.headers or {}) or None
    )


def on_otic_error(_: Request[Any, Any, Any], error: OticError) -> Response[Problem]:
    """What Otic refuses on purpose: captures and frames that are not there are not found."""
    missing = isinstance(error, CaptureError | EvidenceError)
    return problem(404 if missing else 503, str(error))


def on_any_error(request: Request[Any, Any, Any], error: Exception) -> Response[Problem]:
    """A mistake of the program: named in the log, never explained to the browser."""
    log.error("request_failed", path=request.url.path, kind=type(error).__name__, exc_info=error)
    return problem(500, "Something in Otic went wrong; its log says what.")


HANDLERS: Any = {
    HTTPException: on_http_error,
    OticError: on_otic_error,
    Exception: on_any_error,
}

_MEANINGS = {
    400: "The request does not fit.",
    401: "Nobody is logged in.",
    403: "The role of who is logged in does not have the permission, or the token is missing.",
    404: "There is no such thing.",
    409: "It contradicts what there is.",
    429: "Too many failed log-ins; `Retry-After` says how many seconds to wait.",
    503: "The database cannot be read or written.",
}


def documented(*statuses: int) -> dict[int, ResponseSpec]:
    """Error answers of a route for the OpenAPI document."""
    return {
        status: ResponseSpec(
            data_container=Problem,
            description=_MEANINGS[status],
            media_type=PROBLEM,
            generate_examples=False,
        )
        for status in statuses
    }


__all__ = ["HANDLERS", "Problem", "documented", "problem"]
