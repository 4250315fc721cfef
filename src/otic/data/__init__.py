"""Tables of public facts and of Otic's own rules; SOURCES.md says where each comes from."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from functools import cache
from importlib.resources import files


def read(name: str) -> bytes:
    """The bytes of one table, unpacked when its name ends in `.gz`."""
    raw = (files(__name__) / name).read_bytes()
    return gzip.decompress(raw) if name.endswith(".gz") else raw


def table(name: str) -> Iterator[list[str]]:
    """The rows of a tab-separated table; large ones are better not kept as rows."""
    return (line.split("\t") for line in read(name).decode().splitlines())


@cache
def mapping(name: str) -> dict[str, str]:
    """A table's first two columns as a mapping; the first row of a key counts."""
    found: dict[str, str] = {}
    for key, value, *_ in table(name):
        found.setdefault(key, value)
    return found
