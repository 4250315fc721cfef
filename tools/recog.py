"""Rows for Otic's table of fingerprints out of the Recog database, and the bound of their patterns.

Recog (BSD-2-Clause, see `src/otic/data/SOURCES.md`) says for texts that software sends which
product sent them. Its patterns are Ruby's; kept are those that Python compiles, that match Recog's
own examples, and whose matching takes bounded steps on any text. What it calls a version of
hardware is left: some rows mean the firmware.
"""

from __future__ import annotations

import io
import re
import tarfile
from collections.abc import Callable, Iterable, Iterator
from re import _constants as op  # type: ignore[attr-defined]
from re import _parser as parser  # type: ignore[attr-defined]
from typing import Any
from xml.etree.ElementTree import Element, fromstring

import zstandard

FILES = {
    "apache_os": "apache-os",
    "dhcp_vendor_class": "dhcp-class",
    "ftp_banners": "ftp",
    "http_servers": "http-server",
    "http_wwwauth": "http-realm",
    "mdns_device-info_txt": "mdns-device",
    "rtsp_servers": "rtsp-server",
    "sip_banners": "sip-server",
    "sip_user_agents": "sip-agent",
    "smb_native_lm": "smb-lan-manager",
    "smb_native_os": "smb-os",
    "smtp_banners": "smtp",
    "snmp_sysdescr": "description",
    "snmp_sysobjid": "object-id",
    "ssh_banners": "ssh",
    "telnet_banners": "telnet",
    "x509_issuers": "certificate-issuer",
    "x509_subjects": "certificate-subject",
}
"""Recog's files of what Otic sees, and the kind that `inventory/fingerprints.py` asks for."""

TYPES = {
    "ADSL Modem": "Router",
    "ADSL Router": "Router",
    "Alarm Panel": "Alarm System",
    "Broadband Router": "Router",
    "DSL Modem": "Router",
    "DVR": "DVR",
    "Desktop": "Workstation",
    "Device Server": "Protocol Converter",
    "Firewall": "Firewall",
    "IP Camera": "IP Camera",
    "KVM": "KVM",
    "Laptop": "Workstation",
    "Light Bulb": "Smart Light",
    "Mobile Phone": "Smart Phone",
    "Multifunction Device": "Printer",
    "NAS": "Storage",
    "PLC": "PLC",
    "Power Meter": "Meter",
    "Printer": "Printer",
    "Router": "Router",
    "Smart TV": "Smart TV",
    "Storage": "Storage",
    "Storage Appliance": "Storage",
    "Switch": "Switch",
    "Tablet": "Tablet",
    "Tape Library": "Storage",
    "UPS": "Uninterruptable Power Supply",
    "VPN": "VPN Gateway",
    "WAP": "Wireless Access Point",
}
"""Device types by Recog's words; words that cover several types are left out."""

PHONE = re.compile(r"\bphone", re.I)
"""Recog's `VoIP` is telephones and their exchanges: only its description tells which."""

WRONG_SYSTEM = frozenset({"Siemens NET", "Siemens NET - verbose variant"})
"""Fingerprints of switches for which Recog names Windows."""

MOST_CHOICES = 2
"""How many repeats of one pattern may share a character with what follows them."""

FEW = 4
"""A repeat of at most so many turns is a constant factor."""

_EVERY = (1 << 257) - 1
"""A set of characters: a bit for each of the first 256, one for all others."""
_NEWLINE = 1 << 10


class UnboundedError(ValueError):
    """A pattern whose matching may take exponentially many steps."""


def rows(archive: bytes, maker: Callable[[str], str]) -> tuple[list[list[str]], dict[str, int]]:
    """All fingerprints, in Recog's order within each kind, and how many were left out by reason.

    A row is the kind, the text that every match contains, flags, pattern, description, certainty
    and the facts as `name=value`, where `{1}` in a value stands for the first group.
    """
    found: list[list[str]] = []
    left_out = {"not Python's": 0, "fails its examples": 0, "unbounded": 0}
    for name, root in sorted(_files(archive)):
        if name not in FILES:
            continue
        for item in root.findall("fingerprint"):
            pattern, flags = item.get("pattern", ""), _flags(item.get("flags", ""))
            try:
                compiled = re.compile(f"(?{flags}){pattern}" if flags else pattern)
            except re.error:
                left_out["not Python's"] += 1
                continue
            if not all(compiled.search(text) for text in _examples(item)):
                left_out["fails its examples"] += 1
                continue
            if not is_bounded(compiled):
                left_out["unbounded"] += 1
                continue
            description = " ".join((item.findtext("description") or "").split())
            certainty, told = facts(item, description, maker)
            row = [FILES[name], literal(compiled), flags, pattern, description, certainty]
            found.append([*row, *(f"{key}={value}" for key, value in sorted(told.items()))])
    return found, left_out


