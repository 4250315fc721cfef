"""Rules are data that is checked before it is believed."""

import re
from pathlib import Path

import msgspec
import pytest

from otic.detect.messages import render, templates
from otic.detect.rules import EVALUATED, Rule, built_in, compile_rule, load, parse_rule
from otic.errors import RuleError
from otic.settings import RuleSetting

TEXT = """
id = "made-up"
title = "Made up"
engine = "policy"
severity = "major"
category = "Discovery"
attack = ["T0846"]
explanation = "x"
false_positives = "x"
remediation = "x"
source = "x"
[proof]
kind = "captured"
source = "made.pcap"
[trigger]
kind = "occurs"
fact = "operation"
where = [["action", "==", "stop"]]
"""


def rule(text: str = TEXT) -> Rule:
    return parse_rule(text.encode(), "made.toml")


def test_every_rule_has_a_text_and_its_places_are_values() -> None:
    """Each built-in rule has a template, and a template asks only for what the rule shows."""
    for one in built_in():
        compile_rule(one)
        places = set(re.findall(r"\{([a-z_.]+)\}", templates()[one.message or one.id]))
        shown = {"client", "server", "address", "child", "source", "count", "threshold", "within_s"}

        assert places <= shown | {*one.show, "old", "new", "targets"}, one.id


def test_every_built_in_rule_is_evaluated_and_explained() -> None:
    """No built-in rule waits for a trigger that does not exist, and all have their words."""
    for one in built_in():
        assert one.trigger.kind in EVALUATED, one.id
        assert one.explanation
        assert one.false_positives
        assert one.remediation


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (('"made.pcap"', '""'), "without proof"),
        (('"T0846"', '"T9999"'), "no active technique"),
        (('"T0846"', '"T0808"'), "no active technique"),
        (('"action"', '"colour"'), "no field 'colour'"),
        (('"=="', '"~="'), "takes"),
        (('"action", "==", "stop"', '"code", "==", "stop"'), "is no number"),
        (('"occurs"', '"threshold"'), "needs within_s"),
        (('"operation"', '"packet"'), "no fact is called"),
        (('"==", "stop"', '"matches", "(a+)+"'), "repeat inside a repeat"),
        (('"==", "stop"', '"matches", "(a)\\\\1"'), "back references"),
        (('"==", "stop"', '"matches", "a*b*c*"'), "open repeats"),
        (('id = "made-up"', 'id = "Made Up"'), "lower-case"),
        (('"Discovery"', '"Discoveries"'), "no category is called"),
        (('"occurs"', '"new"'), "new needs key"),
        (('"occurs"', '"occurs"\nsignature = "x"'), "takes no signature"),
        (('"occurs"', '"occurs"\nalong = [["action", "==", "start"]]'), "needs within_s"),
        (('"operation"', '"endpoint"\nwithin_s = 9\nalong = [["child", "==", ""]]'), "along looks"),
    ],
)
def test_a_rule_that_is_not_valid_is_refused_with_its_reason(
    change: tuple[str, str], says: str
) -> None:
    """Proof, techniques, fields, operators, values and patterns are all checked."""
    assert change[0] in TEXT
    with pytest.raises(RuleError, match=re.escape(says)):
        compile_rule(rule(TEXT.replace(*change, 1)))


def test_a_key_that_other_protocols_would_satisfy_is_refused() -> None:
    """What was learned of Modbus must not make a rule about SSH silent."""
    text = TEXT.replace('"occurs"', '"new"').replace('"operation"', '"connection"')
    text = text.replace('"action", "==", "stop"', '"connection_protocol", "==", "ssh"')

    with pytest.raises(RuleError, match="key needs connection_protocol"):
        compile_rule(rule(text + 'key = ["space", "client", "server"]'))
    compile_rule(rule(text + 'key = ["space", "client", "server", "connection_protocol"]'))


def test_unknown_keys_are_refused() -> None:
    """A misspelt key is an error, not a rule that never fires."""
    with pytest.raises(RuleError, match=r"made\.toml"):
        rule(TEXT.replace("category", "categry"))


