"""`otic plugin`, and a plug-in at work in `otic replay`."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from otic.cli import protocol
from otic.cli.examples import frames_of, with_definition
from otic.protocols import parse
from otic.sensor.protocols import take
from support.program import run

OWN = protocol.TEMPLATE.format(name="plant-bus", title="Plant bus").replace(
    'claims = { model = "model" }', 'payload = { kind = "plant-card", field = "model" }'
)
CARD = "model = M-9\nserial = 77\nfirmware = "


def said(*arguments: object) -> subprocess.CompletedProcess[str]:
    """A run of the program, its output as text."""
    done = run(*arguments)
    return subprocess.CompletedProcess(
        done.args, done.returncode, done.stdout.decode(), done.stderr.decode()
    )


@pytest.fixture
def capture(tmp_path: Path) -> Iterator[Path]:
    """A capture in which a device answers with a card, and settings with the definition."""
    answer = bytes.fromhex("4f54") + bytes([2 + len(CARD)]) + b"\x07\x81" + CARD.encode()
    text = OWN.replace("4f54 05 07 81 4d2d33", answer.hex())
    own = parse(text, "own.toml")
    with_definition(own)
    path = tmp_path / "own.pcapng"
    frames_of(own, own.examples[0]).write(path)
    (tmp_path / "own.toml").write_text(text)
    yield path
    take()


def test_a_plug_in_reads_what_a_definition_hands_over(tmp_path: Path, capture: Path) -> None:
    made = said("plugin", "new", "plant-card", "--folder", tmp_path)
    assert made.returncode == 0, made.stderr
    folder = tmp_path / "plant-card"
    settings = tmp_path / "otic.toml"
    settings.write_text(f'protocols = ["{tmp_path / "own.toml"}"]\nplugins = ["{folder}"]\n')

    tested = said("plugin", "test", folder, capture, "--config", settings)
    listed = said("plugin", "list", "--config", settings)
    replayed = said("replay", capture, "--format", "json", "--config", settings)

    assert "plant-card of plant-bus" in tested.stdout, tested.stderr
    assert "    model = M-9 (medium)\n    serial = 77 (medium)\n" in tested.stdout
    assert "says something of 1 of 1 payloads" in tested.stdout
    assert "reads plant-card within 500 ms" in listed.stdout
    server = next(
        device
        for device in json.loads(replayed.stdout)["devices"]
        if "192.0.2.2" in json.dumps(device)
    )
    assert (server["model"], server["serial"]) == ("M-9", "77")
    claim = next(claim for claim in server["claims"] if claim["attribute"] == "model")
    assert (claim["protocol"], claim["message"]) == ("plant-bus", "plant-card")
    assert claim["evidence"]["spans"]


def test_a_wrong_plug_in_is_refused_in_one_line(tmp_path: Path, capture: Path) -> None:
    settings = tmp_path / "otic.toml"
    settings.write_text(f'plugins = ["{tmp_path / "none"}"]\n')
    said("plugin", "new", "plant-card", "--folder", tmp_path)

    for done in (
        said("replay", capture, "--config", settings),
        said("plugin", "list", "--config", settings),
        said("plugin", "test", tmp_path, capture),
        said("plugin", "new", "plant-card", "--folder", tmp_path),
        said("plugin", "new", "Plant", "--folder", tmp_path),
    ):
        assert done.returncode == 2
        assert len(done.stderr.strip().splitlines()) == 1