def _files(archive: bytes) -> Iterator[tuple[str, Element]]:
    raw = zstandard.ZstdDecompressor().stream_reader(archive).read()
    with tarfile.open(fileobj=io.BytesIO(raw)) as tar:
        for member in tar.getmembers():
            file = tar.extractfile(member)
            if file is not None and member.name.endswith(".xml"):
                yield member.name.rpartition("/")[2].removesuffix(".xml"), fromstring(file.read())


def _flags(said: str) -> str:
    letters = {"REG_ICASE": "i", "REG_DOT_NEWLINE": "s", "REG_MULTILINE": "m"}
    return "".join(sorted(letters[flag] for flag in said.split(",") if flag))


def _examples(item: Element) -> Iterator[str]:
    """The examples that stand in the file as plain text."""
    for example in item.findall("example"):
        if example.get("_encoding") is None and example.get("_filename") is None:
            yield example.text or ""


def facts(
    item: Element, description: str, maker: Callable[[str], str]
) -> tuple[str, dict[str, str]]:
    """The certainty of a fingerprint, and what it tells of the machine that sent the text."""
    told: dict[str, str] = {}
    for param in item.findall("param"):
        group = param.get("pos", "0")
        told[param.get("name", "")] = param.get("value", "") if group == "0" else f"{{{group}}}"
    for name, value in told.items():
        told[name] = re.sub(r"\{([a-z_.]+)\}", lambda found: told.get(found[1], ""), value)
    certainty = min(float(told.get(f"{part}.certainty", "1")) for part in ("hw", "os"))
    if not certainty:
        return "low", {}
    cpe = {part: told.pop(f"{part}.cpe23", "") for part in ("hw", "os")}
    # Older rows put a device's name, read from the text, where others put its operating system.
    product, family = told.get("os.product", ""), told.get("os.family", "")
    is_device = "os.device" in told and not cpe["os"].startswith("cpe:/o")
    is_system = family in ("IOS", "Linux") if is_device else not product.endswith(" Firmware")
    device = told.get("hw.device") or told.get("os.device", "")
    series, number = told.get("hw.family", ""), told.get("hw.model", "")
    model = told.get("hw.product") or (number if series in number else f"{series} {number}".strip())
    if not model and is_device and not is_system and product.startswith("{"):
        model = product
    out = {
        "vendor": told.get("hw.vendor") or (told.get("os.vendor") if device else None),
        "model": model,
        "firmware": None if is_system else told.get("os.version"),
        "serial": told.get("hw.serial_number"),
        "type": TYPES.get(device),
        "apache": told.get("apache.info"),
    }
    if out["vendor"]:
        out["vendor"] = maker(out["vendor"])
    if device in ("VoIP", "SIP Device") and PHONE.search(description):
        out["type"] = "IP Telephone"
    if is_system and product and description not in WRONG_SYSTEM:
        by = told.get("os.vendor", "")
        maker_word = by.partition(" ")[0].lower()
        named = by in ("", "Microsoft", "Apple") or product.lower().startswith(maker_word)
        out["os"] = product if named else f"{by} {product}"
        out["os_version"] = told.get("os.version")
    return ("medium" if certainty >= 0.75 else "low"), {
        key: " ".join(value.split()) for key, value in out.items() if value
    }


def literal(compiled: re.Pattern[str]) -> str:
    """The longest text, in lower case, that every text this pattern matches contains."""
    runs = [""]

    def walk(tree: Iterable[Any]) -> None:
        for code, value in tree:
            if code is op.LITERAL and 32 <= value < 127:
                runs[-1] += chr(value).lower()
            elif code is op.SUBPATTERN:
                walk(value[3])
            elif code is not op.AT:
                runs.append("")

    walk(_parsed(compiled))
    return max(runs, key=len)


def _parsed(compiled: re.Pattern[str]) -> Any:
    return parser.parse(compiled.pattern, compiled.flags & ~re.DEBUG)


def is_bounded(compiled: re.Pattern[str]) -> bool:
    """Whether matching takes at most some power of the text's length in steps, and a small one.

    A repeat whose characters cannot start what follows it ends in one place only; each other one
    multiplies the steps by the text's length, as does a pattern that may start anywhere.
    """
    tree = list(_parsed(compiled))
    starts = (op.AT_BEGINNING, op.AT_BEGINNING_STRING)
    anchored = bool(tree) and tree[0][1] in starts and not compiled.flags & re.M
    try:
        choices = _Choices(compiled.flags).of(tree, 0)
    except UnboundedError:
        return False
    return choices + (not anchored) <= MOST_CHOICES


