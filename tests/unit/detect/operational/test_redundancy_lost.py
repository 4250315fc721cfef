"""`redundancy-lost`: a node that was on both LANs of a PRP network is silent on one."""

from support.alerts import fired
from support.frames import Timed
from support.redundancy import at, prp, supervision

NODES = ("00:00:bc:00:00:0a", "00:00:bc:00:01:0b")


def life(seconds: range, lans: str, nodes: tuple[str, ...] = NODES) -> list[Timed]:
    """Supervision frames of these nodes, every two seconds, on these LANs."""
    return [
        (at(second) + number, prp(supervision(mac, second), lan, second))
        for second in seconds
        if second % 2 == 0
        for mac in nodes
        for number, lan in enumerate(lans)
    ]


def test_fires_once_for_all_nodes_of_a_lan() -> None:
    """A LAN that died is one alert that names its nodes; what came before and after is cited."""
    told = fired([*life(range(20), "AB"), *life(range(20, 60), "A")])

    assert ["redundancy-lost"] == list(told)
    assert ("major", sorted(NODES), 2) == (
        told["redundancy-lost"].severity,
        sorted(told["redundancy-lost"].sources),
        told["redundancy-lost"].count,
    )
    assert "prp LAN B" in told["redundancy-lost"].text


def test_fires_for_the_node_that_lost_one_lan_alone() -> None:
    """The other node stays redundant; the one that lost LAN A is named."""
    frames = life(range(20), "AB") + life(range(20, 60), "AB", NODES[:1])
    told = fired(frames + life(range(20, 60), "B", NODES[1:]))

    assert [NODES[1]] == told["redundancy-lost"].sources
    assert "prp LAN A" in told["redundancy-lost"].text


def test_stays_silent_while_both_lans_speak_or_only_one_ever_did() -> None:
    """Both LANs, a short break of one, a tap on one LAN alone, a node that is switched off."""
    assert not fired(life(range(60), "AB"))
    brief = [*life(range(20), "AB"), *life(range(20, 28), "A"), *life(range(28, 60), "AB")]
    assert not fired(brief)
    assert not fired(life(range(60), "A"))
    assert not fired([*life(range(20), "AB"), *life(range(20, 60), "AB", NODES[:1])])
