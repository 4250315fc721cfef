"""A device's type and Purdue level by the rules in `data/device_types.toml`."""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING, Any

import msgspec

from otic import data

if TYPE_CHECKING:
    from otic.inventory.devices import Device

BRIDGE_PROTOCOLS = {"stp"}


class TypeRule(msgspec.Struct, frozen=True):
    """One compiled rule; a condition that is none is not asked."""

    type: str
    reason: str
    router: bool | None
    group: bool | None
    internet: bool | None
    bridge: bool | None
    serves: frozenset[str]
    uses: frozenset[str]
    publishes: frozenset[str]
    does: frozenset[str]
    receives: frozenset[str]
    vendor: re.Pattern[str] | None
    text: re.Pattern[str] | None
    claims: tuple[tuple[str, re.Pattern[str]], ...]
    child: str | None
    targets: int


@cache
def _table() -> dict[str, Any]:
    return msgspec.toml.decode(data.read("device_types.toml"), type=dict[str, Any])


@cache
def levels() -> dict[str, int]:
    """Purdue level by type."""
    return msgspec.convert(_table()["levels"], dict[str, int])


@cache
def rules() -> list[TypeRule]:
    """The rules in the order in which they are tried."""

    def pattern(text: str | None) -> re.Pattern[str] | None:
        return None if text is None else re.compile(text, re.I)

    return [
        TypeRule(
            row["type"],
            row["reason"],
            row.get("router"),
            row.get("group"),
            row.get("internet"),
            row.get("bridge"),
            frozenset(row.get("serves", ())),
            frozenset(row.get("uses", ())),
            frozenset(row.get("publishes", ())),
            frozenset(row.get("does", ())),
            frozenset(row.get("receives", ())),
            pattern(row.get("vendor")),
            pattern(row.get("text")),
            tuple(
                (key.removeprefix("claim."), re.compile(value, re.I))
                for key, value in row.items()
                if key.startswith("claim.")
            ),
            row.get("child"),
            row.get("targets", 0),
        )
        for row in _table()["type"]
    ]


def classify(device: Device) -> tuple[str, str]:
    """The device's type, and the name of the rule that says so."""
    told = device.attributes.get("type")
    if told in levels() or told in ("Router", "Switch", "Firewall"):
        return told, "claim"
    says = "\n".join(
        device.attributes[attribute]
        for attribute in ("model", "description", "order_number", "name")
        if attribute in device.attributes and device.reasons[attribute]["rule"] != "address"
    )
    for rule in rules():
        if _fits(rule, device, says):
            return rule.type, rule.reason
    return "Unknown", "nothing-known"


def _fits(rule: TypeRule, device: Device, says: str) -> bool:
    did = device.activity
    # Every rule is asked about every device: the first thing that does not fit ends it.
    if (
        (rule.serves and rule.serves.isdisjoint(did.serves))
        or (rule.uses and rule.uses.isdisjoint(did.uses))
        or (rule.publishes and rule.publishes.isdisjoint(did.publishes))
        or (rule.does and rule.does.isdisjoint(did.does))
        or (rule.receives and rule.receives.isdisjoint(did.receives))
        or rule.router not in (None, device.routes > 1 and not device.internet)
        or rule.group not in (None, device.virtual)
        or rule.internet not in (None, device.internet)
        or rule.bridge not in (None, not BRIDGE_PROTOCOLS.isdisjoint(did.uses))
    ):
        return False
    if rule.child is not None and device.child_address.partition(" ")[0] != rule.child:
        return False
    if rule.vendor is not None and not rule.vendor.search(device.attributes.get("vendor", "")):
        return False
    if rule.text is not None and not rule.text.search(says):
        return False
    if any(
        not any(c.attribute == name and pattern.search(c.value) for c in device.claims)
        for name, pattern in rule.claims
    ):
        return False
    return len(did.targets) >= rule.targets
