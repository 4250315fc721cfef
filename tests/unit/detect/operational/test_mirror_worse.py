"""`mirror-worse`: the mirror shows less than when it was commissioned."""

from typing import Any

from builders import at
from otic.detect.alerts import Alert
from otic.detect.rules import load
from otic.facts import SCHEMA, Batch, Lane, Tick
from otic.sensor.analysis import Analysis, Memory
from otic.sensor.commissioning import commission
from otic.sensor.mirror_watch import MirrorWatch
from otic.settings import Settings

WINDOW = 100
"""Seconds after which a window of five minutes starts; minutes count where they end."""

QUARTER = 15
GOOD = [0] * 19
"""Minutes, up to the end of a window."""


def minute(number: int, missing: int, frames: int = 1000) -> Batch:
    """A minute of so many frames on one interface, TCP segments, so many more missing."""
    counts: dict[str, Any] = dict.fromkeys(Lane.__struct_fields__, 0)
    counts |= {"interface": "eth1", "vlans": [], "frames": frames, "unicast": frames}
    counts |= {"numbered": [frames, 0, 0, 0, 0], "missing": [missing, 0, 0, 0, 0]}
    start, end = at(WINDOW + 60 * number), at(WINDOW + 60 * number + 60)
    ticks = [Tick("eth1", second, second, True, 0, 0, {}) for second in range(start, end, 10**9)]
    lanes = [Lane(**counts)] if frames else []
    return Batch(SCHEMA, number, start, end, ticks=ticks, lanes=lanes)


def fired(*missing: int, frames: int = 1000) -> list[Alert]:
    """The alerts after minutes in which so many frames were missing, with a restart in each."""
    analysis = Analysis(Settings(), load([], {}), Memory())
    marks: dict[str, str] = {}
    found: dict[bytes, Alert] = {}
    for number, lost in enumerate(missing):
        watch = MirrorWatch(marks)
        before_ns = analysis.state.clock_ns
        analysis.apply(minute(number, lost, frames if number >= len(GOOD) else 1000))
        commission(analysis.state, marks)
        for decision in watch.news(analysis.state, before_ns):
            watch.apply(decision)
        analysis.own = watch.events()
        changes = analysis.refresh()
        found |= {alert.id: alert for alert in changes.alerts}
    return [alert for alert in found.values() if alert.rule == "mirror-worse"]


def test_fires_when_frames_are_missing_that_were_there_before() -> None:
    """It says both grades and what hides frames; the alert stays when the mirror is mended."""
    (told,) = fired(*GOOD, *[100] * QUARTER, *[0] * QUARTER)
    assert ("mirror-worse", "major", 1) == (told.rule, told.severity, told.count)
    assert told.first_ns == at(WINDOW + 60 * (len(GOOD) + 11))
    assert ("A", "C") == (told.values["values.before"], told.values["values.grade"])
    assert "eth1" in told.values["values.findings"]


def test_fires_again_when_it_falls_again_or_further() -> None:
    """One alert counts the falls."""
    (again,) = fired(*GOOD, *[100] * QUARTER, *[0] * QUARTER, *[100] * QUARTER)
    (further,) = fired(*GOOD, *[20] * QUARTER, *[3000] * QUARTER)
    assert ("mirror-worse", 2, 2) == (again.rule, again.count, further.count)


def test_fires_when_the_port_falls_silent() -> None:
    """A link without frames shows nothing."""
    (told,) = fired(*GOOD, *GOOD, *GOOD, frames=0)
    assert ("mirror-worse", "D") == (told.rule, told.values["values.grade"])


def test_stays_silent_while_the_mirror_is_as_good_or_better() -> None:
    """What was missing from the first is the report's, and no news."""
    assert not fired(*GOOD, *GOOD, *GOOD)
    assert not fired(*[100] * QUARTER, *[100] * QUARTER, *GOOD)
    assert not fired(*GOOD, *[100] * 5, *GOOD)
