"""Functions are found by structure: with ports moved, and in sessions joined in the middle."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from support.altered import empty, second_half, truths, with_ports_moved
from support.program import SHARED, needs_shared

TENTH = not os.environ.get("OTIC_FULL")

NOTHING_PROVES = 0.002
"""Share of functions that may be missing where ports are moved: flows that hold nothing but a
request or two that break the standard and are never answered. On the usual port they are believed.
"""


def compared(folder: Path, told: list[dict[str, Any]]) -> tuple[int, int, list[str]]:
    """Functions found, functions there, and each miss."""
    truth = folder / "truth"
    truth.mkdir()
    for row in told:
        (truth / f"{row['capture']}.json").write_text(json.dumps(row), encoding="utf-8")
    misses = folder / "misses"
    command = [sys.executable, SHARED / "tools" / "score.py", truth, folder, "--json"]
    command += ["--misses", misses, "--run", f"{sys.executable} -m otic replay {{}} --format json"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    result = json.loads(done.stdout)
    assert result["failed"] == []
    hit, of = result["totals"]["function"]
    lines = misses.read_text(encoding="utf-8").splitlines()
    return hit, of, [line for line in lines if line.split("\t")[1] == "function"]


@needs_shared
def test_moved_ports(tmp_path: Path) -> None:
    told = []
    for truth in truths(TENTH):
        path = with_ports_moved(SHARED / "captures" / truth["capture"], tmp_path)
        if path is not None:
            told.append(empty(truth, path))

    hit, of, misses = compared(tmp_path, told)

    print(f"ports moved: {hit} of {of} functions in {len(told)} captures", *misses, sep="\n")
    assert of > 100
    assert hit >= of * (1 - NOTHING_PROVES), misses


@needs_shared
def test_sessions_joined_in_the_middle(tmp_path: Path) -> None:
    told = []
    for truth in truths(TENTH):
        path, left = second_half(truth, tmp_path)
        if left["functions"] and path.exists():
            told.append(left)

    hit, of, misses = compared(tmp_path, told)

    print(f"second halves: {hit} of {of} functions in {len(told)} captures", *misses, sep="\n")
    assert of > 50
    assert hit >= of * 0.99, misses
