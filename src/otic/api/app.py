"""The application: all routes, the console's files, headers; and the server that runs it."""

from __future__ import annotations

import socket
import sys
import threading
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from litestar import Litestar, Request, Response, Router, get
from litestar.config.compression import CompressionConfig
from litestar.datastructures import State
from litestar.di import Provide
from litestar.openapi import OpenAPIConfig
from litestar.openapi.plugins import JsonRenderPlugin
from litestar.openapi.spec import Components, SecurityScheme
from litestar.types import Message, Scope

from otic import __version__
from otic.api import canary
from otic.api.auth import COOKIE, LOGGED_IN, PUBLIC, Throttle, first_user, require_permission
from otic.api.files import console_file
from otic.api.problems import HANDLERS, Problem, problem
from otic.api.routes import (
    alerts,
    capture,
    devices,
    evidence,
    mirror,
    overview,
    packets,
    session,
    setup,
    traffic,
    users,
)
from otic.api.routes import map as device_map
from otic.errors import ServeError
from otic.logs import configure_logs
from otic.store.queries.common import Store

if TYPE_CHECKING:
    import uvicorn

DEFAULT_PORT = 8443

NOUNS = (
    session,
    overview,
    capture,
    mirror,
    devices,
    device_map,
    traffic,
    alerts,
    evidence,
    packets,
    setup,
    users,
)
"""Files with routes; a new one is added here."""

SECURITY_HEADERS = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; "
        "img-src 'self' data:; font-src 'self'; connect-src 'self'; base-uri 'none'; "
        "form-action 'self'; frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=(), usb=()",
}
"""On every answer. Styles may be inline: the component kit sets sizes that way; scripts never."""

HSTS = "max-age=31536000"


async def add_headers(message: Message, scope: Scope) -> None:
    """Puts the security headers on every answer, errors included."""
    if message["type"] != "http.response.start":
        return
    headers = {name.lower(): value for name, value in message["headers"]}
    for name, value in SECURITY_HEADERS.items():
        headers.setdefault(name.encode(), value.encode())
    if str(scope["path"]).startswith("/api/") or scope["path"] == "/api":
        headers[b"cache-control"] = b"no-store"
    if scope.get("scheme") == "https":
        headers.setdefault(b"strict-transport-security", HSTS.encode())
    cookies = [pair for pair in message["headers"] if pair[0].lower() == b"set-cookie"]
    headers.pop(b"set-cookie", None)
    message["headers"] = [*headers.items(), *cookies]


@get(
    ["/", "/{path:path}"],
    opt={"permission": PUBLIC},
    include_in_schema=False,
    sync_to_thread=False,
)
def console(
    request: Request[Any, Any, Any], path: str = "/"
) -> Response[bytes] | Response[Problem]:
    """The console's files; any other address that is a page is the console itself."""
    if path == "/api" or path.startswith("/api/"):
        return problem(404, f"There is no route {path}.")
    return console_file(path, request.headers.get("if-none-match"))


def create_app(store: Store, *, secure: bool = False, config: Path | None = None) -> Litestar:
    """The application on this store; `secure` marks cookies for TLS only.

    `config` is the settings file of a sensor at work, there or not.
    """
    return Litestar(
        route_handlers=[console, *(handler for noun in NOUNS for handler in noun.handlers)],
        guards=[require_permission],
        dependencies={"store": Provide(lambda: store, sync_to_thread=False)},
        exception_handlers=HANDLERS,
        before_send=[add_headers],
        lifespan=[canary.watching(store)],
        compression_config=CompressionConfig(
            backend="gzip", minimum_size=1024, exclude=["/api/live", "/api/packets"]
        ),
        openapi_config=OpenAPIConfig(
            title="Otic",
            version=__version__,
            description="Passive security monitoring for OT and IoT networks.",
            use_handler_docstrings=True,
            render_plugins=[JsonRenderPlugin()],
            openapi_router=Router(
                path="/api/schema",
                route_handlers=[],
                opt={"permission": LOGGED_IN},
                include_in_schema=False,
            ),
            components=Components(
                security_schemes={
                    "session": SecurityScheme(
                        type="apiKey", name=COOKIE, security_scheme_in="cookie"
                    )
                }
            ),
            security=[{"session": []}],
        ),
        state=State(
            {
                "store": store,
                "throttle": Throttle(),
                "secure": secure,
                "overview": None,
                "map": None,
                "config": config,
            }
        ),
        request_max_body_size=65_536,
        logging_config=None,
    )


def serve(
    store: Store,
    *,
    keys: Path,
    host: str = "127.0.0.1",
    port: int = DEFAULT_PORT,
    tls: bool = True,
    out: TextIO | None = None,
    ended: threading.Event | None = None,
    config: Path | None = None,
) -> None:
    """Serves the console on this store until it is stopped, or `ended` is set; closes the store.

    Certificate and key are in `keys`, the settings of a sensor at work in `config`. Prints the
    address, and once the first password, to `out` (default: standard output).

    Raises:
        ServeError: the port is taken, or the address is not one of this machine.
        StoreError: the database cannot be read.
    """
    import uvicorn

    from otic.api.certificate import certificate

    out = out or sys.stdout
    listening = _listen(host, port)
    password = first_user(store)
    paths = certificate(keys, host) if tls else None
    configure_logs()
    serving = uvicorn.Config(
        create_app(store, secure=tls, config=config),
        log_level="critical",
        access_log=False,
        server_header=False,
        ssl_certfile=paths.certificate if paths else None,
        ssl_keyfile=paths.key if paths else None,
        timeout_graceful_shutdown=1,
    )
    port = listening.getsockname()[1]
    shown = f"[{host}]" if ":" in host else host
    print(f"Console: {'https' if tls else 'http'}://{shown}:{port}/", file=out)
    if paths:
        print(f"Certificate: {paths.fingerprint} (SHA-256, made by this sensor)", file=out)
    if password is not None:
        print(f"First log-in: name admin, password {password}", file=out)
        print("This password is shown only now; `otic user password` makes another.", file=out)
    out.flush()
    try:
        with suppress(KeyboardInterrupt):
            server = uvicorn.Server(serving)
            if ended is not None:
                threading.Thread(target=_end, args=(server, ended), daemon=True).start()
            server.run(sockets=[listening])
    finally:
        store.close()


def _end(server: uvicorn.Server, ended: threading.Event) -> None:
    ended.wait()
    server.should_exit = True


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
        listening.listen(128)
    except (OSError, OverflowError) as error:
        listening.close()
        reason = getattr(error, "strerror", None) or str(error)
        raise ServeError(f"cannot listen on {host} port {port}: {reason}") from None
    listening.set_inheritable(True)
    return listening
