"""Settings as text: shown whole, and a few of them changed in a file that people wrote."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec

from otic.errors import SettingsError
from otic.settings import Settings, Subnet, parse

MODE = 0o640
"""Of a settings file that was not there before: rules and subnets are no secret of everybody."""


class Chosen(msgspec.Struct, frozen=True, kw_only=True):
    """What setting a sensor up decides; everything else in the file stays as it is."""

    interfaces: list[str]
    """Names of the monitored interfaces."""
    subnets: list[Subnet]
    """The plant's subnets. The zone of one that is in the file already stays."""
    learning_s: int
    """Observed seconds for which the sensor learns."""


def changed(text: str, chosen: Chosen) -> str:
    """The text of an `otic.toml` with these settings in it, and its comments where they can stay.

    Raises:
        SettingsError: the text is no valid `otic.toml`, or would be none with these settings.
    """
    parse(text.encode(), "otic.toml")
    before: dict[str, Any] = msgspec.toml.decode(text, type=dict[str, Any])
    wanted = _wanted(before, chosen)
    new = _edited(text, before, wanted)
    # A line that looks like a table can stand in a string: what was written is what counts.
    if new is None or _said(new) != wanted:
        settings = msgspec.convert(wanted, Settings)
        new = "\n".join(as_toml(settings, defaults=False)).lstrip("\n") + "\n"
    parse(new.encode(), "otic.toml")
    return new


def _wanted(before: dict[str, Any], chosen: Chosen) -> dict[str, Any]:
    """What the file shall say. Kept tables keep their order; new ones follow."""
    interfaces = [one for one in before.get("interface", []) if one["name"] in chosen.interfaces]
    there = {one["name"] for one in interfaces}
    interfaces += [{"name": name} for name in chosen.interfaces if name not in there]
    by_cidr = {one.cidr: one for one in chosen.subnets}
    subnets = [
        _subnet(by_cidr.pop(one["cidr"]), one)
        for one in before.get("subnet", [])
        if one["cidr"] in by_cidr
    ]
    subnets += [_subnet(one, {"cidr": one.cidr}) for one in by_cidr.values()]
    after = before | {"interface": interfaces, "subnet": subnets}
    if chosen.learning_s != before.get("learning_s", Settings().learning_s):
        after["learning_s"] = chosen.learning_s
    for key in ("interface", "subnet"):
        if not after[key]:
            del after[key]
    return after


def _subnet(one: Subnet, before: dict[str, Any]) -> dict[str, Any]:
    """The keys of a subnet's table; what is at its default is not written anew."""
    after = dict(before)
    for key in ("name", "industrial"):
        value = getattr(one, key)
        if value != before.get(key, getattr(Subnet(cidr=""), key)):
            after[key] = value
    return after


def _said(text: str) -> dict[str, Any] | None:
    try:
        said: dict[str, Any] = msgspec.toml.decode(text, type=dict[str, Any])
    except (msgspec.MsgspecError, ValueError):
        return None
    return said


_HEADER = re.compile(r"\s*\[")
_OURS = re.compile(r"\s*\[\[\s*(interface|subnet)\s*\]\]")
_QUIET = re.compile(r"\s*(#.*)?$")
_LEARNING = re.compile(r"(\s*learning_s\s*=\s*)[0-9_]+(.*)", re.DOTALL)


def _edited(text: str, before: dict[str, Any], wanted: dict[str, Any]) -> str | None:
    """The text with only the lines changed that must; none where it is written in another way."""
    # Not splitlines: it also breaks at characters that may stand in a string.
    lines = [line + "\n" for line in text.removesuffix("\n").split("\n")] if text else []
    blocks: list[list[str]] = [[]]
    for line in lines:
        if _HEADER.match(line):
            blocks.append([line])
        else:
            blocks[-1].append(line)
    head, *tables = blocks
    leads = [_take_lead(block) for block in blocks[:-1]]
    if wanted.get("learning_s") != before.get("learning_s"):
        if leads and not head:
            head, leads[0] = _of_the_file(leads[0])
        head = _with_learning(head, wanted["learning_s"])
        if tables and not (leads[0] and not leads[0][0].strip()):
            head.append("\n")
    left = {key: list(wanted.get(key, [])) for key in ("interface", "subnet")}
    out = head
    for lead, table in zip(leads, tables, strict=True):
        out = [*out, *lead]
        found = _OURS.match(table[0])
        if found is None:
            out += table
            continue
        said = _said("".join(table))
        if said is None:
            return None
        [one] = said[found[1]]
        if one in left[found[1]]:
            left[found[1]].remove(one)
            out += table
            continue
        name = "name" if found[1] == "interface" else "cidr"
        other = next((row for row in left[found[1]] if row[name] == one.get(name)), None)
        if other is not None:
            left[found[1]].remove(other)
            out += _table_lines(found[1], other)
    for key, rows in left.items():
        for row in rows:
            out += ["\n"] if out and out[-1].strip() else []
            out += _table_lines(key, row)
    return "".join(out)


