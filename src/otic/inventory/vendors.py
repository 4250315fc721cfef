"""Makers and products from numbers: MAC prefixes, vendor ids, order numbers."""

from __future__ import annotations

import re
import sys
from array import array
from bisect import bisect_left
from collections.abc import Iterable
from functools import cache, lru_cache
from itertools import accumulate

from otic import data
from otic.inventory.addresses import is_local_mac

ENTERPRISE_OID = "1.3.6.1.4.1."
VENDOR_TABLES = {
    "cip": "cip_vendors.tsv",
    "ethernet-ip": "cip_vendors.tsv",
    "bacnet": "bacnet_vendors.tsv",
    "profinet-dcp": "profinet_vendors.tsv",
    "profinet-cm": "profinet_vendors.tsv",
    "lldp": "profinet_vendors.tsv",
    "ipmi": "enterprises.tsv.gz",
}


class _Prefixes:
    """Makers by MAC prefix in hexadecimal, of 6, 7 or 9 digits: sorted numbers and one text.

    As a dictionary the IEEE's fifty thousand took 15 MB.
    """

    def __init__(self, rows: Iterable[list[str]]) -> None:
        names: dict[str, int] = {}
        prefixes, makers = array("Q"), array("I")
        for row in rows:
            prefixes.append(_number(row[0][: int(row[1]) // 4]))
            makers.append(names.setdefault(row[2], len(names)))
        order = sorted(range(len(prefixes)), key=prefixes.__getitem__)
        self._prefixes = array("Q", (prefixes[at] for at in order))
        self._makers = array("I", (makers[at] for at in order))
        self._names = "".join(names).encode()
        self._ends = array("I", accumulate(len(name.encode()) for name in names))

    def get(self, digits: str) -> str | None:
        """The maker of this prefix."""
        prefix = _number(digits)
        at = bisect_left(self._prefixes, prefix)
        if at == len(self._prefixes) or self._prefixes[at] != prefix:
            return None
        maker = self._makers[at]
        start = self._ends[maker - 1] if maker else 0
        return sys.intern(self._names[start : self._ends[maker]].decode())


def _number(digits: str) -> int:
    """A prefix and its length in one number."""
    return int(digits, 16) << 4 | len(digits)


@cache
def _prefixes() -> _Prefixes:
    return _Prefixes(data.table("oui.tsv.gz"))


@lru_cache(maxsize=4096)
def of_mac(mac: str) -> str | None:
    """The maker the IEEE gave this MAC's prefix to; none for locally administered MACs."""
    if is_local_mac(mac):
        return None
    digits = mac.replace(":", "")
    table = _prefixes()
    for length in (9, 7, 6):
        name = table.get(digits[:length])
        if name is not None and name != "IEEE Registration Authority":
            return name
    return None


def of_vendor_id(protocol: str, value: str) -> str | None:
    """The maker with this vendor id in the numbering that the protocol uses."""
    table = VENDOR_TABLES.get(protocol)
    if table is None:
        return None
    try:
        return data.mapping(table).get(str(int(value, 0)))
    except ValueError:
        return None


def of_object_id(oid: str) -> str | None:
    """The maker whose enterprise number starts this object identifier."""
    number = oid.removeprefix(ENTERPRISE_OID).partition(".")[0]
    if number == oid or not number.isdigit() or number == "8072":
        return None  # 8072 is the agent software Net-SNMP, which says nothing of the maker
    return data.mapping("enterprises.tsv.gz").get(number)


@cache
def _orders() -> list[tuple[str, re.Pattern[str], str]]:
    return [(row[0], re.compile(row[1]), row[2]) for row in data.table("order_prefixes.tsv")]


def of_order_number(order_number: str) -> tuple[str, str] | None:
    """Maker and product of an order number; the product is a family where only that is known."""
    number = order_number.replace(" ", "").upper()
    for maker, pattern, family in _orders():
        if pattern.match(number):
            return maker, data.mapping("siemens_orders.tsv").get(number, family)
    product = data.mapping("siemens_orders.tsv").get(number)
    return ("Siemens", product) if product else None
