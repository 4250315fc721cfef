"""The ledger of a sensor's state."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator

from otic.coverage.ledger import Ledger, ledger
from otic.journal.fold import State
from otic.journal.lanes import WINDOW_NS, WINDOWS, window_starts

STEPS = ("step", "backward")
"""Causes of clock jumps that mean that a clock was set; a gap only means that nothing was seen."""

VLAN_CLAIMS = {"vlan_id": "LLDP", "stp_vlan": "spanning tree"}
"""Attributes by which switches tell that a VLAN exists, and what tells them."""


def ledger_of(state: State, *, recent: bool = False) -> Ledger:
    """The ledger of everything this state has seen, or of its last quarter of an hour."""
    lanes, since_ns = state.lanes.total(), -sys.maxsize
    if recent:
        lanes = state.lanes.recent(state.clock_ns)
        since_ns = state.clock_ns - WINDOWS * WINDOW_NS
    steps = (epoch for epoch in state.epochs.values() if epoch.after_ns >= since_ns)
    return ledger(
        lanes,
        clock_steps=sum(epoch.cause in STEPS for epoch in steps),
        expected_vlans=told_vlans(
            (claim.attribute, claim.value) for claim in state.claims.values()
        ),
    )


def finished_windows(state: State) -> list[Ledger]:
    """What each window that is over and still kept shows of the frames alone, oldest first."""
    return [ledger(state.lanes.of((start,))) for start in window_starts(state.clock_ns)[:-1]]


def told_vlans(claims: Iterable[tuple[str, str]]) -> Iterator[tuple[int, str]]:
    """VLANs that switches say exist, by attribute and value of claims; each with what said so."""
    for attribute, value in claims:
        source = VLAN_CLAIMS.get(attribute)
        if source is not None and value.isdigit():
            yield int(value), source


def is_one_way(transport: str, forward: int, reverse: int, one_way: int) -> bool:
    """Whether only one direction of a connection is visible.

    A TCP connection may carry payload in one direction only; what counts is whether the other
    side's frames, acknowledgements too, were seen by then.
    """
    if transport == "tcp":
        return 2 * one_way > forward + reverse
    return not (forward and reverse)
