"""How much time a run observes, so that a part of it can be learned from."""

from __future__ import annotations

import msgspec

from otic.facts import decode_batch
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
