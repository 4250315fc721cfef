"""What others expect of a device against what it says of itself: CIP's electronic keys.

A Forward_Open names the vendor, type and product that its sender expects at the target (CIP Vol. 1,
C-1.4.2). A target of another vendor or type is another device; another product code is one only
where the key asks for exactly this product and no compatible one.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

import msgspec

from otic import data
from otic.facts import Claim
from otic.inventory import vendors

KEY = "forward-open-electronic-key"
"""The message of claims that say what others expect."""

COMPARED = ("vendor_id", "device_type_id", "product_code")


class Mismatch(msgspec.Struct, frozen=True):
    """Something else is there than what was expected."""

    expected: Claim
    found: Claim

    @property
    def values(self) -> dict[str, str]:
        """Attribute, and both numbers with their names."""
        attribute = self.expected.attribute
        return {
            "attribute": attribute,
            "expected": named(attribute, self.expected.value),
            "found": named(attribute, self.found.value),
        }


def named(attribute: str, number: str) -> str:
    """A number with its name, where it has one."""
    name = None
    if attribute == "vendor_id":
        name = vendors.of_vendor_id("cip", number)
    elif attribute == "device_type_id":
        name = data.mapping("cip_device_types.tsv").get(number)
    return f"{number} ({name})" if name else number


def mismatches(claims: Iterable[Claim]) -> list[Mismatch]:
    """Each thing that was expected of an endpoint and is none of what it says it is."""
    said: dict[tuple[bytes, str], list[Claim]] = defaultdict(list)
    keys: list[Claim] = []
    exact: set[bytes] = set()
    for claim in claims:
        if claim.protocol not in ("cip", "ethernet-ip"):
            continue
        if claim.message != KEY:
            said[claim.endpoint, claim.attribute].append(claim)
        elif claim.attribute in COMPARED:
            keys.append(claim)
        elif claim.attribute == "electronic_key" and claim.value == "exact":
            exact.add(claim.endpoint)
    found = []
    for key in sorted(keys, key=lambda claim: claim.id):
        told = said[key.endpoint, key.attribute]
        if key.attribute == "product_code" and key.endpoint not in exact:
            continue
        if told and key.value not in {claim.value for claim in told}:
            found.append(Mismatch(key, max(told, key=lambda claim: (claim.ts_ns, claim.id))))
    return found
