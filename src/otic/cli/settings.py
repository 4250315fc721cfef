"""`otic settings`: the settings that hold, with the defaults, as an `otic.toml`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from otic.cli import DONE
from otic.folder import DataFolder
from otic.settings import Settings, load


def run(*, data: Path | None, config: Path | None) -> int:
    """Prints the settings."""
    path = config or (DataFolder(data).settings_if_there() if data is not None else None)
    print(f"# {path.name}, and the defaults" if path is not None else "# the defaults")
    print("\n".join(as_toml(load(path))))
    return DONE


def as_toml(settings: Settings) -> Iterator[str]:
    """Lines of an `otic.toml` that says the same; what is at its default says so."""
    yield from _table(settings, "")


def _table(struct: msgspec.Struct, path: str) -> Iterator[str]:
    """A table's own keys, then the tables in it: in TOML the order that is needed."""
    inner: list[tuple[str, Any]] = []
    for field in msgspec.structs.fields(struct):
        value = getattr(struct, field.name)
        if isinstance(value, (msgspec.Struct, dict)) or _is_tables(value):
            inner.append((field.encode_name, value))
        elif value is not None:
            default = "" if value != _default(field) else "  # default"
            yield f"{field.encode_name} = {_value(value)}{default}"
    for name, value in inner:
        place = f"{path}.{name}" if path else name
        if isinstance(value, msgspec.Struct):
            yield from ("", f"[{place}]", *_table(value, place))
        elif isinstance(value, dict):
            for key, one in value.items():
                yield from ("", f"[{place}.{_value(key)}]", *_table(one, place))
        else:
            for one in value:
                yield from ("", f"[[{place}]]", *_table(one, place))


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
