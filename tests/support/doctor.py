"""A sensor on the cable, and what the doctor says of it."""

from __future__ import annotations

import json
import subprocess
from typing import Any

from support.cable import MONITOR
from support.program import COMMAND

FRAME = bytes.fromhex("ffffffffffff28633600000108060001080006040001286336000001") + bytes(32)

SETTINGS = f"""
[[interface]]
name = "{MONITOR}"

[ring]
bytes = 50_000_000

[console]
port = 0
tls = false
"""


def doctor(within: list[str], *arguments: object) -> tuple[int, dict[str, Any]]:
    """Exit code and document of `otic doctor`."""
    command = [*within, *COMMAND, "doctor", *map(str, arguments), "--format", "json"]
    done = subprocess.run(command, capture_output=True, check=False, timeout=120)
    assert done.returncode in (0, 1), done.stderr.decode()
    document: dict[str, Any] = json.loads(done.stdout)
    return done.returncode, document
