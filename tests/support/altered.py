"""Sample captures made harder to read: ports moved, or their beginning taken away."""

from __future__ import annotations

import importlib.util
import json
import struct
import subprocess
from collections import Counter
from functools import cache
from pathlib import Path
from typing import Any

from support.program import SHARED

PORTS = (102, 161, 162, 502, 2222, 2404, 4000, 4712, 4713, 4840, 5094, 9600, 20000, 34964, 44818)
PORTS += (47808, 48898, 48899)
"""Ports by which industrial protocols are known."""

MOVED_BY = 7919
"""What is added to a port; no protocol is known by the sum."""

VLAN_TAGS = (0x8100, 0x88A8)
ETHERNET = 1


def _truth_maker() -> Any:
    """The script beside the captures that asks tshark what they hold."""
    spec = importlib.util.spec_from_file_location("make_truth", SHARED / "tools" / "make_truth.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


truth_maker = cache(_truth_maker)


def truths(tenth: bool) -> list[dict[str, Any]]:
    """What tshark says of the captures with functions of industrial protocols, or every tenth."""
    found = []
    for path in sorted((SHARED / "captures" / "truth").glob("*.json")):
        truth: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        if truth["functions"]:
            found.append(truth)
    return found[4::10] if tenth else found


def with_ports_moved(capture: Path, folder: Path) -> Path | None:
    """The capture with each known port of TCP and UDP moved; none where it is not of Ethernet.

    Checksums stay as they were: the core does not judge by them.
    """
    path = folder / (capture.name + ".moved.pcap")
    subprocess.run(
        ["tshark", "-n", "-r", capture, "-F", "nsecpcap", "-w", path],
        check=False,
        stderr=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    )
    data = bytearray(path.read_bytes()) if path.exists() else bytearray(24)
    if struct.unpack_from("<I", data, 20)[0] != ETHERNET:
        return None
    start = 24
    while start + 16 <= len(data):
        length = struct.unpack_from("<I", data, start + 8)[0]
        _move_ports(memoryview(data)[start + 16 : start + 16 + length])
        start += 16 + length
    path.write_bytes(data)
    return path


def _move_ports(frame: memoryview) -> None:
    """Moves the ports of one Ethernet frame where it holds a first fragment of TCP or UDP."""
    at = 12
    while len(frame) >= at + 6 and struct.unpack_from(">H", frame, at)[0] in VLAN_TAGS:
        at += 4
    if len(frame) < at + 22:
        return
    kind, at = struct.unpack_from(">H", frame, at)[0], at + 2
    if kind == 0x0800:
        fragment = struct.unpack_from(">H", frame, at + 6)[0] & 0x1FFF
        protocol, ports = frame[at + 9], at + 4 * (frame[at] & 15)
    elif kind == 0x86DD and len(frame) >= at + 40:
        fragment, protocol, ports = 0, frame[at + 6], at + 40
    else:
        return
    if fragment or protocol not in (6, 17) or len(frame) < ports + 4:
        return
    for place in (ports, ports + 2):
        port = struct.unpack_from(">H", frame, place)[0]
        if port in PORTS:
            struct.pack_into(">H", frame, place, port + MOVED_BY)


def second_half(truth: dict[str, Any], folder: Path) -> tuple[Path, dict[str, Any]]:
    """The capture without its first half and without any SYN, and what tshark found in those frames
    when it had seen all.
    """
    maker = truth_maker()
    capture = SHARED / "captures" / truth["capture"]
    keep = f"frame.number > {truth['packets'] // 2} && !(tcp.flags.syn == 1)"
    path = folder / (capture.name + ".cut.pcap")
    subprocess.run(
        ["tshark", "-n", "-r", capture, "-Y", keep, "-w", path],
        check=False,
        stderr=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    )
    functions = {}
    for name in truth["functions"]:
        text, *code = maker.FUNCTIONS[name]
        is_reply = maker.REPLIES.get(name, lambda code, mac: False)
        counts: Counter[tuple[str, str, int]] = Counter()
        for mac, client, server, copy, columns in maker.rows(capture, f"({text}) && {keep}", *code):
            if copy or not (client and server):
                continue
            for parts in zip(*columns, strict=False):
                numbers = [int(part, 0) for part in parts]
                number = int.from_bytes(bytes(numbers)) if len(numbers) > 1 else numbers[0]
                if not is_reply(number, mac):
                    counts[client, server, number] += 1
        if counts:
            functions[name] = sorted([*key, number] for key, number in counts.items())
    return path, {**empty(truth, path), "functions": functions}


def empty(truth: dict[str, Any], capture: Path) -> dict[str, Any]:
    """What is told of an altered capture: only its functions."""
    nothing: dict[str, Any] = {"senders": {"mac": [], "ip": [], "together": []}, "protocols": {}}
    return {**truth, **nothing, "identity": [], "capture": capture.name}
