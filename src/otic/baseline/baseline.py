"""The baseline: learned facts by kind, and guarded ones that wait for a named person.

Its text is one line a fact, sorted, tab-separated, so that two baselines merge as text does:

    otic-baseline 1
    connection<TAB>default<TAB>10.0.0.5<TAB>...
    pending<TAB>operation<TAB>...          seen while learning, but guarded: not learned
    signed<TAB>J. Doe<TAB>operation<TAB>... the same after a person signed it off

Blank lines and lines starting with `#` are skipped.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from otic.baseline.fields import FieldMaker, one_of_many
from otic.errors import BaselineError
from otic.journal.fold import State

VERSION = 1
HEADER = f"otic-baseline {VERSION}"

FIELDS: dict[str, tuple[str, ...]] = {
    "endpoint": ("space", "address", "child"),
    "connection": (
        "space",
        "client",
        "client_child",
        "server",
        "server_child",
        "transport",
        "port",
        "connection_protocol",
    ),
    "operation": (
        "space",
        "client",
        "client_child",
        "server",
        "server_child",
        "connection_protocol",
        "protocol",
        "code",
        "name",
        "action",
        "object",
        "outcome",
        "writes",
    ),
    "claim": ("space", "address", "child", "protocol", "message", "attribute", "value"),
    "event": ("space", "client", "server", "protocol", "kind", "values"),
}
"""What a learned fact of each kind consists of, in the order of its line."""

IDENTITY = {
    "vendor",
    "vendor_id",
    "model",
    "order_number",
    "firmware",
    "hardware",
    "serial",
    "name",
}
"""Attributes worth learning: others change without meaning."""

Row = tuple[str, ...]


class Baseline:
    """Learned facts; `holds` answers per rule, whatever fields the rule compares."""

    def __init__(self) -> None:
        self.learned: dict[str, set[Row]] = {kind: set() for kind in FIELDS}
        self.pending: dict[str, set[Row]] = {kind: set() for kind in FIELDS}
        self.signed: dict[str, dict[Row, str]] = {kind: {} for kind in FIELDS}
        self._projections: dict[tuple[str, tuple[str, ...]], set[Row]] = {}

    def __bool__(self) -> bool:
        return any(self.learned.values()) or any(self.signed.values())

    def learn(
        self,
        state: State,
        fields: FieldMaker,
        guarded: Callable[[str, dict[str, Any]], bool],
        until_ns: int | None = None,
    ) -> None:
        """Learns the facts first seen by `until_ns` (all without it); guarded ones stay pending."""
        for kind in FIELDS:
            for id_ in getattr(state, f"{kind}s"):
                if kind == "claim" and state.claims[id_].attribute not in IDENTITY:
                    continue
                found = fields.of(state, kind, id_)
                if found is None or (until_ns is not None and found[1] > until_ns):
                    continue
                if kind == "endpoint" and not state.endpoints[id_].spoke:
                    continue
                row = row_of(kind, found[0])
                if guarded(kind, found[0]):
                    if row not in self.signed[kind]:
                        self.pending[kind].add(row)
                else:
                    self.learned[kind].add(row)
        self._projections.clear()

    def holds(self, kind: str, key: tuple[str, ...], fields: dict[str, Any]) -> bool:
        """Whether a learned or signed fact has the same values in the fields of `key`."""
        names = FIELDS.get(kind)
        if names is None:
            return False
        known = self._projections.get((kind, key))
        if known is None:
            rows: Iterable[Row] = (*self.learned[kind], *self.signed[kind])
            known = {_projection(names, key, row) for row in rows}
            self._projections[kind, key] = known
        asked = (
            _value(fields.get(name)) if _is_value(names, name) else _text(fields.get(name))
            for name in key
            if name in names or _is_value(names, name)
        )
        return tuple(asked) in known

    def text(self) -> str:
        """The whole baseline as text."""
        lines = {"\t".join((kind, *row)) for kind in FIELDS for row in self.learned[kind]}
        lines |= {"\t".join(("pending", kind, *r)) for kind in FIELDS for r in self.pending[kind]}
        lines |= {
            "\t".join(("signed", person, kind, *row))
            for kind in FIELDS
            for row, person in self.signed[kind].items()
        }
        about = [f"# {kind}: {' '.join(names)}" for kind, names in FIELDS.items()]
        return "\n".join([HEADER, *about, *sorted(lines)]) + "\n"


def row_of(kind: str, fields: dict[str, Any]) -> Row:
    """The learned form of a fact with these fields."""
    return tuple(_text(fields.get(name)) for name in FIELDS[kind])


def _is_value(names: tuple[str, ...], name: str) -> bool:
    """Whether a rule's field is one of an event's values, which a line holds together."""
    return name.startswith("values.") and "values" in names


def _projection(names: tuple[str, ...], key: tuple[str, ...], row: Row) -> Row:
    """What a learned fact has in the fields of `key`."""
    values = {}
    if "values" in names:
        told = (part.partition("=") for part in row[names.index("values")].split(" "))
        values = {f"values.{name}": value for name, _, value in told}
    return tuple(
        row[names.index(name)] if name in names else values.get(name, "")
        for name in key
        if name in names or _is_value(names, name)
    )


def _value(value: object) -> str:
    """One of an event's values as it stands among the others."""
    return "" if value is None else _text(one_of_many(str(value)))


def _text(value: object) -> str:
    """A value as it stands in a line: no tabs, no line ends, nothing for none."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return (
        str(value)
        .replace("\\", "\\\\")
        .replace("\t", "\\t")
        .replace("\n", "\\n")
        .replace("\r", "\\r")
    )


def parse(text: str, name: str) -> Baseline:
    """The baseline in this text.

    Raises:
        BaselineError: it is none, or of a newer version; the message names file and line.
    """
    baseline = Baseline()
    lines = text.splitlines()
    if not lines or not lines[0].startswith("otic-baseline "):
        raise BaselineError(f"{name}: not a baseline")
    version = lines[0].removeprefix("otic-baseline ").strip()
    if not version.isdigit() or int(version) > VERSION:
        raise BaselineError(f"{name}: baseline version {version}; this program reads {VERSION}")
    for number, line in enumerate(lines[1:], start=2):
        if not line.strip() or line.startswith(("#", "otic-baseline ")):
            continue
        kind, *cells = line.split("\t")
        person = ""
        state = "learned"
        if kind == "signed" and len(cells) > 1:
            state, person, kind, cells = kind, cells[0], cells[1], cells[2:]
        elif kind == "pending" and cells:
            state, kind, cells = kind, cells[0], cells[1:]
        if kind not in FIELDS or len(cells) != len(FIELDS[kind]):
            raise BaselineError(f"{name}:{number}: not a learned fact")
        row = tuple(cells)
        if state == "signed":
            baseline.signed[kind][row] = person
        else:
            (baseline.pending if state == "pending" else baseline.learned)[kind].add(row)
    return baseline


def load(path: Path) -> Baseline:
    """The baseline in this file.

    Raises:
        BaselineError: it is missing or no baseline.
    """
    try:
        return parse(path.read_text(encoding="utf-8"), path.name)
    except OSError as error:
        raise BaselineError(f"{path.name}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise BaselineError(f"{path.name}: not a baseline") from None
