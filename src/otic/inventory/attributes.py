"""One value an attribute from contradicting claims, and why.

Precedence: confidence, then how much the protocol's word counts (`protocols.toml`), then the
latest telling, then the value's own order. Nothing is thrown away: all claims stay on the device.
Where no claim tells an attribute, a table row may: vendor ids, order numbers, enterprise numbers,
fingerprints of banners, and last the MAC's prefix.
"""

from __future__ import annotations

import re
from collections import defaultdict
from functools import cache
from operator import itemgetter
from typing import Any

import msgspec

from otic import data
from otic.facts import Claim
from otic.inventory import fingerprints, vendors
from otic.inventory.protocols import protocol

RESOLVED = (
    "name",
    "type",
    "vendor",
    "model",
    "firmware",
    "hardware",
    "serial",
    "order_number",
    "os",
    "os_version",
    "description",
    "location",
)
NO_NAMES = frozenset({"localhost", "localhost.localdomain", "(none)"})
"""What machines call themselves that nobody gave a name."""
CONFIDENCE = {"low": 0, "medium": 1, "high": 2}


class OsRow(msgspec.Struct, frozen=True):
    """An operating system told by a pattern in one attribute."""

    os: str
    attribute: str
    matches: str


@cache
def _os_rows() -> list[tuple[OsRow, re.Pattern[str]]]:
    rows = msgspec.toml.decode(data.read("device_types.toml"), type=dict[str, Any])["os"]
    return [(row := msgspec.convert(raw, OsRow), re.compile(row.matches, re.I)) for raw in rows]


def rank(claim: Claim) -> tuple[int, int, int, str]:
    """How much a claim counts against others about the same attribute; more is better."""
    return (
        CONFIDENCE.get(claim.confidence, 0),
        protocol(claim.protocol).identity,
        claim.ts_ns,
        claim.value,
    )


def source(claim: Claim) -> dict[str, str]:
    """The part of a reason that says which claim it rests on."""
    return {
        "attribute": claim.attribute,
        "value": claim.value,
        "protocol": claim.protocol,
        "message": claim.message,
    }


def resolve(
    claims: list[Claim], on_link_macs: list[str]
) -> tuple[dict[str, str], dict[str, dict[str, Any]]]:
    """The device's attributes and the reason of each."""
    told: dict[str, list[Claim]] = defaultdict(list)
    for claim in claims:
        told[claim.attribute].append(claim)
    values: dict[str, str] = {}
    reasons: dict[str, dict[str, Any]] = {}

    def take(attribute: str, value: str, rule: str, by: Claim | None, **more: str) -> None:
        values[attribute] = value
        reasons[attribute] = {"rule": rule, **more}
        if by is not None:
            reasons[attribute] |= source(by)

    for attribute in RESOLVED:
        about = told[attribute]
        if attribute == "name":
            about = [claim for claim in about if claim.value.lower() not in NO_NAMES]
        if about:
            best = max(about, key=rank)
            take(attribute, best.value, "claim", best)
    orders = sorted(told["order_number"], key=rank, reverse=True)
    products = [
        (claim, found)
        for claim in (*orders, *sorted(told["model"], key=rank, reverse=True))
        if (found := vendors.of_order_number(claim.value)) is not None
    ]
    if "model" not in values and products:
        take("model", products[0][1][1], "order-number", products[0][0])
    if "vendor" not in values:
        for claim in sorted(told["vendor_id"], key=rank, reverse=True):
            maker = vendors.of_vendor_id(claim.protocol, claim.value)
            if maker is not None and maker != "Reserved":
                take("vendor", maker, "vendor-id", claim)
                break
    if "vendor" not in values and products:
        take("vendor", products[0][1][0], "order-number", products[0][0])
    if "vendor" not in values:
        for claim in sorted(told["sys_object_id"], key=rank, reverse=True):
            maker = vendors.of_object_id(claim.value)
            if maker is not None:
                take("vendor", maker, "enterprise-number", claim)
                break
    by_fingerprint = fingerprints.told(
        claim for kind in sorted(fingerprints.ATTRIBUTES) for claim in told.get(kind, ())
    )

    def derive(confidence: str, *attributes: str) -> None:
        """Takes what fingerprints tell about the first of these attributes, and of the same one
        about the others.
        """
        found = [
            (rank(claim), claim, fingerprint)
            for claim, fingerprint in by_fingerprint.get(attributes[0], ())
            if fingerprint.confidence == confidence
        ]
        if attributes[0] in values or not found:
            return
        _, by, fingerprint = max(found, key=itemgetter(0))
        for attribute in attributes:
            if attribute not in values and attribute in fingerprint.facts:
                value, says = fingerprint.facts[attribute], fingerprint.description
                more = {"fingerprint": says, "confidence": confidence}
                take(attribute, value, "fingerprint", by, **more)

    for attribute in ("vendor", "model", "firmware", "serial"):
        derive("medium", attribute)
    if "vendor" not in values:
        for mac in on_link_macs:
            maker = vendors.of_mac(mac)
            if maker is not None:
                take("vendor", maker, "mac-prefix", None, mac=mac)
                break
    derive("low", "vendor")
    derive("medium", "os", "os_version")
    if "os" not in values:
        for row, pattern in _os_rows():
            by = next(
                (
                    claim
                    for claim in sorted(told[row.attribute], key=rank, reverse=True)
                    if pattern.search(claim.value)
                ),
                None,
            )
            if by is not None:
                take("os", row.os, "software", by)
                break
    derive("low", "os", "os_version")
    return values, reasons