@pytest.mark.parametrize(
    ("kind", "more"),
    [("silent", "within_s = 60"), ("period", "within_s = 60"), ("signature", 'signature = "x"')],
)
def test_a_trigger_that_nothing_evaluates_is_refused(tmp_path: Path, kind: str, more: str) -> None:
    """A rule that would never fire is refused in one line, with its file and its trigger."""
    (tmp_path / "quiet-line.toml").write_text(TEXT.replace('"occurs"', f'"{kind}"') + more)

    with pytest.raises(RuleError) as refused:
        load([str(tmp_path)])

    assert str(refused.value).startswith(f"quiet-line.toml: the trigger '{kind}' is not evaluated")
    assert "\n" not in str(refused.value)


def test_settings_change_rules() -> None:
    """otic.toml turns rules off, and changes severities and thresholds."""
    changed = {
        "port-scan": RuleSetting(count=5, severity="minor"),
        "new-device": RuleSetting(enabled=False),
    }
    rules = {compiled.rule.id: compiled.rule for compiled in load((), changed)}

    assert (5, "minor") == (rules["port-scan"].trigger.count, rules["port-scan"].severity)
    assert "new-device" not in rules
    with pytest.raises(RuleError, match="does not exist"):
        load((), {"no-such-rule": RuleSetting()})


def test_rules_of_users_join_the_built_in_ones(tmp_path: Path) -> None:
    """A folder of rules is loaded beside the built-in ones; an id stands once."""
    (tmp_path / "made.toml").write_text(TEXT)

    assert "made-up" in {compiled.rule.id for compiled in load([str(tmp_path)])}
    (tmp_path / "again.toml").write_text(TEXT)
    with pytest.raises(RuleError, match="twice"):
        load([str(tmp_path)])


def test_a_rule_yields_only_to_rules_that_exist(tmp_path: Path) -> None:
    """A misspelt name in `yields_to` is an error; a rule that is off stays a valid name."""
    text = TEXT.replace('source = "x"\n[proof]', 'source = "x"\nyields_to = ["s7-stap"]\n[proof]')
    (tmp_path / "made.toml").write_text(text)

    with pytest.raises(RuleError, match="made-up yields to s7-stap, which does not exist"):
        load([str(tmp_path)])
    (tmp_path / "made.toml").write_text(text.replace("s7-stap", "s7-stop"))
    load([str(tmp_path)], {"s7-stop": RuleSetting(enabled=False)})


def test_rules_never_yield_in_a_ring(tmp_path: Path) -> None:
    """Two rules that leave it to each other would both be silent."""
    for id_, other in (("one", "two"), ("two", "one")):
        text = TEXT.replace("made-up", id_)
        text = text.replace("[proof]", f'yields_to = ["{other}"]\n[proof]')
        (tmp_path / f"{id_}.toml").write_text(text)

    with pytest.raises(RuleError, match="rule one yields to itself"):
        load([str(tmp_path)])


def test_values_never_act_as_templates() -> None:
    """What stood on the wire is put into a text as it is."""
    assert "{server}" in render("s7-stop", {"client": "{server}", "server": "x", "name": "y"})


def test_conditions_compare_as_they_say() -> None:
    """Each operator holds for what fits and not for what does not."""
    cases = [
        ("operation", ["code", "in range", [1, 4]], {"code": 3}, {"code": 5}),
        (
            "operation",
            ["client", "cidr", "10.0.0.0/8"],
            {"client": "10.1.1.1"},
            {"client": "11.0.0.1"},
        ),
        (
            "operation",
            ["client", "same as", "server"],
            {"client": "a", "server": "a"},
            {"client": "a", "server": "b"},
        ),
        (
            "operation",
            ["name", "matches", "read-.*"],
            {"name": "read-coils"},
            {"name": "xread-coils"},
        ),
        (
            "operation",
            ["client_flags", "lacks", "scanner"],
            {"client_flags": ()},
            {"client_flags": ("scanner",)},
        ),
        ("operation", ["port", "not in", [502]], {"port": None}, {"port": 502}),
        ("operation", ["code", ">=", 5], {"code": 5}, {"code": None}),
    ]
    for kind, condition, fits, fails in cases:
        where = msgspec.structs.replace(rule().trigger, fact=kind, where=[condition])
        compiled = compile_rule(msgspec.structs.replace(rule(), trigger=where))

        assert compiled.fits(fits), condition
        assert not compiled.fits(fails), condition
