"""Findings in words, with what mends them (`data/mirror.toml`)."""

from __future__ import annotations

import re
from functools import cache

import msgspec

from otic import data
from otic.coverage.ledger import Finding

_PLACE = re.compile(r"\{([a-z_]+)\}")

STEPS = ("mirror", "vlans", "one_direction", "keep_tags")
"""Steps of a switch's configuration."""


class Template(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The words of one kind of finding."""

    title: str
    text: str
    fix: str
    step: str = ""


class Vendor(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How one vendor's switches are told each step; a step without lines is not known."""

    name: str
    source: str
    mirror: list[str] = []
    vlans: list[str] = []
    one_direction: list[str] = []
    keep_tags: list[str] = []


class Tables(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The file."""

    finding: dict[str, Template]
    counter: dict[str, str]
    vendor: list[Vendor]


class Commands(msgspec.Struct, frozen=True):
    """What to tell one vendor's switches, and the manual that says so."""

    vendor: str
    source: str
    lines: list[str]


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """A finding in words."""

    kind: str
    interface: str
    vlans: tuple[int, ...]
    rate: float
    title: str
    text: str
    fix: str
    commands: list[Commands]


@cache
def tables() -> Tables:
    """The words and commands."""
    return msgspec.toml.decode(data.read("mirror.toml"), type=Tables)


def counter_title(name: str) -> str:
    """What people call the messages that this counter numbers."""
    return tables().counter[name]


def where(interface: str, vlans: tuple[int, ...]) -> str:
    """A lane in words."""
    vlan = "VLAN " + " in ".join(str(number) for number in reversed(vlans)) if vlans else ""
    if not interface:
        return vlan or "the capture"
    return f"{vlan} on {interface}" if vlan else interface


def told(finding: Finding) -> Told:
    """The finding in words, with what mends it."""
    words = tables()
    template = words.finding[finding.kind]
    values = finding.values | {
        "rate": f"{finding.rate:.1%}",
        "of": f"{finding.of:,}",
        "where": where(finding.interface, finding.vlans),
    }
    return Told(
        kind=finding.kind,
        interface=finding.interface,
        vlans=finding.vlans,
        rate=round(finding.rate, 4),
        title=template.title,
        text=_PLACE.sub(lambda place: values.get(place[1], "-"), template.text),
        fix=template.fix,
        commands=[
            Commands(vendor.name, vendor.source, lines)
            for vendor in words.vendor
            if template.step and (lines := getattr(vendor, template.step))
        ],
    )
