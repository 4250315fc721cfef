"""`stage-silent`: a stage of the sensor does not show the canary."""

import time

from builders import at
from otic.detect.alerts import Alert
from otic.detect.rules import load
from otic.sensor.analysis import Analysis, Memory
from otic.sensor.silences import Silences
from otic.settings import Settings
from otic.status import StageStatus, Status


def said(*stages: StageStatus) -> Status:
    """What the supervisor says now."""
    return Status(
        written=time.time_ns(),
        started=0,
        processes=[],
        disk_bytes=0,
        disk_free=0,
        stages=list(stages),
    )


SILENT = StageStatus(name="web", process="web", silent_since=at(3))
HEARD = StageStatus(name="web", process="web")


def fired(*told: Status | None) -> list[Alert]:
    """The alerts after the supervisor said this, one after the other, with a restart in between."""
    analysis = Analysis(Settings(), load([], {}), Memory())
    marks: dict[str, str] = {}
    found: dict[bytes, Alert] = {}
    for status in told:
        silences = Silences(marks)
        for decision in silences.news(status):
            silences.apply(decision)
        analysis.own = silences.events()
        changes = analysis.refresh()
        found |= {alert.id: alert for alert in changes.alerts}
        for gone in changes.gone:
            del found[gone]
    return list(found.values())


def test_fires_when_a_stage_is_silent_and_stays_when_it_is_heard_again() -> None:
    """It names stage and process, its time is when the canary went missing, and it is one alert."""
    (told,) = fired(said(SILENT))
    assert ("stage-silent", "major", at(3), 1) == (
        told.rule,
        told.severity,
        told.first_ns,
        told.count,
    )
    assert {"values.stage": "web", "values.process": "web"}.items() <= told.values.items()
    assert [told] == fired(said(SILENT), said(SILENT), said(HEARD))


def test_fires_again_for_the_next_silence() -> None:
    """The same stage's alert counts on; another stage has one of its own."""
    later = StageStatus(name="web", process="web", silent_since=at(9))
    (told,) = fired(said(SILENT), said(HEARD), said(later))
    assert ("stage-silent", at(3), at(9), 2) == (
        told.rule,
        told.first_ns,
        told.last_ns,
        told.count,
    )
    store = StageStatus(name="store", process="analysis", silent_since=at(3))
    assert 2 == len(fired(said(SILENT, store)))


def test_stays_silent_while_all_stages_work_and_when_nobody_watches() -> None:
    """Old words of a supervisor that does not run any more say nothing."""
    old = said(SILENT)
    old.written -= 60_000_000_000
    assert not fired(said(HEARD))
    assert not fired(old)
    assert not fired(None)
