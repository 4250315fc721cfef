"""Plug-ins: readers in Python for payloads that no definition can read, each a folder with a
manifest.

Their code never runs in a process of Otic's own: one worker process has them all, and is killed at
the deadline of the call (`worker.py`, `pool.py`). What one cannot read, or is too slow for, gives
nothing and is logged.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import msgspec

from otic.errors import PluginError

MANIFEST = "plugin.toml"
NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
ENTRY_POINT = re.compile(r"([A-Za-z_]\w*):([A-Za-z_]\w*)", re.ASCII)


class Manifest(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="kebab"
):
    """`plugin.toml`."""

    name: str
    """Lower-case words joined by hyphens; claims name it as their message."""
    version: str
    payloads: Annotated[list[str], msgspec.Meta(min_length=1)]
    """Kinds of payloads it reads: of a definition's `payload`, `x509-certificate`, `http-body`."""
    entry_point: str
    """`module:function`; the module is a file of the folder."""
    deadline_ms: Annotated[int, msgspec.Meta(ge=1, le=5000)] = 500
    """Longest time for one payload."""


class Plugin(msgspec.Struct, frozen=True):
    """A plug-in, and where it is."""

    manifest: Manifest
    folder: Path

    @property
    def module(self) -> Path:
        """The file of the module that the entry point names."""
        return self.folder / (self.manifest.entry_point.partition(":")[0] + ".py")

    @property
    def function(self) -> str:
        """The function that the entry point names."""
        return self.manifest.entry_point.partition(":")[2]


def read(folder: Path) -> Plugin:
    """The plug-in in this folder; nothing of it is run.

    Raises:
        PluginError: there is none, or its manifest is not valid.
    """
    path = folder / MANIFEST
    try:
        manifest = msgspec.toml.decode(path.read_text(encoding="utf-8"), type=Manifest)
    except OSError as error:
        raise PluginError(f"{path}: {error.strerror}") from None
    except (msgspec.MsgspecError, ValueError) as error:
        raise PluginError(f"{path}: {error}") from None
    if not NAME.fullmatch(manifest.name):
        raise PluginError(f"{path}: name: lower-case words joined by hyphens are wanted")
    if not ENTRY_POINT.fullmatch(manifest.entry_point):
        raise PluginError(f"{path}: entry-point: module:function is wanted")
    plugin = Plugin(manifest, folder.resolve())
    if not plugin.module.is_file():
        raise PluginError(f"{path}: entry-point: there is no {plugin.module.name} beside it")
    return plugin


def read_all(places: Iterable[str]) -> tuple[Plugin, ...]:
    """The plug-ins in these folders.

    Raises:
        PluginError: one of them is not valid, or two have the same name.
    """
    found: dict[str, Plugin] = {}
    for place in places:
        plugin = read(Path(place))
        name = plugin.manifest.name
        if name in found:
            raise PluginError(f"{place}: {found[name].folder} is a plug-in {name!r} as well")
        found[name] = plugin
    return tuple(found.values())
