"""A device's type, Purdue level and safety class by the rules in `data/device_types.toml`."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache
from itertools import chain
from operator import attrgetter
from typing import TYPE_CHECKING, Any

import msgspec

from otic import data
from otic.facts import Claim
from otic.inventory import fingerprints
from otic.inventory.attributes import rank, source
from otic.inventory.fingerprints import Fingerprint
from otic.protocols import in_force, version

if TYPE_CHECKING:
    from otic.inventory.devices import Device

BRIDGE_PROTOCOLS = {"stp"}
SAFETY_RATED = "safety-rated"


Check = Callable[["Device", str], bool]
"""One condition on a device and the text of what it says of itself."""


SAYS = ("model", "description", "order_number", "name")
"""The attributes that the condition `text` looks at."""


class TypeRule(msgspec.Struct, frozen=True):
    """One compiled rule: the type it gives when all its conditions hold.

    `text` and `claims` are the patterns that its conditions look for, on what the device says.
    """

    type: str
    reason: str
    checks: tuple[Check, ...]
    text: re.Pattern[str] | None = None
    claims: tuple[tuple[str, re.Pattern[str]], ...] = ()


@cache
def _table() -> dict[str, Any]:
    return msgspec.toml.decode(data.read("device_types.toml"), type=dict[str, Any])


@cache
def levels() -> dict[str, int]:
    """Purdue level by type."""
    return msgspec.convert(_table()["levels"], dict[str, int])


@cache
def types() -> frozenset[str]:
    """All types that a device can have."""
    return frozenset(levels()) | {rule.type for rule in said_by_table()}


def rules() -> list[TypeRule]:
    """The rules in the order in which they are tried: what a definition says of the devices that
    speak its protocol comes last.
    """
    return _rules(version())


@cache
def _rules(_: int) -> list[TypeRule]:
    said = [
        TypeRule(type_, "defined-protocol", (_check(did, [one.name]),))
        for one in in_force()
        for did, type_ in (
            ("serves", one.inventory.server_type),
            ("uses", one.inventory.client_type),
        )
        if type_
    ]
    return said_by_table() + said


@cache
def said_by_table() -> list[TypeRule]:
    """The rules of the table."""
    return [_compiled(row) for row in chain.from_iterable(_each(row) for row in _table()["type"])]


@cache
def _safety() -> list[TypeRule]:
    """The rules about safety-rated devices."""
    return [_compiled(row | {"type": SAFETY_RATED}) for row in _table()["safety"]]


def _compiled(row: dict[str, Any]) -> TypeRule:
    wanted = {name: value for name, value in row.items() if name not in ("type", "reason")}
    return TypeRule(
        row["type"],
        row["reason"],
        tuple(_check(name, value) for name, value in wanted.items()),
        re.compile(wanted["text"], re.I) if "text" in wanted else None,
        tuple(
            (name.removeprefix("claim."), re.compile(value, re.I))
            for name, value in wanted.items()
            if name.startswith("claim.")
        ),
    )


def _each(row: dict[str, Any]) -> list[dict[str, Any]]:
    """A rule about fingerprints once for each type that they may tell."""
    if "fingerprint" not in row:
        return [row]
    return [row | {"type": type_, "fingerprint": type_} for type_ in row["fingerprint"]]


def _check(name: str, wanted: Any) -> Check:
    """The test for one condition of `device_types.toml`."""
    match name:
        case "router":
            return lambda device, _: (device.routes > 1 and not device.internet) == wanted
        case "group":
            return lambda device, _: device.virtual == wanted
        case "internet":
            return lambda device, _: device.internet == wanted
        case "bridge":
            return lambda device, _: bool(device.activity.uses & BRIDGE_PROTOCOLS) == wanted
        case "serves" | "uses" | "publishes" | "does" | "receives":
            did, some = attrgetter(f"activity.{name}"), frozenset(wanted)
            return lambda device, _: not some.isdisjoint(did(device))
        case "targets":
            return lambda device, _: len(device.activity.targets) >= wanted
        case "gateway":
            return lambda device, _: device.gateway == wanted
        case "fingerprint":
            return lambda device, _: bool(fingerprinted(device, wanted))
        case "child":
            return lambda device, _: device.child_address.partition(" ")[0] == wanted
    pattern = re.compile(wanted, re.I)
    match name:
        case "vendor" | "os":
            return lambda device, _: bool(pattern.search(device.attributes.get(name, "")))
        case "text":
            return lambda _, says: bool(pattern.search(says))
    attribute = name.removeprefix("claim.")
    return lambda device, _: any(
        claim.attribute == attribute and pattern.search(claim.value) for claim in device.claims
    )


def fingerprinted(device: Device, type_: str) -> tuple[Claim, Fingerprint] | None:
    """The claim whose fingerprint gives this type, the best when several do."""
    found = [
        pair
        for pair in fingerprints.told(device.claims).get("type", ())
        if pair[1].facts["type"] == type_
    ]
    return max(found, key=lambda pair: rank(pair[0]), default=None)


def classify(device: Device, *, named: bool) -> tuple[str, dict[str, str]]:
    """The device's type, and its reason: the name of the rule that says so, and what it saw.

    `named` is whether its name is more than its address.
    """
    told = None if device.virtual else device.attributes.get("type")
    if told in levels() or told in ("Router", "Switch", "Firewall"):
        return told, {"rule": "claim"}
    rule = _first(rules(), device, named)
    if rule is None:
        return "Unknown", {"rule": "nothing-known"}
    return rule.type, {"rule": rule.reason} | _seen(device, rule, named)


def safety_class(device: Device, *, named: bool) -> dict[str, str] | None:
    """Why the device is safety-rated; nothing where nothing says that it is."""
    rule = None if device.virtual else _first(_safety(), device, named)
    return None if rule is None else {"rule": rule.reason} | _seen(device, rule, named)


def _first(found: list[TypeRule], device: Device, named: bool) -> TypeRule | None:
    says = "\n".join(text for _, text in _says(device, named))
    return next((rule for rule in found if all(check(device, says) for check in rule.checks)), None)


def _says(device: Device, named: bool) -> list[tuple[str, str]]:
    """What the device is called, by attribute."""
    return [
        (attribute, device.attributes[attribute])
        for attribute in SAYS
        if attribute in device.attributes and (named or attribute != "name")
    ]


def _seen(device: Device, rule: TypeRule, named: bool) -> dict[str, str]:
    """What a rule saw: the text or claim that its pattern fits, with its fingerprint where it is
    about one.
    """
    if rule.reason == "fingerprint":
        found = fingerprinted(device, rule.type)
        if found is not None:
            claim, fingerprint = found
            says, confidence = fingerprint.description, fingerprint.confidence
            return {"fingerprint": says, "confidence": confidence} | source(claim)
    for attribute, pattern in rule.claims:
        claims = [c for c in device.claims if c.attribute == attribute and pattern.search(c.value)]
        if claims:
            return source(max(claims, key=rank))
    if rule.text is not None:
        for attribute, text in _says(device, named):
            if rule.text.search(text):
                return {"attribute": attribute, "value": text}
    return {}
