"""Texts of alerts: templates by key, filled with an alert's values when shown."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from importlib.resources import files

import msgspec

_PLACE = re.compile(r"\{([a-z_.]+)\}")


@cache
def templates(language: str = "en") -> dict[str, str]:
    """All templates of a language by message key."""
    raw = (files(__name__) / f"{language}.toml").read_bytes()
    return msgspec.toml.decode(raw, type=dict[str, str])


def render(key: str, values: Mapping[str, str], language: str = "en") -> str:
    """The text of a message; a value that is missing shows as a dash.

    Values never act as templates themselves.
    """
    known = templates(language)
    template = known.get(key)
    if template is None:
        template = known["any"]
        values = {**values, "all": "; ".join(f"{k} {v}" for k, v in sorted(values.items()))}
    return _PLACE.sub(lambda place: values.get(place[1], "-"), template)
