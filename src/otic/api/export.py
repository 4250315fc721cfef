"""Writes the OpenAPI document: `python -m otic.api.export console/openapi.json`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, cast

import msgspec

from otic.api.app import create_app
from otic.store.queries.common import Store


def document() -> dict[str, Any]:
    """The OpenAPI document of all routes; needs no database."""
    return create_app(cast("Store", None)).openapi_schema.to_schema()


def text() -> str:
    """The document as text with sorted keys, the same for the same routes."""
    encoded = msgspec.json.Encoder(order="deterministic").encode(document())
    return msgspec.json.format(encoded, indent=2).decode() + "\n"


if __name__ == "__main__":
    if len(sys.argv) != 2:
        raise SystemExit("otic.api.export: name the file to write")
    Path(sys.argv[1]).write_text(text(), encoding="utf-8")
