"""Protocols that a file defines: those that come with Otic, and a user's own."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from otic import _core
from otic.cli import protocol
from otic.cli.examples import failures, frames_of, of_example, with_definition
from otic.errors import ProtocolError
from otic.inventory.protocols import is_industrial
from otic.inventory.protocols import protocol as words
from otic.protocols import Definition, built_in, parse, read
from otic.sensor.protocols import define, take
from support.program import run

OWN = protocol.TEMPLATE.format(name="plant-bus", title="Plant bus").replace(
    "identity = 50", 'identity = 50\nserver-type = "PLC"'
)


RULE = """
id = "plant-bus-write"
title = "A Write on the Plant Bus"
engine = "policy"
severity = "major"
category = "Unauthorized Communication Behavior"
attack = []
explanation = "Somebody writes on the plant bus."
false_positives = "None."
remediation = "Ask who it was."
source = "this test"
[proof]
kind = "built from public spec"
source = "this test"
[trigger]
kind = "occurs"
fact = "operation"
where = [["protocol", "==", "plant-bus"], ["name", "==", "write"]]
key = ["client", "server"]
"""


def said(*arguments: object) -> subprocess.CompletedProcess[str]:
    """A run of the program, its output as text."""
    done = run(*arguments)
    return subprocess.CompletedProcess(
        done.args, done.returncode, done.stdout.decode(), done.stderr.decode()
    )


@pytest.fixture(autouse=True)
def built_in_only() -> Iterator[None]:
    """A process has one table of protocols: each test starts and ends with the built-in one."""
    take()
    yield
    take()


@pytest.mark.parametrize("definition", built_in(), ids=lambda one: one.name)
def test_the_examples_of_a_definition_hold(definition: Definition) -> None:
    """Frames made by hand give what the definition says they do, by way of the whole core."""
    assert [] == list(failures(definition))


def test_there_are_twenty_and_each_names_its_source() -> None:
    """The issue asks for twenty; a fact without a source is none."""
    assert len(built_in()) >= 20
    assert all(one.source and one.client and one.server for one in built_in())


def test_an_example_that_does_not_hold_is_shown() -> None:
    """A test that cannot fail proves nothing."""
    wrong = parse(OWN.replace("claim model = M-3", "claim model = M-4"), "own.toml")
    with_definition(wrong)
    (failure,) = failures(wrong)
    assert "example 1 (made by hand) should say" in failure
    assert "claim model = M-4" in failure
    assert "claim model = M-3" in failure


def test_the_template_holds() -> None:
    """What `otic protocol new` makes works as it is."""
    own = parse(OWN, "own.toml")
    with_definition(own)
    assert [] == list(failures(own))
    assert "plant-bus" in {row[0] for row in _core.protocols()}
    assert "Plant bus" == words("plant-bus").title
    assert is_industrial("plant-bus")


@pytest.mark.parametrize(
    ("wrong", "right", "said"),
    [
        ('name = "plant-bus"', 'name = "modbus"', "name: there is another protocol `modbus`"),
        ('name = "plant-bus"', 'name = "stun"', "name: there is another protocol `stun`"),
        ('action = "read"', 'action = "reed"', "tables.functions.2: `reed` is no action"),
        ('server-type = "PLC"', 'server-type = "PCL"', "there is no device type 'PCL'"),
        ('title = "Plant bus"', "", "missing required field `title`"),
        ("[inventory]", "[inventory", "own.toml: "),
    ],
)
def test_a_bad_definition_is_refused_whole(wrong: str, right: str, said: str) -> None:
    """The message names the file and the field; the definitions before hold on."""
    assert wrong in OWN
    with pytest.raises(ProtocolError, match=r"own\.toml") as refused:
        define((*built_in(), parse(OWN.replace(wrong, right, 1), "own.toml")))
    assert said in str(refused.value)
    assert "plant-bus" not in {row[0] for row in _core.protocols()}
    assert "stun" in {row[0] for row in _core.protocols()}


def test_files_and_folders_are_read(tmp_path: Path) -> None:
    """`protocols` of the settings names either."""
    (tmp_path / "a.toml").write_text(OWN)
    assert "plant-bus" in {one.name for one in read([str(tmp_path)])}
    assert "plant-bus" in {one.name for one in read([str(tmp_path / "a.toml")])}
    with pytest.raises(ProtocolError, match="there is no such file or folder"):
        read([str(tmp_path / "b")])


def test_an_own_protocol_is_like_a_built_in_one(tmp_path: Path) -> None:
    """Inventory, operations and an own rule's alert, without anything built."""
    own = parse(OWN, "own.toml")
    with_definition(own)
    capture = tmp_path / "own.pcapng"
    frames_of(own, own.examples[0]).write(capture)
    (tmp_path / "own.toml").write_text(OWN)
    (tmp_path / "rules").mkdir()
    (tmp_path / "rules" / "write.toml").write_text(RULE)
    settings = tmp_path / "otic.toml"
    settings.write_text(
        f'protocols = ["{tmp_path / "own.toml"}"]\nrules = ["{tmp_path / "rules"}"]\n'
    )
    document = json.loads(said("replay", capture, "--format", "json", "--config", settings).stdout)
    server = next(one for one in document["devices"] if "192.0.2.2" in json.dumps(one))
    assert "PLC" == server["type"]
    assert "M-3" == server["model"]
    names = {(one["name"], one["outcome"]) for one in document["operations"]}
    assert {("identify", "ok"), ("write", "error")} <= names
    assert "plant-bus-write" in {one["rule"] for one in document["alerts"]}


def test_messages_over_every_carrier_are_read() -> None:
    """The example's frames are built for the carrier that the definition names."""
    for carriers in ("udp = [62000]", "tcp = []", "ethertype = [0x9999]", "ip = [253]"):
        own = parse(OWN.replace("tcp = [62000]", carriers), "own.toml")
        with_definition(own)
        kinds = {said.kind for said in of_example(own, own.examples[0])}
        assert "operation" in kinds, carriers


def test_the_command_line(tmp_path: Path) -> None:
    """`new`, `test` with and without a capture, `list`, and refusals in one line."""
    made = said("protocol", "new", "plant-bus", "--folder", tmp_path)
    assert 0 == made.returncode, made.stderr
    path = tmp_path / "plant-bus.toml"
    tested = said("protocol", "test", path)
    assert (0, "plant-bus.toml: 1 of 1 examples hold") == (tested.returncode, tested.stdout.strip())
    path.write_text(path.read_text().replace("M-3", "M-4"))
    assert 1 == said("protocol", "test", path).returncode
    again = said("protocol", "new", "plant-bus", "--folder", tmp_path)
    assert (2, "is there already") == (again.returncode, again.stderr.strip()[-16:])
    capture = tmp_path / "own.pcapng"
    own = parse(OWN, "own.toml")
    with_definition(own)
    frames_of(own, own.examples[0]).write(capture)
    shown = said("protocol", "test", path, capture)
    assert "operation identify (1), identify, outcome ok" in shown.stdout
    assert "Plant bus: 4 of 10 frames of own.pcapng" in shown.stdout
    listed = said("protocol", "list").stdout
    assert "stun.toml" in listed
    assert "built in" in listed
    refused = said("protocol", "test", tmp_path / "none.toml")
    assert 2 == refused.returncode
    assert 1 == len(refused.stderr.strip().splitlines())
