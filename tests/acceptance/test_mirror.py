"""Faults that a mirror port makes, put into good captures: each is named with its rate."""

from __future__ import annotations

import random
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from otic._core import read_frames
from support.frames import (
    ACK,
    MS_NS,
    PSH,
    START_NS,
    Conversation,
    Host,
    Timed,
    ethernet,
    ipv4,
    modbus,
    tcp,
)
from support.program import document, needs_shared, sample

POINT = 0.01
"""How near to the rate put in the ledger has to come."""

MANY = 4_000
"""Frames of a capture that is large enough for a rate."""

Case = tuple[int, bytes, int]
"""Time, bytes, original length."""


def plant() -> list[Timed]:
    """Two controllers that are polled a few thousand times, in a VLAN."""
    frames: list[Timed] = []
    for number in (1, 2):
        client = Host(mac="02:00:00:00:00:09", ip="10.0.0.9", vlans=(10,))
        server = Host(mac=f"02:00:00:00:00:0{number}", ip=f"10.0.0.{number}", vlans=(10,))
        talk = Conversation(client, server, (49_000 + number, 502), step_ns=3 * MS_NS).open()
        for at in range(2_000):
            read = struct.pack("!HH", at % 50, 20)
            talk.ask(modbus(at, 1, 3, read), modbus(at, 1, 3, bytes([40]) + bytes(40)))
            talk._send(True, ACK)
        frames += talk.close().frames
    return sorted(frames)


def cases(frames: list[Timed]) -> list[Case]:
    return [(at, frame, len(frame)) for at, frame in frames]


def ledger(path: Path, frames: list[Case]) -> dict[str, Any]:
    """What Otic says of a capture with these frames."""
    parts = [struct.pack("<IHHiIII", 0xA1B23C4D, 2, 4, 0, 0, 262_144, 1)]
    for at, frame, length in frames:
        head = struct.pack("<IIII", *divmod(at, 1_000_000_000), len(frame), length)
        parts.append(head + frame)
    path.write_bytes(b"".join(parts))
    coverage: dict[str, Any] = document(path)["coverage"]
    return coverage


def rates(coverage: dict[str, Any]) -> dict[str, float]:
    return {finding["kind"]: finding["rate"] for finding in coverage["findings"]}


def dropped(frames: list[Case], chance: random.Random) -> tuple[list[Case], float]:
    """Without 5 %, and how many that were."""
    kept = [case for case in frames if chance.random() >= 0.05]
    return kept, 1 - len(kept) / len(frames)


def doubled(frames: list[Case], chance: random.Random) -> tuple[list[Case], float]:
    """30 % come again after 50 µs."""
    found: list[Case] = []
    for case in frames:
        found.append(case)
        if chance.random() < 0.3:
            found.append((case[0] + 50_000, *case[1:]))
    return found, len(found) / len(frames) - 1


def cut(frames: list[Case], _: random.Random) -> tuple[list[Case], float]:
    """At most 96 bytes of each."""
    found = [(at, frame[:96], length) for at, frame, length in frames]
    return found, sum(length > 96 for _, _, length in found) / len(found)


def halved(frames: list[Case], _: random.Random) -> tuple[list[Case], float]:
    """One direction of each conversation: the sender with the smaller MAC is not seen."""
    return [case for case in frames if case[1][6:12] > case[1][:6] or case[1][0] & 1], 1.0


FAULTS: dict[str, Callable[[list[Case], random.Random], tuple[list[Case], float]]] = {
    "loss": dropped,
    "copies": doubled,
    "truncated": cut,
    "one-way": halved,
}


@pytest.mark.parametrize("kind", FAULTS)
def test_a_fault_is_named_within_a_point(kind: str, tmp_path: Path) -> None:
    """And nothing else is found."""
    frames, rate = FAULTS[kind](cases(plant()), random.Random(1))
    coverage = ledger(tmp_path / "a.pcap", frames)

    assert rates(coverage) == {kind: pytest.approx(rate, abs=POINT)}
    assert coverage["grade"] != "A"