class _Choices:
    """Counts the repeats that may end in many places."""

    def __init__(self, flags: int) -> None:
        self._folds = bool(flags & re.I)
        self._dot_all = bool(flags & re.S)

    def of(self, tree: Iterable[Any], follow: int, *, repeated: bool = False) -> int:
        """How many repeats in this sequence, before something that starts with `follow`, do.

        `repeated` is whether it stands in a repeat, where a second way to match anything at all
        would double the steps at every turn.
        """
        nodes, found = list(tree), 0
        for at in reversed(range(len(nodes))):
            found += self._node(nodes[at], self._first(nodes[at + 1 :], follow), repeated)
        return found

    def _node(self, node: Any, follow: int, repeated: bool) -> int:
        code, value = node
        if code in (op.MAX_REPEAT, op.MIN_REPEAT):
            return self._repeat(value, follow, repeated)
        if code is op.SUBPATTERN:
            return self.of(value[3], follow, repeated=repeated)
        if code is op.BRANCH:
            seen = 0
            for branch in value[1]:
                starts = self._first(branch, follow)
                if repeated and starts & seen:
                    raise UnboundedError
                seen |= starts
            return max(self.of(branch, follow, repeated=repeated) for branch in value[1])
        if code in (op.ASSERT, op.ASSERT_NOT):
            return self.of(value[1], _EVERY, repeated=repeated)
        return 0

    def _repeat(self, value: Any, follow: int, repeated: bool) -> int:
        least, most, body = value
        start = self._first(body, 0)
        if repeated and least != most and start & follow:
            raise UnboundedError
        if most <= FEW:
            after = follow if most == 1 else start | follow
            return int(most) * self.of(body, after, repeated=repeated)
        if self._is_optional(body):
            raise UnboundedError
        self.of(body, start | follow, repeated=True)
        return int(bool(start & follow))

    def _first(self, tree: Iterable[Any], follow: int) -> int:
        """The characters with which this sequence may start, or what follows where it is empty."""
        found = 0
        for node in tree:
            code, value = node
            if code is op.AT:
                if value in (op.AT_END, op.AT_END_STRING):
                    return found | _NEWLINE
                continue
            if code in (op.ASSERT, op.ASSERT_NOT):
                continue
            found |= self._starts(node)
            if not self._is_optional([node]):
                return found
        return found | follow

    def _starts(self, node: Any) -> int:
        code, value = node
        if code in (op.MAX_REPEAT, op.MIN_REPEAT):
            return self._first(value[2], 0)
        if code is op.SUBPATTERN:
            return self._first(value[3], 0)
        if code is op.BRANCH:
            starts = 0
            for branch in value[1]:
                starts |= self._first(branch, 0)
            return starts
        if code is op.LITERAL:
            return self._bit(value)
        if code is op.NOT_LITERAL:
            return _EVERY & ~self._bit(value)
        if code is op.ANY:
            return _EVERY if self._dot_all else _EVERY & ~_NEWLINE
        if code is op.IN:
            return self._set(value)
        return _EVERY

    def _set(self, items: Iterable[Any]) -> int:
        found, negated = 0, False
        for code, value in items:
            if code is op.NEGATE:
                negated = True
            elif code is op.LITERAL:
                found |= self._bit(value)
            elif code is op.RANGE:
                for character in range(value[0], min(value[1], 256) + 1):
                    found |= self._bit(character)
            elif code is op.CATEGORY:
                found |= _category(str(value))
        return _EVERY & ~found if negated else found

    def _bit(self, character: int) -> int:
        bits = 1 << min(character, 256)
        if self._folds and character < 128:
            for other in (chr(character).lower(), chr(character).upper()):
                bits |= 1 << ord(other)
        return bits

    def _is_optional(self, tree: Iterable[Any]) -> bool:
        """Whether this sequence matches the empty text."""
        return all(
            code in (op.AT, op.ASSERT, op.ASSERT_NOT, op.GROUPREF)
            or (
                code in (op.MAX_REPEAT, op.MIN_REPEAT)
                and (not value[0] or self._is_optional(value[2]))
            )
            or (code is op.SUBPATTERN and self._is_optional(value[3]))
            or (code is op.BRANCH and any(self._is_optional(branch) for branch in value[1]))
            for code, value in tree
        )


def _category(name: str) -> int:
    tests: dict[str, Callable[[str], bool]] = {
        "DIGIT": str.isdecimal,
        "SPACE": str.isspace,
        "WORD": lambda text: text.isalnum() or text == "_",
    }
    kind = name.rpartition("_")[2]
    found = sum(1 << code for code in range(256) if tests[kind](chr(code))) | 1 << 256
    if "_NOT_" in name:
        return _EVERY & ~(found & ~(1 << 256))
    return found
