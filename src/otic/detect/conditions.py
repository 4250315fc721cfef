"""Conditions of rules: (field, operator, value), checked against the typed fields of facts.

Nothing is ever evaluated as code. `matches` takes a small kind of regular expression whose time is
bounded: no back references, no look-around, no repeat inside a repeat, at most two open repeats.
"""

from __future__ import annotations

import ipaddress
import re
import warnings
from collections.abc import Callable, Mapping
from typing import Any

from otic.errors import RuleError

Fields = Mapping[str, Any]
Test = Callable[[Fields], bool]

LONGEST_TEXT = 1024
"""Characters of a value that `matches` looks at."""

_PARTIES = {
    "space": "text",
    "client": "address",
    "server": "address",
    "client_flags": "set",
    "server_flags": "set",
    "client_zone": "text",
    "server_zone": "text",
    "client_public": "flag",
    "server_public": "flag",
    "server_group": "flag",
}
_CONNECTION = _PARTIES | {
    "client_child": "text",
    "server_child": "text",
    "transport": "text",
    "port": "number",
    "connection_protocol": "text",
    "industrial": "flag",
}
SCHEMA: dict[str, dict[str, str]] = {
    "endpoint": {
        "space": "text",
        "address": "address",
        "child": "text",
        "public": "flag",
        "flags": "set",
        "zone": "text",
        "mac": "flag",
    },
    "connection": _CONNECTION,
    "operation": _CONNECTION
    | {
        "protocol": "text",
        "code": "number",
        "name": "text",
        "action": "text",
        "object": "text",
        "outcome": "text",
        "writes": "flag",
    },
    "claim": {
        "space": "text",
        "address": "address",
        "child": "text",
        "attribute": "text",
        "value": "text",
        "protocol": "text",
        "message": "text",
        "confidence": "text",
        "flags": "set",
    },
    "change": _CONNECTION | {"protocol": "text", "object": "text", "new": "any", "old": "any"},
    "event": _PARTIES | {"kind": "text", "protocol": "text", "values": "text", "values.*": "text"},
    "violation": _CONNECTION | {"rule": "text", "protocol": "text", "values.*": "text"},
    "attempts": {
        "space": "text",
        "source": "address",
        "transport": "text",
        "source_flags": "set",
        "source_public": "flag",
    },
}
"""Fields of each kind of fact, with their type. `values.*` stands for any distinguishing value."""

OPERATORS: dict[str, tuple[str, ...]] = {
    "text": ("==", "!=", "in", "not in", "matches", "same as"),
    "address": ("==", "!=", "in", "not in", "matches", "cidr", "same as"),
    "number": ("==", "!=", "<", "<=", ">", ">=", "in", "not in", "in range", "same as"),
    "flag": ("==", "!="),
    "set": ("contains", "lacks"),
    "any": ("==", "!=", "<", "<=", ">", ">=", "in", "not in", "in range"),
}
"""Operators each type takes. A field without a value passes `!=`, `not in` and `lacks` only."""


def type_of(kind: str, field: str) -> str:
    """The type of this field of this kind of fact.

    Raises:
        RuleError: there is no such kind or field.
    """
    fields = SCHEMA.get(kind)
    if fields is None:
        raise RuleError(f"no fact is called {kind!r}; there are {', '.join(SCHEMA)}")
    if field in fields:
        return fields[field]
    if field.startswith("values.") and "values.*" in fields:
        return fields["values.*"]
    raise RuleError(f"{kind} has no field {field!r}; it has {', '.join(fields)}")


def compile_condition(kind: str, condition: list[Any]) -> Test:
    """A test for one (field, operator, value).

    Raises:
        RuleError: unknown field, an operator its type does not take, or a value that does not fit.
    """
    if len(condition) != 3 or not all(isinstance(part, str) for part in condition[:2]):
        raise RuleError(f"a condition is [field, operator, value], not {condition!r}")
    field, operator, value = condition
    sort = type_of(kind, field)
    if operator not in OPERATORS[sort]:
        raise RuleError(f"{field} takes {', '.join(OPERATORS[sort])}, not {operator!r}")
    if operator == "same as":
        if not isinstance(value, str) or type_of(kind, value) != sort:
            raise RuleError(f"{field} same as {value!r}: not a field of the same type")
        return lambda fields: fields.get(field) == fields.get(value)
    _check_value(field, sort, operator, value)
    return _test(field, operator, value)


