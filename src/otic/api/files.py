"""The console's built files, read once and kept in memory."""

from __future__ import annotations

import hashlib
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable

import msgspec
from litestar import Response

from otic.api.problems import Problem, problem

TYPES = {
    "html": "text/html; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "svg": "image/svg+xml",
    "png": "image/png",
    "ico": "image/x-icon",
    "json": "application/json",
    "woff2": "font/woff2",
    "txt": "text/plain; charset=utf-8",
    "webmanifest": "application/manifest+json",
}
FOREVER = "public, max-age=31536000, immutable"


class BuiltFile(msgspec.Struct, frozen=True):
    """One file of the console."""

    content: bytes
    media_type: str
    tag: str
    cache: str


@cache
def built() -> dict[str, BuiltFile]:
    """All files by path from `/`; files under `/assets/` carry their hash in the name."""
    root = files("otic") / "console"
    return dict(_walk(root, "/")) if root.is_dir() else {}


def _walk(folder: Traversable, at: str) -> list[tuple[str, BuiltFile]]:
    found: list[tuple[str, BuiltFile]] = []
    for entry in folder.iterdir():
        path = at + entry.name
        if entry.is_dir():
            found += _walk(entry, path + "/")
        elif (kind := TYPES.get(entry.name.rpartition(".")[2])) is not None:
            content = entry.read_bytes()
            tag = f'"{hashlib.blake2b(content, digest_size=12).hexdigest()}"'
            kept = FOREVER if path.startswith("/assets/") else "no-cache"
            found.append((path, BuiltFile(content, kind, tag, kept)))
    return found


def console_file(path: str, known_tag: str | None) -> Response[bytes] | Response[Problem]:
    """The file at this path; the console's page for paths that name no file."""
    known = built()
    file = known.get(path)
    if file is None:
        if "." in path.rpartition("/")[2] or path.startswith("/assets/"):
            return problem(404, f"There is no file {path}.")
        file = known.get("/index.html")
    if file is None:
        return problem(503, "The console is not built; `make console` builds it.")
    headers = {"ETag": file.tag, "Cache-Control": file.cache}
    if known_tag == file.tag:
        return Response(b"", status_code=304, headers=headers, media_type=file.media_type)
    return Response(file.content, media_type=file.media_type, headers=headers)
