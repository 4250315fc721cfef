"""The ledger of a sensor's state."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from otic.coverage.ledger import Ledger, ledger
from otic.facts import Claim, Epoch
from otic.journal.fold import State
from otic.journal.lanes import WINDOW_NS, WINDOWS

STEPS = ("step", "backward")
"""Causes of clock jumps that mean that a clock was set; a gap only means that nothing was seen."""

VLAN_CLAIMS = {"vlan_id": "LLDP", "stp_vlan": "spanning tree"}
"""Attributes by which switches tell that a VLAN exists, and what tells them."""


def ledger_of(state: State) -> Ledger:
    """The ledger of everything this state has seen."""
    return ledger(
        state.lanes.total(),
        clock_steps=clock_steps(state.epochs.values()),
        expected_vlans=told_vlans(state.claims.values()),
    )


def recent_ledger_of(state: State) -> Ledger:
    """The ledger of the last quarter of an hour that this state has seen."""
    since_ns = state.clock_ns - WINDOWS * WINDOW_NS
    epochs = [epoch for epoch in state.epochs.values() if epoch.after_ns >= since_ns]
    return ledger(
        state.lanes.recent(state.clock_ns),
        clock_steps=clock_steps(epochs),
        expected_vlans=told_vlans(state.claims.values()),
    )


def clock_steps(epochs: Iterable[Epoch]) -> int:
    """How often a clock was set."""
    return sum(epoch.cause in STEPS for epoch in epochs)


def told_vlans(claims: Iterable[Claim]) -> Iterator[tuple[int, str]]:
    """VLANs that switches say exist, each with what said so."""
    for claim in claims:
        source = VLAN_CLAIMS.get(claim.attribute)
        if source is not None and claim.value.isdigit():
            yield int(claim.value), source


def is_one_way(transport: str, forward: int, reverse: int, one_way: int) -> bool:
    """Whether only one direction of a connection is visible.

    A TCP connection may carry payload in one direction only; what counts is whether the other
    side's frames, acknowledgements too, were seen by then.
    """
    if transport == "tcp":
        return 2 * one_way > forward + reverse
    return not (forward and reverse)
