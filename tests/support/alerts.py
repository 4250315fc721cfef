"""What Otic says of frames: the real core, the whole analysis, every rule on.

`fired` gives the alerts by rule. Without `learn` those are the dangerous ones; with it, the same
hosts' normal traffic is learned first, as `otic check` does, and everything that differs alerts.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from otic.baseline.baseline import Baseline, parse
from otic.detect.engine import Alert
from otic.detect.messages import render
from otic.detect.rules import Compiled, built_in, load
from otic.sensor.analysis import Result
from otic.sensor.pipeline import analyse, open_captures
from otic.settings import Known, RuleSetting, Settings
from support.frames import Host, Timed, write_pcap

NO_SETTINGS = Settings()


@cache
def rules() -> list[Compiled]:
    """Every built-in rule, also those that are off by default."""
    return load((), {rule.id: RuleSetting(enabled=True) for rule in built_in()})


@dataclass(frozen=True)
class Said:
    """An alert, as an analyst sees it."""

    severity: str
    sources: list[str]
    destinations: list[str]
    count: int
    text: str
    cited: list[bytes]
    """The frame bytes that the alert cites, in its order."""


def fired(
    frames: Iterable[Timed],
    *,
    learn: Iterable[Timed] = (),
    settings: Settings = NO_SETTINGS,
    sign: bool = False,
) -> dict[str, Said]:
    """All alerts that these frames raise, by rule; each rule may have one.

    With `sign`, a named person signs off what learning kept back.
    """
    frames, learn = _sorted(frames), _sorted(learn)
    with tempfile.TemporaryDirectory() as folder:
        baseline = None
        if learn:
            baseline = Baseline()
            _run(Path(folder) / "learn.pcap", learn, settings, baseline, 1 << 62)
            text = baseline.text()
            if sign:
                text = text.replace("\npending\t", "\nsigned\tA. Ng\t")
            baseline = parse(text, "learned")
        result = _run(Path(folder) / "seen.pcap", frames, settings, baseline)
    told = [alert for alert in result.alerts if not alert.policy]
    found = {alert.rule: _said(alert, frames) for alert in told}
    assert len(told) == len(found), sorted(alert.rule for alert in told)
    return found


def flagged(host: Host, flag: str) -> Settings:
    """Settings in which a person flagged this host."""
    return Settings(device=[Known(address=host.ip, flags=[flag])])


def _run(
    path: Path,
    frames: Sequence[Timed],
    settings: Settings,
    baseline: Baseline | None = None,
    learned_until_ns: int | None = None,
) -> Result:
    captured = open_captures([write_pcap(path, frames)], settings)
    return analyse(
        captured,
        settings=settings,
        rules=rules(),
        baseline=baseline,
        learned_until_ns=learned_until_ns,
    )


def _sorted(frames: Iterable[Timed]) -> list[Timed]:
    return sorted(frames, key=lambda timed: timed[0])


def _said(alert: Alert, frames: Sequence[Timed]) -> Said:
    cited = [
        frames[number - 1][1][offset : offset + length] for _, number, offset, length in alert.spans
    ]
    assert cited
    assert all(cited)
    text = render(alert.key, alert.values)
    assert "{" not in text
    return Said(alert.severity, alert.sources, alert.destinations, alert.count, text, cited)
