"""The report of a mirror: what it shows, what is wrong, how to mend it."""

from __future__ import annotations

import textwrap
from typing import Literal

import msgspec

from otic.coverage.ledger import LaneOut
from otic.coverage.words import Told, where

MARK = "commissioning"
"""What the store calls the report of the first quarter of an hour."""

Period = Literal["recent", "all"]


class CounterOut(msgspec.Struct, frozen=True, kw_only=True):
    """Messages that senders number: how many were seen, how many are missing between them."""

    protocol: str
    title: str
    seen: int
    missing: int
    rate: float


class ConnectionOut(msgspec.Struct, frozen=True, kw_only=True):
    """One connection of which much is missing, cut short or seen in one direction only."""

    client: str
    server: str
    protocol: str
    title: str
    packets: int
    missing: int
    truncated: int
    one_way: int
    grade: str


class ProtocolOut(msgspec.Struct, frozen=True, kw_only=True):
    """What was seen of one protocol, and its grade."""

    protocol: str
    title: str
    connections: int
    packets: int
    missing: int
    truncated: int
    one_way: int
    grade: str


class Commissioning(msgspec.Struct, frozen=True, kw_only=True):
    """What a sensor found in its first quarter of an hour."""

    time: str
    grade: str
    findings: list[Told]


class Mirror(msgspec.Struct, frozen=True, kw_only=True):
    """What the mirror shows.

    `period` is the time judged: the last quarter of an hour of a live sensor, or everything.
    `commissioning` is what was found in the first quarter of an hour of a live sensor.
    """

    period: Period
    since: str | None
    until: str | None
    grade: str
    findings: list[Told]
    lanes: list[LaneOut]
    counters: list[CounterOut]
    protocols: list[ProtocolOut]
    connections: list[ConnectionOut]
    commissioning: Commissioning | None


def text(mirror: Mirror) -> str:
    """The report as plain text, lines of at most 100 letters where words allow."""
    lines = ["Mirror quality report", ""]
    if mirror.until is None:
        return "\n".join([*lines, "Nothing was seen yet.", ""])
    lines += [
        f"Time judged   {(mirror.since or '')[:19]} to {mirror.until[:19]} UTC",
        f"Grade         {mirror.grade}   (A: at most 0.5 % unseen, B: 5 %, C: half, D: more)",
        "",
    ]
    lines += _findings(mirror.findings)
    lines += ["", "Interfaces and VLANs", ""]
    for lane in mirror.lanes:
        name = where(lane.interface, lane.vlans)
        lines.append(_row(lane.grade, name, lane.frames, _shares(lane.shares)))
    lines += ["", "Protocols", ""]
    for row in mirror.protocols:
        unseen = {
            "missing": row.missing,
            "truncated": row.truncated,
            "one-way": row.one_way,
        }
        told = ", ".join(f"{count:,} {cause}" for cause, count in unseen.items() if count)
        lines.append(_row(row.grade, row.title, row.packets, told))
    if mirror.counters:
        lines += ["", "Numbered messages", ""]
        lines += [
            f"  {row.title:<20} {row.seen:>14,} seen {row.missing:>10,} missing ({row.rate:.2%})"
            for row in mirror.counters
        ]
    if mirror.commissioning is not None:
        first = mirror.commissioning
        until = f"until {first.time[:19]} UTC"
        lines += ["", f"In the first quarter of an hour, {until}: {first.grade}", ""]
        lines += _findings(first.findings)
    return "\n".join([*lines, ""])


def _row(grade: str, name: str, frames: int, told: str) -> str:
    return f"  {grade}  {name:<32} {frames:>14,} frames  {told}".rstrip()


def _findings(findings: list[Told]) -> list[str]:
    if not findings:
        return ["Nothing is wrong with what could be judged."]
    lines = []
    for finding in findings:
        lines += [f"* {finding.title}", *_wrapped(finding.text), *_wrapped("To do: " + finding.fix)]
        for commands in finding.commands:
            lines += [f"    {commands.vendor}:", *(f"      {line}" for line in commands.lines)]
        lines.append("")
    return lines[:-1]


def _wrapped(words: str) -> list[str]:
    return textwrap.wrap(words, 98, initial_indent="  ", subsequent_indent="  ")


def _shares(shares: dict[str, float]) -> str:
    return ", ".join(f"{share:.1%} {cause}" for cause, share in sorted(shares.items()))
