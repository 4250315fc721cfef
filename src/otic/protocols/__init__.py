"""Protocol definitions: the files, those in force in this process, and their words for people.

What the files mean on the wire is the core's to say (`core/protocols/src/defined/`), which refuses
a bad one; here are the words about a protocol that the inventory needs.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal

import msgspec

from otic.errors import ProtocolError


class Inventory(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="kebab"
):
    """What a protocol tells of the devices that speak it."""

    industrial: bool = False
    """Whether it is an industrial protocol."""
    identity: int = 10
    """How much its word about a device's identity counts."""
    client_type: str = ""
    """Type of a device that is a client of it, when nothing says more."""
    server_type: str = ""
    """Type of a device that is a server of it, when nothing says more."""


class Example(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Messages, and what the definition must say of them."""

    source: str
    """Where the messages are from: a clause, or a capture and its frames."""
    messages: list[dict[Literal["client", "server"], str]]
    """Who sends, and the bytes in hexadecimal; a text after `text:` stands for its bytes."""
    says: list[str]
    """What is said of them, as `otic protocol test` shows it."""


class Definition(msgspec.Struct, frozen=True, kw_only=True):
    """One definition file, as far as it is words."""

    name: str
    title: str
    source: str
    client: str
    server: str
    vendor: str = ""
    not_decoded: str = msgspec.field(default="", name="not-decoded")
    carriers: dict[str, list[Any]] = {}
    inventory: Inventory = Inventory()
    examples: list[Example] = []
    file: str = ""
    text: str = ""


def parse(text: str, file: str) -> Definition:
    """The definition in this text.

    Raises:
        ProtocolError: it is no TOML, or lacks words that every definition has.
    """
    try:
        words = msgspec.toml.decode(text, type=Definition)
    except (msgspec.MsgspecError, ValueError) as error:
        raise ProtocolError(f"{file}: {error}") from None
    return msgspec.structs.replace(words, file=file, text=text)


@cache
def built_in() -> tuple[Definition, ...]:
    """The definitions that come with Otic, sorted by name of the file."""
    found = [file for file in files(__name__).iterdir() if file.name.endswith(".toml")]
    found.sort(key=lambda file: file.name)
    return tuple(parse(file.read_text(encoding="utf-8"), file.name) for file in found)


def paths(places: Iterable[str]) -> list[Path]:
    """The definition files that these files and folders stand for.

    Raises:
        ProtocolError: one of them is not there.
    """
    found: list[Path] = []
    for place in map(Path, places):
        if not place.exists():
            raise ProtocolError(f"{place}: there is no such file or folder")
        found += sorted(place.rglob("*.toml")) if place.is_dir() else [place]
    return found


def read(places: Iterable[str]) -> tuple[Definition, ...]:
    """The built-in definitions and those of one's own in these files and folders.

    Raises:
        ProtocolError: a file cannot be read.
    """
    own = []
    for path in paths(places):
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, ValueError) as error:
            raise ProtocolError(f"{path.name}: {error}") from None
        own.append(parse(text, path.name))
    return built_in() + tuple(own)


_in_force: tuple[tuple[Definition, ...], int] | None = None


def in_force() -> tuple[Definition, ...]:
    """The definitions whose words hold in this process."""
    return built_in() if _in_force is None else _in_force[0]


def version() -> int:
    """Grows whenever other definitions come into force."""
    return 0 if _in_force is None else _in_force[1]


def use(definitions: tuple[Definition, ...]) -> None:
    """From now on these definitions hold in this process."""
    global _in_force  # A process has one table of protocols, as the core has.
    if definitions != in_force():
        _in_force = (definitions, version() + 1)
