"""`otic rules`: the catalogue of detections."""

from __future__ import annotations

from pathlib import Path

from otic.cli import DONE
from otic.detect.rules import built_in
from otic.detect.rules import load as load_rules
from otic.settings import load


def run(config: Path | None) -> int:
    """Prints one line a rule."""
    settings = load(config)
    on = {compiled.rule.id for compiled in load_rules(settings.rules, settings.rule)}
    for rule in built_in():
        state = "on " if rule.id in on else "off"
        print(f"{state}  {rule.engine:11} {rule.severity:8} {rule.id:30} {rule.title}")
    return DONE
