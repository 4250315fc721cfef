"""What the counts of lanes say of a mirror."""

from typing import Any

import pytest

from otic.coverage.grades import UNKNOWN, Unseen, letter, worst
from otic.coverage.ledger import Finding, Ledger, ledger
from otic.coverage.words import STEPS, tables, told
from otic.facts import COUNTERS
from otic.journal.lanes import LaneCounts


def lane(**counts: Any) -> LaneCounts:
    """A good lane of 10,000 frames, half of them TCP, changed by these counts."""
    good: dict[str, Any] = {
        "frames": 10_000,
        "bytes": 1_000_000,
        "unicast": 9_900,
        "flooded": 100,
        "checkable": 9_000,
        "tcp": 5_000,
        "filled": 2_000,
        "numbered": [5_000, 0, 0, 0, 0],
    }
    return LaneCounts(**(good | counts))


def judged(*lanes: tuple[tuple[int, ...], LaneCounts], **more: Any) -> Ledger:
    return ledger({("eth1", vlans): counts for vlans, counts in lanes}, **more)


def kinds(found: Ledger) -> list[str]:
    return [finding.kind for finding in found.findings]


def test_a_good_mirror_has_no_finding() -> None:
    """Nothing is found where nothing is wrong."""
    found = judged(((), lane()))

    assert found.findings == []
    assert found.grade == "A"


@pytest.mark.parametrize(
    ("changed", "kind", "rate", "grade"),
    [
        ({"tcp_one_way": 5_000}, "one-way", 1.0, "C"),
        ({"truncated": 9_000}, "truncated", 0.9, "D"),
        ({"mirror_copies": 3_000, "checkable": 13_000}, "copies", 0.3, "B"),
        ({"routed_copies": 1_000}, "routed-copies", 0.1, "A"),
        ({"joined": 500}, "joined", 0.05, "B"),
        ({"mixed_untagged": 300, "mixed_tagged": 700}, "tags-mixed", 0.3, "B"),
        ({"filled": 0, "filled_short": 2_000}, "tags-stripped", 1.0, "B"),
        ({"numbered": [4_750, 0, 0, 0, 0], "missing": [250, 0, 0, 0, 0]}, "loss", 0.05, "B"),
        ({"dropped": 1_000}, "host-drops", 1 / 11, "C"),
        ({"frames": 0, "seconds": 60}, "silent", 1.0, "D"),
        ({"unicast": 0, "flooded": 10_000}, "only-flooded", 1.0, "D"),
    ],
)
def test_each_fault_is_named_with_its_rate(
    changed: dict[str, Any], kind: str, rate: float, grade: str
) -> None:
    """One finding, the share of frames it concerns, and the grade that follows."""
    found = judged(((), lane(**changed)))

    assert kinds(found) == [kind]
    assert found.findings[0].rate == pytest.approx(rate)
    assert found.grade == grade


def test_what_this_machine_lost_is_not_the_mirrors() -> None:
    """Gaps between numbers hold both; the host's share is taken off."""
    lost = {"numbered": [9_000, 0, 0, 0, 0], "missing": [1_000, 0, 0, 0, 0]}
    both = judged(((), lane(**lost, dropped=526)))
    host = judged(((), lane(**lost, dropped=1_111)))

    assert kinds(both) == ["host-drops", "loss"]
    assert both.findings[1].rate == pytest.approx(0.0526, abs=0.001)
    assert kinds(host) == ["host-drops"]


def test_jumbo_frames_are_no_offload() -> None:
    """Where other frames than TCP are long too, the network carries long frames."""
    assert kinds(judged(((), lane(joined=500, jumbo=600)))) == []


def test_a_process_bus_is_no_port_without_mirror() -> None:
    """GOOSE and sampled values are multicast by nature."""
    bus = lane(unicast=0, flooded=150, frames=10_000)

    assert kinds(judged(((), bus))) == []


def test_a_vlan_that_shows_only_broadcasts_is_named() -> None:
    """The other VLANs of the interface are mirrored."""
    found = judged(((10,), lane()), ((20,), lane(unicast=0, flooded=300, frames=300)))

    assert kinds(found) == ["vlan-only-flooded"]
    assert found.findings[0].vlans == (20,)
    assert [(row.vlans, row.grade) for row in found.lanes] == [((10,), "A"), ((20,), "D")]


def test_vlans_that_switches_tell_and_nobody_sees_are_missing() -> None:
    """One alone may be the VLAN of an access port, which shows untagged."""
    told_vlans = [(10, "LLDP"), (20, "LLDP"), (20, "spanning tree"), (30, "LLDP")]
    found = judged(((10,), lane()), expected_vlans=told_vlans)

    assert [(finding.kind, finding.vlans) for finding in found.findings] == [
        ("vlan-missing", (20,)),
        ("vlan-missing", (30,)),
    ]
    assert "LLDP, spanning tree" in told(found.findings[0]).text
    assert kinds(judged(((10,), lane()), expected_vlans=told_vlans[:2])) == []


def test_a_clock_that_was_set_is_named() -> None:
    """It misleads, so the grade is B at best."""
    found = judged(((), lane()), clock_steps=2)

    assert kinds(found) == ["clock-steps"]
    assert found.grade == "B"


def test_few_frames_are_not_judged() -> None:
    """Chance is no finding."""
    found = judged(((), LaneCounts(frames=10, unicast=10, truncated=3)))

    assert found.findings == []
    assert found.grade == UNKNOWN


def test_every_finding_has_words_and_commands_of_six_vendors() -> None:
    """What a switch can mend comes with its commands."""
    words = tables()
    assert len([vendor for vendor in words.vendor if "web page" not in vendor.name]) >= 6
    for kind, template in words.finding.items():
        assert template.step in ("", *STEPS)
        out = told(Finding(kind=kind, interface="eth1", vlans=(10,), rate=0.5, of=1000))
        assert "{" not in out.text
        assert bool(out.commands) == bool(template.step), kind
    mirror = told(Finding(kind="one-way", interface="eth1", rate=1.0, of=1000))
    assert len(mirror.commands) >= 6


def test_grades_follow_the_share_unseen() -> None:
    """A, B, C, D by bounds; the worst counts."""
    assert [letter(share) for share in (0, 0.005, 0.01, 0.05, 0.2, 0.5, 0.6)] == list("AABBCCD")
    assert worst(["A", "C", "-", "B"]) == "C"
    assert worst([]) == UNKNOWN
    assert Unseen(100, 5, 0, 0).grade() == "B"
    assert Unseen(100, 0, 0, 100).grade() == "C"
    assert Unseen(10).grade() == UNKNOWN


def test_counters_are_those_of_the_core() -> None:
    """Names by position on both sides of the border."""
    assert COUNTERS == ("tcp", "goose", "sampled-values", "cip-io", "profinet-rt")
    assert set(COUNTERS) == tables().counter.keys()
