"""How much time is observed, so that a part of it can be learned from."""

from __future__ import annotations

import sys
from collections.abc import MutableMapping

import msgspec

from otic.facts import Batch, decode_batch
from otic.sensor.pipeline import Source, read_ahead

LONGEST_GAP_NS = 3_600_000_000_000
"""A jump longer than this is a gap in observation, not time observed (contracts.md §2)."""


class Observed(msgspec.Struct):
    """Stretches of observed time, (start, end) in ns, in the order observed."""

    stretches: list[tuple[int, int]]

    def at(self, fraction: float) -> int:
        """The clock when this part of the observed time had passed."""
        total = sum(end - start for start, end in self.stretches)
        left = int(total * fraction)
        for start, end in self.stretches:
            if left <= end - start:
                return start + left
            left -= end - start
        return self.stretches[-1][1] if self.stretches else 0


def observed_time(source: Source) -> Observed:
    """Reads all batches for their clocks alone."""
    stretches: list[tuple[int, int]] = []
    for reading in read_ahead(source):
        batch = decode_batch(reading.batch)
        if not batch.coverage.frames:
            continue
        start, end = batch.start_ns, batch.end_ns
        if stretches and 0 <= start - stretches[-1][1] <= LONGEST_GAP_NS and not batch.epochs:
            stretches[-1] = (stretches[-1][0], max(end, stretches[-1][1]))
        else:
            stretches.append((start, max(start, end)))
    return Observed(stretches)


TICK_NS = 1_000_000_000


class Learning:
    """The learning time of a live sensor: seconds in which an interface with link was watched.

    What it knows survives a restart in `marks`, as text.
    """

    def __init__(self, marks: MutableMapping[str, str], wanted_s: int) -> None:
        self._marks = marks
        self._wanted_ns = wanted_s * 1_000_000_000
        self._observed_ns = int(marks.get("learning-observed-ns", "0"))
        self._last_ns = 0

    @property
    def active(self) -> bool:
        """Whether the sensor still learns."""
        return "learned-until-ns" not in self._marks

    @property
    def learned_until_ns(self) -> int:
        """Facts first seen until then are learned: all of them while learning lasts.

        Later ones are learned if the baseline holds them.
        """
        return int(self._marks.get("learned-until-ns", str(sys.maxsize)))

    def observe(self, batch: Batch) -> bool:
        """Counts the time that this batch watched; whether the learning is over now."""
        if not self.active:
            return False
        for tick in batch.ticks:
            # Interfaces tick together; a clock that was set may tick earlier than before.
            if tick.up and abs(tick.wall_ns - self._last_ns) >= TICK_NS // 2:
                self._observed_ns += TICK_NS
                self._last_ns = tick.wall_ns
        if batch.ticks:
            self._marks["learning-observed-ns"] = str(self._observed_ns)
        return self._observed_ns >= self._wanted_ns

    def set_back(self, batch: Batch) -> bool:
        """Whether the clock was set back to before the end of the learning.

        From where it was set to, a time no longer tells what was learned.
        """
        if self.active:
            return False
        until_ns = min([self.learned_until_ns, *(epoch.after_ns for epoch in batch.epochs)])
        if until_ns == self.learned_until_ns:
            return False
        self._marks["learned-until-ns"] = str(until_ns)
        return True

    def finish(self, until_ns: int) -> None:
        """The learning is over."""
        self._marks["learned-until-ns"] = str(until_ns)