def test_a_good_capture_has_no_finding(tmp_path: Path) -> None:
    """Every frame is there, once, whole, tagged."""
    coverage = ledger(tmp_path / "a.pcap", cases(plant()))

    assert coverage["findings"] == []
    assert coverage["grade"] == "A"
    assert coverage["counters"] == {"tcp": {"seen": 8_000, "missing": 0}}


@pytest.mark.parametrize("share", [0.4, 1.0])
def test_tags_that_are_taken_off_are_named(share: float, tmp_path: Path) -> None:
    """In part: by the frames of the same conversations. All: by frames shorter than allowed."""
    chance = random.Random(2)
    frames: list[Case] = []
    stripped = 0
    for at, frame, length in cases(plant()):
        if chance.random() < share:
            stripped += 1
            frames.append((at, frame[:12] + frame[16:], length - 4))
        else:
            frames.append((at, frame, length))
    found = rates(ledger(tmp_path / "a.pcap", frames))

    kind = "tags-mixed" if share < 1 else "tags-stripped"
    assert found[kind] == pytest.approx(stripped / len(frames), abs=POINT)


def test_frames_that_an_adapter_joined_are_named(tmp_path: Path) -> None:
    """Five segments of a transfer in one frame, as generic receive offload makes them."""
    plc, pc = (
        Host(mac="02:00:00:00:00:01", ip="10.0.0.1"),
        Host(mac="02:00:00:00:00:02", ip="10.0.0.2"),
    )
    whole = cases(plant())
    sequence, joined = 1, []
    for number in range(900):
        data = bytes(1460 * (5 if number % 3 == 0 else 1))
        segment = tcp(pc.ip, plc.ip, (40_000, 102), (sequence, 1), PSH | ACK, data)
        packet = ipv4(pc.ip, plc.ip, 6, segment, identification=number + 1)
        frame = ethernet(pc.mac, plc.mac, 0x0800, packet)
        joined.append((START_NS + number * MS_NS, frame, len(frame)))
        back = tcp(plc.ip, pc.ip, (102, 40_000), (1, sequence), ACK)
        answer = ethernet(
            plc.mac, pc.mac, 0x0800, ipv4(plc.ip, pc.ip, 6, back, identification=number + 1)
        )
        joined.append((START_NS + number * MS_NS + 1, answer, len(answer)))
        sequence += len(data)
    frames = sorted(whole + joined)
    found = rates(ledger(tmp_path / "a.pcap", frames))

    assert found == {"joined": pytest.approx(300 / len(frames), abs=POINT)}


@needs_shared
@pytest.mark.parametrize("kind", FAULTS)
def test_faults_in_the_samples(kind: str, tmp_path: Path) -> None:
    """The large samples that have no finding by themselves, with TCP and IP identifications."""
    judged = 0
    for path in sample(tenth=False):
        if path.stat().st_size > 20_000_000 or path.stat().st_size < 60 * MANY:
            continue
        coverage = document(path)["coverage"]
        seen = coverage["counters"].get("tcp", {}).get("seen", 0)
        if coverage["findings"] or coverage["frames"] < MANY or seen < coverage["frames"] // 2:
            continue
        frames = whole_frames(path)
        broken, rate = FAULTS[kind](frames, random.Random(3))
        found = rates(ledger(tmp_path / "a.pcap", broken))
        if rate >= POINT:
            assert found.get(kind) == pytest.approx(rate, abs=POINT), path.name
        judged += 1
        if judged == 6:
            break
    assert judged


def whole_frames(path: Path) -> list[Case]:
    """All frames of a capture."""
    count = document(path)["coverage"]["frames"]
    rows = read_frames(str(path), list(range(1, count + 1)))
    return [(row[1], row[4], row[2]) for row in rows]
