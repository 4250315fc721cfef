"""Every shipped detection proves itself, and what it says of itself is true."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from otic import _core
from otic.detect.messages import templates
from otic.detect.rules import CATEGORIES, Rule, built_in, techniques
from otic.inventory.protocols import carriers

HERE = Path(__file__).parent
ENGINES = ("policy", "protocol", "malware", "anomaly", "operational")
RULES = built_in()
IDS = [rule.id for rule in RULES]

FAULTS = {
    "dnp3-buffer-overflow",
    "dnp3-config-corrupt",
    "dnp3-reserved-flags",
    "dnp3-trouble",
    "goose-needs-commissioning",
    "mms-device-state",
    "modbus-device-failure",
}
"""Rules that tell of something broken, which is nobody's technique."""


def module(rule: Rule) -> Path:
    """The tests of a rule."""
    return HERE / rule.engine / f"test_{rule.id.replace('-', '_')}.py"


@pytest.mark.parametrize("rule", RULES, ids=IDS)
def test_each_rule_fires_and_stays_silent_in_a_module_of_its_own(rule: Rule) -> None:
    """A case that fires, a near miss that does not, both from frames, both about this rule."""
    source = module(rule).read_text(encoding="utf-8")
    tests = [node for node in ast.parse(source).body if isinstance(node, ast.FunctionDef)]
    names = [test.name for test in tests]

    assert any(name.startswith("test_fires") for name in names), names
    assert any(name.startswith("test_stays_silent") for name in names), names
    assert f"`{rule.id}`" in source.split('"""')[1]
    for test in tests:
        if test.name.startswith("test_"):
            assert "fired(" in ast.unparse(test), test.name
    fires = [ast.unparse(test) for test in tests if test.name.startswith("test_fires")]
    assert all(f"'{rule.id}'" in text for text in fires)


def test_each_module_has_its_rule() -> None:
    """No test is left of a rule that is gone, and no rule lies in another engine's folder."""
    modules = {path for engine in ENGINES for path in (HERE / engine).glob("test_*.py")}

    assert {module(rule) for rule in RULES} == modules


def test_each_rule_has_its_text_and_each_text_its_rule() -> None:
    """No text is left of a rule that is gone."""
    assert {rule.message or rule.id for rule in RULES} == templates().keys() - {"any"}


@pytest.mark.parametrize("rule", RULES, ids=IDS)
def test_what_a_rule_says_of_itself_is_known(rule: Rule) -> None:
    """Category, severity, techniques, and where the proof comes from."""
    assert rule.category in CATEGORIES
    assert rule.severity in ("critical", "major", "minor", "warning")
    assert {*rule.attack} <= techniques().keys()
    assert len({*rule.attack}) == len(rule.attack)
    assert len(rule.proof.source) > 15
    if rule.proof.kind == "captured":
        assert "capture" in rule.proof.source


def test_techniques_are_those_of_the_act() -> None:
    """No deprecated technique; a stop is no download; a fault is nobody's technique."""
    attack = {rule.id: {*rule.attack} for rule in RULES}

    assert not {"T0818", "T0841"} & techniques().keys()
    for stop in ("controller-stop", "s7-stop", "controller-reset"):
        assert attack[stop] & {"T0858", "T0816"}
        assert "T0843" not in attack[stop]
    assert not any(attack[fault] for fault in FAULTS)


@pytest.mark.parametrize("rule", RULES, ids=IDS)
def test_no_rule_waits_for_a_protocol_that_nobody_reads(rule: Rule) -> None:
    """Protocols that a rule asks for are in the core's registry, or inside one that is."""
    read = {row[0] for row in _core.protocols()}
    trigger = rule.trigger
    for field, operator, value in [*trigger.where, *trigger.first, *trigger.along]:
        if field == "connection_protocol" and operator in ("==", "in"):
            for name in [value] if isinstance(value, str) else value:
                assert name in read or {*carriers(name)} & read, name


def test_titles_and_ids_stand_once() -> None:
    """Two rules of one name could not be told apart in a list."""
    titles = [rule.title for rule in RULES]

    assert sorted({*titles}) == sorted(titles)
    assert all(re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", id_) for id_ in IDS)
