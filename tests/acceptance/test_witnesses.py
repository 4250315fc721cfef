"""Real stacks as witnesses: what a maker did is what Otic says was done.

Each maker of `tests/traffic/makers` runs in an environment of its own (`make witnesses`): a client
talks to a server over the loopback of a network namespace, every frame is recorded, and the maker
says which calls it made.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support.program import ROOT, document
from support.wire import CLIENT, SERVER, Wire

MAKERS = ROOT / "tests" / "traffic" / "makers"
PYTHON = ROOT / ".venv" / "witnesses" / "bin" / "python"
NAMES = sorted(path.stem for path in MAKERS.glob("*_*.py"))


@pytest.fixture(scope="module")
def wire() -> Iterator[Wire]:
    if not PYTHON.exists():
        pytest.skip("the makers are not installed: make witnesses")
    made = Wire()
    yield made
    made.close()


@pytest.mark.parametrize("name", NAMES)
def test_every_call_is_found(name: str, wire: Wire, tmp_path: Path) -> None:
    """Each call with its object and outcome as often as it was made, each value, each claim.

    Nothing more of the same names, nothing that no protocol knows, no broken rule.
    """
    capture = tmp_path / f"{name}.pcap"
    done = wire.record([str(PYTHON), str(MAKERS / f"{name}.py")], capture)
    assert done.returncode == 0, done.stderr
    told: dict[str, list[list[str | None]]] = json.loads(done.stdout.splitlines()[-1])
    found = document(capture)

    calls = Counter(map(tuple, told["calls"]))
    names = {call[:2] for call in calls}
    seen: Counter[tuple[Any, ...]] = Counter()
    for row in between(found["operations"]):
        call = row["protocol"], row["name"], row["object"], row["outcome"]
        if row["count"] and call[:2] in names and not is_echo(row):
            seen[call] += row["count"]
    assert seen == calls

    written = {(row["object"], row["new"]) for row in found["changes"]}
    assert set(map(tuple, told["changes"])) <= written
    claims = {
        (claim["attribute"], claim["value"])
        for host in found["devices"]
        for claim in host["claims"]
    }
    assert set(map(tuple, told["claims"])) <= claims
    users = {(row["kind"], row["values"].get("user")) for row in found["events"]}
    assert set(map(tuple, told["events"])) <= users
    assert {row["rule"] for row in found["violations"]} == {rule for (rule,) in told["violations"]}
    assert "unknown" not in {row["protocol"] for row in between(found["connections"])}
    assert b"secret" not in json.dumps(found).encode()


def between(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What client and server said to each other; a stack's own loopback pipes are not theirs."""
    return [row for row in rows if {row["client"], row["server"]} == {CLIENT, SERVER}]


def is_echo(row: dict[str, Any]) -> bool:
    """IEC 104 confirms a command by sending it back; tshark counts that as a message too."""
    return row["protocol"] == "iec-104" and row["client"] == SERVER
