"""What the texts that software sends tell of the machine behind them: banners, agents, classes.

The table is Recog's (`data/SOURCES.md`). The first fingerprint of a kind that fits counts. What it
tells ranks below anything that a device says of itself.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable
from functools import cache, lru_cache

import msgspec

from otic import data
from otic.facts import Claim

MOST_TEXT = 256
"""Longest text looked at, in characters."""

KINDS = {
    ("server_banner", "ftp"): "ftp",
    ("server_banner", "http"): "http-server",
    ("server_banner", "http2"): "http-server",
    ("server_banner", "rtsp"): "rtsp-server",
    ("server_banner", "sip"): "sip-server",
    ("server_banner", "smtp"): "smtp",
    ("server_banner", "telnet"): "telnet",
    ("user_agent", "sip"): "sip-agent",
    ("ssh_banner", "ssh"): "ssh",
    ("http_realm", "http"): "http-realm",
    ("ssdp_server", "ssdp"): "http-server",
    ("model", "mdns"): "mdns-device",
    ("dhcp_vendor_class", "dhcp"): "dhcp-class",
    ("description", "snmp"): "description",
    ("description", "lldp"): "description",
    ("firmware", "cdp"): "description",
    ("sys_object_id", "snmp"): "object-id",
    ("os", "smb"): "smb-os",
    ("smb_native_lan_manager", "smb"): "smb-lan-manager",
    ("certificate_subject_dn", "tls"): "certificate-subject",
    ("certificate_issuer_dn", "tls"): "certificate-issuer",
}
"""Kinds of fingerprints by the claim and protocol that tell the text. LLDP's description of the
system is SNMP's (IEEE 802.1AB), and CDP's software version is what Cisco's agents say there."""

ATTRIBUTES = frozenset(attribute for attribute, _ in KINDS)
"""The attributes whose values fingerprints look at."""


class Fingerprint(msgspec.Struct, frozen=True):
    """A fingerprint that fits a text, and what it tells by attribute."""

    description: str
    confidence: str
    facts: dict[str, str]


@cache
def _rows() -> dict[str, list[str]]:
    """The rows of each kind, unread: most are never needed."""
    found: dict[str, list[str]] = defaultdict(list)
    for kind, *cells in data.table("fingerprints.tsv.gz"):
        found[kind].append("\t".join(cells))
    return found


@lru_cache(maxsize=256)
def _pattern(flags: str, pattern: str) -> re.Pattern[str]:
    return re.compile(f"(?{flags}){pattern}" if flags else pattern)


def of(claim: Claim) -> Fingerprint | None:
    """The fingerprint of what this claim says; none for a text that nobody knows."""
    kind = KINDS.get((claim.attribute, claim.protocol))
    return None if kind is None else of_text(kind, claim.value[:MOST_TEXT])


@lru_cache(maxsize=2048)
def of_text(kind: str, text: str) -> Fingerprint | None:
    """The first fingerprint of this kind that fits the text."""
    if kind == "ssh":
        text = re.sub(r"^SSH-[\d.]+-", "", text)
    elif kind == "http-realm":
        text = f'Basic realm="{text}"'
    elif kind == "mdns-device":
        text = f"model={text}"
    low = text.lower()
    for row in _rows()[kind]:
        literal, rest = row.split("\t", 1)
        if literal not in low:
            continue
        flags, pattern, description, confidence, *told = rest.split("\t")
        found = _pattern(flags, pattern).search(text)
        if found is not None:
            facts = dict(fact.split("=", 1) for fact in told)
            return Fingerprint(description, confidence, _filled(facts, found))
    return None


def _filled(facts: dict[str, str], found: re.Match[str]) -> dict[str, str]:
    """The facts with the groups of the match in place; those without any text left out."""
    filled: dict[str, str] = {}
    for name, value in facts.items():
        groups = [int(group) for group in re.findall(r"\{(\d+)\}", value)]
        if groups and not any(found[group] for group in groups):
            continue
        text = re.sub(r"\{(\d+)\}", lambda group: found[int(group[1])] or "", value).strip()
        if text:
            filled[name] = text
    inside = filled.pop("apache", "")
    if inside and "os" not in filled:
        system = of_text("apache-os", inside)
        if system is not None:
            filled |= system.facts
    return filled


def told(claims: Iterable[Claim]) -> dict[str, list[tuple[Claim, Fingerprint]]]:
    """What the fingerprints of these claims tell, by attribute."""
    found: dict[str, list[tuple[Claim, Fingerprint]]] = defaultdict(list)
    for claim in claims:
        fingerprint = of(claim)
        if fingerprint is not None:
            for attribute in fingerprint.facts:
                found[attribute].append((claim, fingerprint))
    return found
