"""The demo capture: right frames, always the same, and what Otic finds in it."""

from __future__ import annotations

import itertools
import struct

from otic.plant import demo
from otic.plant.frames import checksum


def test_the_capture_is_always_the_same():
    """Two runs give the same frames at the same times."""
    assert demo.demo().frames == demo.demo().frames


def test_all_checksums_are_right():
    """IPv4 headers and TCP and UDP segments sum up, so that no decoder has a reason to refuse."""
    checked = 0
    for _, length, _, frame in demo.demo().frames:
        assert length == len(frame)
        if frame[12:14] != b"\x08\x00":
            continue
        total = struct.unpack(">H", frame[16:18])[0]
        packet = frame[14 : 14 + total]
        assert checksum(packet[:20]) == 0
        pseudo = packet[12:20] + struct.pack(">BBH", 0, packet[9], total - 20)
        assert checksum(pseudo + packet[20:]) == 0
        checked += 1
    assert checked > 2000


def test_times_never_go_back():
    """Frames are in the order they were sent."""
    times = [frame[0] for frame in demo.demo().frames]
    assert times == sorted(times)


def test_the_live_plant_tells_a_story():
    """Frames come in order without end: quiet work, then the visitor at the second it is due."""
    start_ns = demo.START_NS
    frames = list(itertools.takewhile(lambda row: row[0] < start_ns + 130e9, demo.live(start_ns)))
    times = [ts_ns for ts_ns, _ in frames]
    assert times == sorted(times)
    visitor = [ts_ns for ts_ns, frame in frames if frame[6:12] == demo.VISITOR.mac_bytes]
    assert (min(visitor) - start_ns) // 10**9 == demo.VISIT_S
    speaking = {frame[6:12] for ts_ns, frame in frames if ts_ns < start_ns + demo.LEARN_S * 10**9}
    for host in (demo.HISTORIAN, demo.SAFETY, demo.PRINTER, demo.CAMERA, demo.OFFICE_SWITCH):
        assert host.mac_bytes in speaking
    # Nobody is silent for long: a sensor that is started later sees the plant too.
    gaps = [after - before for before, after in itertools.pairwise(times)]
    assert max(gaps) < 2e9
