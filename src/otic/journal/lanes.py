"""What the mirror showed of each lane (a VLAN on an interface), in all and in a quarter hour."""

from __future__ import annotations

from collections.abc import Container

import msgspec

from otic.facts import COUNTERS, Lane, Tick

WINDOW_NS = 300_000_000_000
"""Width of the windows in which recent frames are counted."""

WINDOWS = 3
"""Windows kept: a quarter of an hour."""

TOTAL = -1
"""Start of the window that holds everything."""

LaneKey = tuple[str, tuple[int, ...], int]
"""Interface, VLAN ids outermost first, start of the window in ns."""

CHOSEN = ("filter",)
"""Causes of drops that somebody asked for."""

_SUMMED = tuple(
    name
    for name in Lane.__struct_fields__
    if name not in ("interface", "vlans", "numbered", "missing")
)


def window_starts(now_ns: int) -> range:
    """Starts of the windows that are kept at this time, in ns."""
    last = now_ns // WINDOW_NS * WINDOW_NS
    return range(last - (WINDOWS - 1) * WINDOW_NS, last + 1, WINDOW_NS)


class LaneCounts(msgspec.Struct):
    """Frames of one lane; the fields are those of `otic.facts.Lane`.

    `dropped` are frames that this machine lost, by its own count, and `seconds` those with a link:
    both are told by interface, and stand with its untagged lane.
    """

    frames: int = 0
    bytes: int = 0
    unicast: int = 0
    flooded: int = 0
    truncated: int = 0
    joined: int = 0
    jumbo: int = 0
    filled: int = 0
    filled_short: int = 0
    checkable: int = 0
    mirror_copies: int = 0
    routed_copies: int = 0
    mixed_untagged: int = 0
    mixed_tagged: int = 0
    tcp: int = 0
    tcp_one_way: int = 0
    dropped: int = 0
    seconds: int = 0
    numbered: list[int] = msgspec.field(default_factory=lambda: [0] * len(COUNTERS))
    missing: list[int] = msgspec.field(default_factory=lambda: [0] * len(COUNTERS))

    def add(self, more: Lane | LaneCounts) -> None:
        """Adds frames."""
        for name in _SUMMED:
            setattr(self, name, getattr(self, name) + getattr(more, name))
        if isinstance(more, LaneCounts):
            self.dropped += more.dropped
            self.seconds += more.seconds
        self.numbered = [a + b for a, b in zip(self.numbered, more.numbered, strict=True)]
        self.missing = [a + b for a, b in zip(self.missing, more.missing, strict=True)]


class Lanes(dict[LaneKey, LaneCounts]):
    """The counts of all lanes: one window that holds everything, and the last few."""

    def add(self, lanes: list[Lane], ticks: list[Tick], now_ns: int) -> set[LaneKey]:
        """Adds one batch that ended at `now_ns`; says which counts it changed.

        Ticks count with the frames of their batch, whatever the wall clock of a machine says whose
        frames come late out of a pipe.
        """
        changed: set[LaneKey] = set()
        for lane in lanes:
            for counts in self._both(lane.interface, tuple(lane.vlans), now_ns, changed):
                counts.add(lane)
        for tick in ticks:
            dropped = sum(count for cause, count in tick.drops.items() if cause not in CHOSEN)
            for counts in self._both(tick.interface, (), now_ns, changed):
                counts.dropped += dropped
                counts.seconds += tick.up
        return changed

    def _both(
        self, interface: str, vlans: tuple[int, ...], now_ns: int, changed: set[LaneKey]
    ) -> list[LaneCounts]:
        start = now_ns // WINDOW_NS * WINDOW_NS
        keys = [(interface, vlans, TOTAL), (interface, vlans, start)]
        if keys[1] not in self:
            self._forget(start)
        changed.update(keys)
        return [self.setdefault(key, LaneCounts()) for key in keys]

    def _forget(self, start: int) -> None:
        """Drops the windows that are not among the last, seen from the one that starts now.

        After the clock was set back, those of the future are not of now either.
        """
        recent = (TOTAL, *window_starts(start))
        for key in [key for key in self if key[2] not in recent]:
            del self[key]

    def total(self) -> dict[tuple[str, tuple[int, ...]], LaneCounts]:
        """Everything, by interface and VLANs."""
        return {key[:2]: counts for key, counts in self.items() if key[2] == TOTAL}

    def recent(self, now_ns: int) -> dict[tuple[str, tuple[int, ...]], LaneCounts]:
        """The last windows up to `now_ns`, by interface and VLANs."""
        return self.of(window_starts(now_ns))

    def of(self, starts: Container[int]) -> dict[tuple[str, tuple[int, ...]], LaneCounts]:
        """The windows that start then, by interface and VLANs."""
        found: dict[tuple[str, tuple[int, ...]], LaneCounts] = {}
        for key, counts in self.items():
            if key[2] in starts:
                found.setdefault(key[:2], LaneCounts()).add(counts)
        return found
