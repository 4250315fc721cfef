"""`otic check`: captures against a saved baseline."""

from __future__ import annotations

import sys
from pathlib import Path

import msgspec

from otic.baseline.baseline import load as load_baseline
from otic.cli import DEVIATIONS, DONE
from otic.cli.replay import progress_bar
from otic.detect.messages import render
from otic.detect.rules import load as load_rules
from otic.errors import CaptureError
from otic.sensor.document import Document
from otic.sensor.pipeline import analyse, open_captures
from otic.sensor.spaces import expand_spaces
from otic.settings import load, with_space_by


def run(
    baseline: Path,
    files: list[Path],
    *,
    as_json: bool,
    threads: int,
    config: Path | None,
    space_by: list[str],
    quiet: bool,
) -> int:
    """Prints the deviations; exit code 1 when there are any."""
    if not files:
        raise CaptureError("no capture given: otic check BASELINE FILE...")
    settings = expand_spaces(with_space_by(load(config), space_by), files, threads)
    known = load_baseline(baseline)
    rules = load_rules(settings.rules, settings.rule)
    with progress_bar(quiet) as progress:
        result = analyse(
            open_captures(files, settings, threads),
            settings=settings,
            rules=rules,
            baseline=known,
            progress=progress,
        )
    alerts = Document(
        result.state, result.inventory, result.captures, result.alerts, result.notices
    ).alerts(policy=False)
    if as_json:
        encoded = msgspec.json.Encoder(order="deterministic").encode({"deviations": alerts})
        sys.stdout.buffer.write(encoded + b"\n")
    else:
        for alert in alerts:
            text = render(alert["message"]["key"], alert["message"]["values"])
            print(f"{alert['first_seen']} {alert['severity']}: {alert['title']}: {text}")
        print(f"{len(alerts)} deviations from {baseline.name}")
    return DEVIATIONS if alerts else DONE