def _take_lead(block: list[str]) -> list[str]:
    """Takes the comments and empty lines at a block's end: they stand above the next table."""
    at = len(block)
    while at and _QUIET.match(block[at - 1]):
        at -= 1
    lead = block[at:]
    del block[at:]
    return lead


def _of_the_file(lead: list[str]) -> tuple[list[str], list[str]]:
    """What is said of the file, and behind the last empty line what is said of its first table."""
    empty = [number for number, line in enumerate(lead) if not line.strip()]
    at = empty[-1] + 1 if empty else 0
    return lead[:at], lead[at:]


def _with_learning(head: list[str], learning_s: int) -> list[str]:
    for number, line in enumerate(head):
        if found := _LEARNING.fullmatch(line):
            return [*head[:number], f"{found[1]}{learning_s}{found[2]}", *head[number + 1 :]]
    return [*head, f"learning_s = {learning_s}\n"]


def _table_lines(name: str, row: dict[str, Any]) -> list[str]:
    return [f"[[{name}]]\n", *(f"{key} = {_value(value)}\n" for key, value in row.items())]


# -- shown whole ----------------------------------------------------------------------------------


def as_toml(settings: Settings, *, defaults: bool = True) -> Iterator[str]:
    """Lines of an `otic.toml` that says the same; a default is marked as one or left out."""
    yield from _table(settings, "", defaults)


def _table(struct: msgspec.Struct, path: str, defaults: bool) -> Iterator[str]:
    """A table's own keys, then the tables in it: in TOML the order that is needed."""
    inner: list[tuple[str, Any]] = []
    for field in msgspec.structs.fields(struct):
        value = getattr(struct, field.name)
        at_default = value == _default(field)
        if at_default and not defaults:
            continue
        if isinstance(value, (msgspec.Struct, dict)) or _is_tables(value):
            inner.append((field.encode_name, value))
        elif value is not None:
            yield f"{field.encode_name} = {_value(value)}{'  # default' if at_default else ''}"
    for name, value in inner:
        place = f"{path}.{name}" if path else name
        if isinstance(value, msgspec.Struct):
            yield from ("", f"[{place}]", *_table(value, place, defaults))
        elif isinstance(value, dict):
            for key, one in value.items():
                yield from ("", f"[{place}.{_value(key)}]", *_table(one, place, defaults))
        else:
            for one in value:
                yield from ("", f"[[{place}]]", *_table(one, place, defaults))


def _is_tables(value: object) -> bool:
    return isinstance(value, list) and bool(value) and isinstance(value[0], msgspec.Struct)


def _default(field: msgspec.structs.FieldInfo) -> object:
    if field.default_factory is not msgspec.NODEFAULT:
        return field.default_factory()
    return field.default


def _value(value: object) -> str:
    """A plain value; JSON writes strings, numbers, booleans and lists as TOML does."""
    # TOML alone forbids this character unescaped in a string.
    return msgspec.json.encode(value).decode().replace("\x7f", "\\u007f")


# -- on disk --------------------------------------------------------------------------------------


class Staged:
    """A file's new text, on disk beside it; nothing has changed until `commit`."""

    def __init__(self, path: Path, text: str) -> None:
        """Writes the text; the file keeps its mode and, as far as that is allowed, its owner.

        Raises:
            SettingsError: nothing can be written there.
        """
        # A link stays one: what it leads to is replaced.
        self._path = path.resolve()
        self._new: Path | None = None
        try:
            number, name = tempfile.mkstemp(
                dir=self._path.parent, prefix=f".{self._path.name}.", suffix=".new"
            )
            self._new = Path(name)
            with os.fdopen(number, "w", encoding="utf-8") as file:
                self._like_before(number)
                file.write(text)
                file.flush()
                os.fsync(number)
        except OSError as error:
            self.discard()
            raise _refused(path, error) from None

    def _like_before(self, number: int) -> None:
        try:
            before = self._path.stat()
        except FileNotFoundError:
            os.fchmod(number, MODE)
            return
        os.fchmod(number, before.st_mode & 0o777)
        with suppress(PermissionError):
            os.fchown(number, before.st_uid, before.st_gid)

    def commit(self) -> None:
        """Puts the new text in the file's place, whole or not at all.

        Raises:
            SettingsError: it cannot be put there.
        """
        if self._new is None:
            return
        try:
            self._new.replace(self._path)
        except OSError as error:
            self.discard()
            raise _refused(self._path, error) from None
        self._new = None
        # So that it is there after a power cut too; it is in place whether that can be said or not.
        with suppress(OSError):
            folder = os.open(self._path.parent, os.O_RDONLY | os.O_DIRECTORY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)

    def discard(self) -> None:
        """Forgets the new text."""
        if self._new is not None:
            self._new.unlink(missing_ok=True)
            self._new = None


def _refused(path: Path, error: OSError) -> SettingsError:
    return SettingsError(f"{path.name} cannot be written: {error.strerror}")
