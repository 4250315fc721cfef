"""`interface-down`: a monitored interface has no link."""

import msgspec

from builders import at, batch
from otic.detect.alerts import Alert
from otic.detect.rules import load
from otic.facts import Batch, Blind, Tick
from otic.sensor.analysis import Analysis, Memory
from otic.settings import Settings


def second(number: int, *links: bool, blinds: tuple[Blind, ...] = ()) -> Batch:
    """A second of one interface a link."""
    ticks = [Tick(f"eth{n}", at(number), at(number), up, 0, 0, {}) for n, up in enumerate(links)]
    return msgspec.structs.replace(batch(number), ticks=ticks, blinds=list(blinds))


def fired(*batches: Batch) -> list[Alert]:
    analysis = Analysis(Settings(), load([], {}), Memory())
    found: dict[bytes, Alert] = {}
    for one in batches:
        analysis.apply(one)
        changes = analysis.refresh()
        found |= {alert.id: alert for alert in changes.alerts}
        for gone in changes.gone:
            del found[gone]
    return list(found.values())


def test_fires_when_the_link_goes_and_stays_when_it_is_back() -> None:
    """It names the interface, the time is the last second with a link, and it is one alert."""
    down = [second(0, True, True), second(1, True, False), second(2, True, False)]
    back = second(3, True, True, blinds=(Blind("eth1", at(0), at(3), "link-down"),))

    (told,) = fired(*down)
    assert ("interface-down", "major") == (told.rule, told.severity)
    assert {"interface": "eth1"} == {"interface": told.values["values.interface"]}
    assert (at(0), 1) == (told.first_ns, told.count)
    assert [told] == fired(*down, back)


def test_an_interface_that_never_had_a_link_is_told_too() -> None:
    """A mirror port that was never connected is no silence."""
    (told,) = fired(second(0, False), second(1, False))
    assert "eth0" == told.values["values.interface"]


def test_stays_silent_while_there_is_a_link_and_for_restarts() -> None:
    """A restart of the capture is no lost link."""
    restart = Blind("", at(0), at(5), "restart")
    assert not fired(second(0, True), second(5, True, blinds=(restart,)), second(6, True))
