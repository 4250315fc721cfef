"""Tables of public facts and of Otic's own rules; SOURCES.md says where each comes from."""

from __future__ import annotations

import gzip
import io
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib.resources import files
from typing import IO, cast


@contextmanager
def _opened(name: str) -> Iterator[IO[bytes]]:
    """One table, unpacked when its name ends in `.gz`."""
    with (files(__name__) / name).open("rb") as raw:
        yield cast(IO[bytes], gzip.GzipFile(fileobj=raw)) if name.endswith(".gz") else raw


def read(name: str) -> bytes:
    """The bytes of one table."""
    with _opened(name) as file:
        return file.read()


def table(name: str) -> Iterator[list[str]]:
    """The rows of a tab-separated table; large ones are better not kept as rows."""
    with _opened(name) as file, io.TextIOWrapper(file, "utf-8") as lines:
        for line in lines:
            yield line.rstrip("\n").split("\t")


@cache
def mapping(name: str) -> dict[str, str]:
    """A table's first two columns as a mapping; the first row of a key counts."""
    found: dict[str, str] = {}
    for key, value, *_ in table(name):
        found.setdefault(key, value)
    return found
