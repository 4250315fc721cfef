"""`stage-silent`: a stage of the sensor does not show the canary."""

import time

from builders import at
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


def test_fires_when_a_stage_is_silent_and_stays_when_it_is_heard_again() -> None:
    """It names stage and process, its time is when the canary went missing, and it is one alert."""
    analysis = Analysis(Settings(), load([], {}), Memory())
    silences = Silences({})
    found = []
    for status in (said(SILENT), said(SILENT), said(HEARD)):
        for decision in silences.news(status):
            silences.apply(decision)
        analysis.own = silences.events()
        found.append(analysis.refresh())

    (told,) = found[0].alerts
    assert ("stage-silent", "major", at(3)) == (told.rule, told.severity, told.first_ns)
    assert {"values.stage": "web", "values.process": "web"}.items() <= told.values.items()
    assert all(not changes.alerts and not changes.gone for changes in found[1:])


def test_fires_again_for_the_next_silence_and_knows_them_after_a_restart() -> None:
    """What is in the marks gives the same events again."""
    marks: dict[str, str] = {}
    silences = Silences(marks)
    later = StageStatus(name="web", process="web", silent_since=at(9))
    for status in (said(SILENT), said(HEARD), said(later)):
        for decision in silences.news(status):
            silences.apply(decision)

    assert [at(3), at(9)] == [event.ts_ns for event in silences.events()]
    assert silences.events() == Silences(marks).events()
    assert not Silences(marks).news(said(later))


def test_stays_silent_while_all_stages_work_and_when_nobody_watches() -> None:
    """Old words of a supervisor that does not run any more say nothing."""
    silences = Silences({})
    old = said(SILENT)
    old.written -= 60_000_000_000

    assert not silences.news(said(HEARD))
    assert not silences.news(old)
    assert not silences.news(None)
