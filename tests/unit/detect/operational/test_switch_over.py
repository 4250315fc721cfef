"""`switch-over`: a member of a redundancy group took its addresses over."""

from support.alerts import fired
from support.redundancy import claims, vrrp

A, B = "00:00:bc:00:00:0a", "00:00:bc:00:01:0b"
"""Two Ethernet modules of one maker."""

SWAP = [
    claims(0, A, "10.0.0.10"),
    claims(1, B, "10.0.0.11"),
    claims(100, B, "10.0.0.10"),
    claims(100.2, A, "10.0.0.11"),
    claims(101, B, "10.0.0.10", about="10.0.0.99"),
    claims(160, A, "10.0.0.11", about="10.0.0.99"),
]
"""The secondary takes the primary's address, which takes the secondary's."""


def test_fires_once_when_two_modules_swap_their_addresses() -> None:
    """The new primary took both, at one time, in one alert; nothing else is said."""
    (told,) = fired(SWAP).items()

    assert "switch-over" == told[0]
    assert ("warning", [B], [A], 1) == (
        told[1].severity,
        told[1].sources,
        told[1].destinations,
        told[1].count,
    )
    assert "10.0.0.10, 10.0.0.11" in told[1].text


def test_fires_once_when_another_router_becomes_master() -> None:
    """The new master took the group's address from the old one."""
    frames = [vrrp(second, "10.0.0.2", "10.0.0.1") for second in range(10)]
    frames += [vrrp(14 + second, "10.0.0.3", "10.0.0.1") for second in range(10)]

    told = fired(frames)["switch-over"]

    assert (["10.0.0.3"], ["10.0.0.2"], 1) == (told.sources, told.destinations, told.count)
    assert "vrrp 10" in told.text


def test_stays_silent_while_nobody_takes_over() -> None:
    """Members that keep their addresses, and a machine that was replaced by an unknown one."""
    kept = [claims(second, A, "10.0.0.10") for second in range(0, 300, 50)]
    kept += [claims(second + 1, B, "10.0.0.11") for second in range(0, 300, 50)]
    replaced = [claims(0, A, "10.0.0.10"), claims(500, B, "10.0.0.10")]
    masters = [vrrp(second, "10.0.0.2", "10.0.0.1") for second in range(10)]

    assert not fired(kept)
    assert not fired(replaced)
    assert not fired(masters)