def _check_value(field: str, sort: str, operator: str, value: Any) -> None:
    items = value if operator in ("in", "not in", "in range") else [value]
    if not isinstance(items, list) or (operator == "in range" and len(items) != 2):
        raise RuleError(f"{field} {operator}: {value!r} is not a list")
    wanted: dict[str, tuple[type, ...]] = {
        "number": (int, float),
        "flag": (bool,),
        "any": (int, float, str),
    }
    for item in items:
        fits = isinstance(item, wanted.get(sort, (str,)))
        if not fits or (sort == "number" and isinstance(item, bool)):
            raise RuleError(f"{field} {operator}: {item!r} is no {sort}")


def _test(field: str, operator: str, value: Any) -> Test:
    match operator:
        case "==":
            return lambda fields: fields.get(field) == value
        case "!=":
            return lambda fields: fields.get(field) != value
        case "in":
            allowed = frozenset(value)
            return lambda fields: fields.get(field) in allowed
        case "not in":
            refused = frozenset(value)
            return lambda fields: fields.get(field) not in refused
        case "contains":
            return lambda fields: value in (fields.get(field) or ())
        case "lacks":
            return lambda fields: value not in (fields.get(field) or ())
        case "matches":
            pattern = _pattern(field, value)
            return lambda fields: (
                isinstance(text := fields.get(field), str)
                and pattern.fullmatch(text[:LONGEST_TEXT]) is not None
            )
        case "cidr":
            return _cidr(field, value)
        case "in range":
            low, high = value
            return _compare(field, lambda number: low <= number <= high)
        case "<":
            return _compare(field, lambda number: number < value)
        case "<=":
            return _compare(field, lambda number: number <= value)
        case ">":
            return _compare(field, lambda number: number > value)
        case _:
            return _compare(field, lambda number: number >= value)


def _compare(field: str, holds: Callable[[Any], bool]) -> Test:
    def test(fields: Fields) -> bool:
        number = fields.get(field)
        return isinstance(number, int | float) and holds(number)

    return test


def _cidr(field: str, value: str) -> Test:
    try:
        network = ipaddress.ip_network(value)
    except ValueError as error:
        raise RuleError(f"{field} cidr: {error}") from None

    def test(fields: Fields) -> bool:
        try:
            return ipaddress.ip_address(fields.get(field) or "") in network
        except ValueError:
            return False

    return test


def _pattern(field: str, text: str) -> re.Pattern[str]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        import re._parser as parser  # type: ignore[import-not-found]
    try:
        tree = parser.parse(text)
        pattern = re.compile(text, re.I)
    except (re.error, RecursionError, OverflowError) as error:
        raise RuleError(f"{field} matches: {error}") from None
    if _open_repeats(tree, field, inside=False) > 2:
        raise RuleError(f"{field} matches: more than two open repeats")
    return pattern


def _open_repeats(tree: Any, field: str, *, inside: bool) -> int:
    """Counts open repeats; refuses what could take more than bounded time."""
    found = 0
    for operator, argument in tree:
        name = str(operator)
        if name in ("GROUPREF", "GROUPREF_EXISTS", "ASSERT", "ASSERT_NOT"):
            raise RuleError(f"{field} matches: back references and look-around are not allowed")
        if name in ("MAX_REPEAT", "MIN_REPEAT", "POSSESSIVE_REPEAT"):
            most = int(argument[1])
            if inside and most > 1:
                raise RuleError(f"{field} matches: a repeat inside a repeat")
            found += most > 64
            found += _open_repeats(argument[2], field, inside=inside or most > 1)
        elif name == "SUBPATTERN":
            found += _open_repeats(argument[3], field, inside=inside)
        elif name == "BRANCH":
            found += sum(_open_repeats(branch, field, inside=inside) for branch in argument[1])
        elif name == "ATOMIC_GROUP":
            found += _open_repeats(argument, field, inside=inside)
    return found
