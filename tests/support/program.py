"""Runs of the `otic` program, as a person would run it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
SHARED = ROOT.parent / "shared"
COMMAND = [sys.executable, "-m", "otic"]

needs_shared = pytest.mark.skipif(
    not (SHARED / "captures").is_dir(), reason="../shared is missing: no sample captures"
)


def run(*arguments: object, check: bool = False) -> subprocess.CompletedProcess[bytes]:
    """Runs `otic` with these arguments."""
    return subprocess.run(
        [*COMMAND, *map(str, arguments)], capture_output=True, check=check, timeout=600
    )


def replay(*files: Path, options: tuple[object, ...] = ()) -> bytes:
    """The bytes of `otic replay --format json`."""
    done = run("replay", *files, "--format", "json", *options)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


def document(*files: Path, options: tuple[object, ...] = ()) -> dict[str, Any]:
    """What `otic replay --format json` says."""
    result: dict[str, Any] = json.loads(replay(*files, options=options))
    return result


def sample(tenth: bool) -> list[Path]:
    """The sample captures, or every tenth of them."""
    captures = sorted(
        path for path in (SHARED / "captures").glob("*") if path.suffix in {".pcap", ".pcapng"}
    )
    return captures[4::10] if tenth else captures
