"""Grades: how much of what happened was seen, in a letter that people can compare."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

BOUNDS = (("A", 0.005), ("B", 0.05), ("C", 0.5))
"""Grade, and the largest share unseen that still earns it; more is a D."""

FEWEST = 20
"""Frames below which nothing is graded: too few to say."""

UNKNOWN = "-"
"""The grade of what was too little to say."""


class Unseen(msgspec.Struct):
    """Frames of connections, and what of them was not seen; all are sums."""

    packets: int = 0
    missing: int = 0
    truncated: int = 0
    one_way: int = 0

    def add(self, packets: int, missing: int, truncated: int, one_way: int) -> None:
        """Adds the counts of one connection."""
        self.packets += packets
        self.missing += missing
        self.truncated += truncated
        self.one_way += one_way

    def shares(self) -> dict[str, float]:
        """Each cause with the share of frames it took, where it took any.

        `one-way` is the share of frames whose answers were not seen.
        """
        packets = max(self.packets, 1)
        found = {
            "missing": self.missing / (packets + self.missing),
            "truncated": self.truncated / packets,
            "one-way": self.one_way / packets,
        }
        return rounded(found)

    def grade(self) -> str:
        """The grade of these frames."""
        if self.packets < FEWEST:
            return UNKNOWN
        return letter(hidden(self.shares()))


def rounded(shares: dict[str, float]) -> dict[str, float]:
    """The shares that show at four digits."""
    return {cause: round(share, 4) for cause, share in shares.items() if share >= 0.00005}


def hidden(shares: dict[str, float]) -> float:
    """The share unseen, 0 to 1, where the causes took these shares."""
    return (
        shares.get("missing", 0.0)
        + shares.get("truncated", 0.0)
        # Each frame seen one way stands for another that was not.
        + shares.get("one-way", 0.0) / 2
    )


def letter(unseen: float) -> str:
    """The grade of a share unseen, 0 to 1."""
    return next((grade for grade, most in BOUNDS if unseen <= most), "D")


def worst(grades: Iterable[str]) -> str:
    """The worst of these grades; unknown where none is known."""
    return max((grade for grade in grades if grade != UNKNOWN), default=UNKNOWN)
