"""Every claim cites bytes, and decoding them gives the value again."""

from __future__ import annotations

import os
from collections import defaultdict
from pathlib import Path

from otic._core import read_frames
from otic.errors import OticError
from otic.evidence import decode
from support.frames import START_NS, Host, arp, polling, write_pcap
from support.program import document, needs_shared, sample


def wrong_claims(path: Path) -> tuple[int, list[str]]:
    """How many claims a capture gives, and those whose bytes do not say their value."""
    claims = [claim for device in document(path)["devices"] for claim in device["claims"]]
    wanted: dict[int, None] = defaultdict()
    for claim in claims:
        for span in claim["evidence"]["spans"]:
            wanted[span["frame"]] = None
    frames = {row[0]: row[4] for row in read_frames(str(path), sorted(wanted))}
    wrong = []
    for claim in claims:
        spans, name = claim["evidence"]["spans"], claim["evidence"]["decode"]
        what = (
            f"{path.name}: {claim['endpoint']} {claim['attribute']} = {claim['value']!r} ({name})"
        )
        parts = [frames[s["frame"]][s["offset"] : s["offset"] + s["length"]] for s in spans]
        if not parts or any(
            len(part) != span["length"] for part, span in zip(parts, spans, strict=True)
        ):
            wrong.append(f"{what}: cites bytes that are not there")
            continue
        try:
            said = decode(name, b"".join(parts))
        except OticError as error:
            wrong.append(f"{what}: {error}")
            continue
        if name != "derived" and said != str(claim["value"]):
            wrong.append(f"{what}: bytes say {said!r}")
    return len(claims), wrong


def test_claims_of_a_made_capture(tmp_path: Path) -> None:
    """A capture made here: its claims' bytes say their values."""
    client = Host(mac="02:00:00:00:00:01", ip="10.0.0.1")
    server = Host(mac="02:00:00:00:00:02", ip="10.0.0.2")
    frames = [(START_NS - 1, arp(client.mac, client.ip, server.ip)), *polling(client, server)]

    _, wrong = wrong_claims(write_pcap(tmp_path / "small.pcap", frames))

    assert wrong == []


@needs_shared
def test_claims_of_the_samples() -> None:
    """A tenth of the sample captures (all of them when OTIC_FULL is set): no claim is unproved."""
    count, wrong = 0, []
    for path in sample(tenth=not os.environ.get("OTIC_FULL")):
        found, mismatches = wrong_claims(path)
        count += found
        wrong += mismatches

    assert wrong == []
    assert count > 100
