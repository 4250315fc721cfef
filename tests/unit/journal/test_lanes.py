"""Counts of lanes in windows of time."""

from typing import Any

from otic.facts import Lane, Tick
from otic.journal.lanes import TOTAL, WINDOW_NS, Lanes

EMPTY: dict[str, Any] = dict.fromkeys(Lane.__struct_fields__, 0)
DAY_NS = 86_400_000_000_000


def lane(frames: int) -> Lane:
    given = EMPTY | {"interface": "eth1", "vlans": [10], "frames": frames}
    return Lane(**given | {"numbered": [0] * 5, "missing": [0] * 5})


def frames(lanes: Lanes, now_ns: int) -> int:
    return sum(counts.frames for counts in lanes.recent(now_ns).values())


def test_a_quarter_of_an_hour_is_recent() -> None:
    """Older windows are forgotten; the sum of everything stays."""
    lanes = Lanes()
    for window in range(6):
        lanes.add([lane(1)], [], window * WINDOW_NS + 1)

    assert frames(lanes, 5 * WINDOW_NS + 1) == 3
    assert lanes.total()["eth1", (10,)].frames == 6
    assert {key[2] for key in lanes} == {TOTAL, *(n * WINDOW_NS for n in (3, 4, 5))}


def test_a_clock_that_is_set_loses_no_sum() -> None:
    """Forward or back by years: what is recent starts anew."""
    lanes = Lanes()
    at = 20_000 * DAY_NS
    for now_ns in (at, at + 365 * DAY_NS, at, 1, at - 365 * DAY_NS):
        lanes.add([lane(1)], [], now_ns)
        assert frames(lanes, now_ns) == 1

    assert lanes.total()["eth1", (10,)].frames == 5


def test_ticks_count_with_the_frames_of_their_batch() -> None:
    """Drops that somebody asked for by a filter are none."""
    lanes = Lanes()
    tick = Tick("eth1", 10**18, 5, True, 3, 300, {"ring": 7, "filter": 9})
    lanes.add([lane(1)], [tick], WINDOW_NS + 5)

    recent = lanes.recent(WINDOW_NS + 5)
    assert recent["eth1", ()].dropped == 7
    assert recent["eth1", ()].seconds == 1
    assert recent["eth1", (10,)].frames == 1
