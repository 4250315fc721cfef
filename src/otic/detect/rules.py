"""Detection rules: one TOML file each, built-in and users' ones alike."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal

import msgspec

from otic import data
from otic.detect.conditions import SCHEMA, Fields, Test, compile_condition, type_of
from otic.errors import RuleError
from otic.settings import RuleSetting

Engine = Literal["policy", "protocol", "malware", "anomaly", "operational"]
Severity = Literal["critical", "major", "minor", "warning"]
TriggerKind = Literal[
    "new", "changed", "occurs", "threshold", "silent", "period", "sequence", "signature"
]
EVALUATED = ("new", "changed", "occurs", "threshold", "sequence")
"""Triggers that are evaluated. A rule with another one is refused: it would never fire."""

CATEGORIES = (
    "Abnormal Communication Behavior",
    "Abnormal HTTP Communication Behavior",
    "Authentication",
    "Backup",
    "Bandwidth Anomalies",
    "Buffer Overflow",
    "Command Failures",
    "Configuration Changes",
    "Custom Alerts",
    "Discovery",
    "Firmware Change",
    "Illegal Commands",
    "Internet Access",
    "Operation Failures",
    "Operational Issues",
    "Programming",
    "Remote Access",
    "Restart/Stop Commands",
    "Scan",
    "Sensor Traffic",
    "Suspicion of Malicious Activity",
    "Suspicion of Malware",
    "Unauthorized Communication Behavior",
    "Unresponsive",
)
"""What alerts are sorted by where they are read."""

MEASURES = {
    "event": ("count",),
    "violation": ("count",),
    "attempts": ("addresses", "ports", "industrial_targets", "attempts"),
}


class Proof(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How the rule is known to work, and where the fact it rests on is written down."""

    kind: Literal["captured", "real stack", "built from public spec"]
    source: str


class Trigger(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """When the rule fires: on a kind of fact that passes all of `where` and one of `any_of`.

    * `new`: no learned fact has the same values in the fields of `key`.
    * `changed`: a claim of the same endpoint, attribute and message told another value before.
    * `occurs`: whenever there is such a fact.
    * `threshold`: `measure` reaches `count` within `within_s`, for the same values of `key`.
    * `sequence`: a fact of `first`, then one of this, within `within_s`, for the same `key`.
    * `silent`, `period`, `signature`: refused until something evaluates them.

    `along` is what the same two begin to do as part of the same work, from `within_s` before to
    `within_s` after: it is shown in the alert, and never makes the rule fire.
    """

    kind: TriggerKind
    fact: str
    where: list[list[Any]] = []
    any_of: list[list[list[Any]]] = []
    key: list[str] = []
    measure: str = "count"
    count: int = 0
    within_s: int = 0
    subnet_prefix: int = 0
    first: list[list[Any]] = []
    along: list[list[Any]] = []
    signature: str = ""


class Rule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One detection, as its file says it.

    `yields_to` names rules that say more: what their alerts tell of (`otic.detect.once`), this rule
    does not tell again.
    """

    id: str
    title: str
    engine: Engine
    severity: Severity
    category: str
    attack: list[str]
    proof: Proof
    explanation: str
    false_positives: str
    remediation: str
    source: str
    trigger: Trigger
    message: str = ""
    default: bool = True
    learnable: bool = True
    guarded: bool = False
    show: list[str] = []
    group_by: list[str] = []
    yields_to: list[str] = []


class Compiled(msgspec.Struct, frozen=True):
    """A rule with its conditions as tests."""

    rule: Rule
    where: tuple[Test, ...]
    any_of: tuple[tuple[Test, ...], ...]
    first: tuple[Test, ...]
    along: tuple[Test, ...]

    def fits(self, fields: Fields) -> bool:
        """Whether a fact with these fields is one the rule looks for."""
        return all(test(fields) for test in self.where) and (
            not self.any_of or any(all(test(fields) for test in group) for group in self.any_of)
        )

    def starts(self, fields: Fields) -> bool:
        """Whether a fact with these fields is the first part of the rule's sequence."""
        return all(test(fields) for test in self.first)

    def goes_along(self, fields: Fields) -> bool:
        """Whether a fact with these fields is part of the same work."""
        return all(test(fields) for test in self.along)


@cache
def techniques() -> dict[str, str]:
    """Active ATT&CK for ICS techniques: id to name."""
    return data.mapping("attack.tsv")


def compile_rule(rule: Rule) -> Compiled:
    """Checks a rule against the facts and makes its conditions tests.

    Raises:
        RuleError: something in it is not valid; the message names the rule.
    """
    try:
        return _compile(rule)
    except RuleError as error:
        raise RuleError(f"rule {rule.id}: {error}") from None


def _compile(rule: Rule) -> Compiled:
    if not re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", rule.id):
        raise RuleError("an id is lower-case words joined by hyphens")
    if not rule.proof.source:
        raise RuleError("a rule without proof is not shipped: proof.source is empty")
    if rule.category not in CATEGORIES:
        known = ", ".join(CATEGORIES)
        raise RuleError(f"no category is called {rule.category!r}; there are {known}")
    unknown = [technique for technique in rule.attack if technique not in techniques()]
    if unknown:
        raise RuleError(f"ATT&CK for ICS has no active technique {', '.join(unknown)}")
    trigger = rule.trigger
    if trigger.fact not in SCHEMA:
        raise RuleError(f"no fact is called {trigger.fact!r}; there are {', '.join(SCHEMA)}")
    for field in (*trigger.key, *rule.group_by):
        type_of(trigger.fact, field)
    for field in rule.show:
        if field not in ("old", "new", "subnet"):
            type_of(trigger.fact, field)
    if trigger.kind in ("threshold", "sequence") and trigger.within_s <= 0:
        raise RuleError(f"{trigger.kind} needs within_s")
    if trigger.along and (trigger.kind not in ("occurs", "sequence") or trigger.within_s <= 0):
        raise RuleError("along goes with occurs or sequence, and needs within_s")
    if trigger.along and trigger.fact not in ("operation", "violation", "change"):
        raise RuleError("along looks at what happens on connections")
    if trigger.kind == "threshold":
        measures = MEASURES.get(trigger.fact, ())
        if trigger.measure not in measures:
            raise RuleError(f"a threshold on {trigger.fact} measures {', '.join(measures) or '-'}")
        if trigger.count < 1:
            raise RuleError("threshold needs count")
    if trigger.kind == "new":
        _check_key(trigger)
    if trigger.kind == "changed" and trigger.fact != "claim":
        raise RuleError("changed looks at claims")
    if trigger.kind == "sequence" and not trigger.first:
        raise RuleError("sequence needs first")
    if trigger.signature:
        raise RuleError(f"{trigger.kind} takes no signature")
    return Compiled(
        rule,
        tuple(compile_condition(trigger.fact, condition) for condition in trigger.where),
        tuple(
            tuple(compile_condition(trigger.fact, condition) for condition in group)
            for group in trigger.any_of
        ),
        tuple(compile_condition(trigger.fact, condition) for condition in trigger.first),
        tuple(compile_condition(trigger.fact, condition) for condition in trigger.along),
    )


def _check_key(trigger: Trigger) -> None:
    """Refuses a key that what was learned of other protocols would satisfy: the rule would be
    silent about pairs that talk in another way already.
    """
    if not trigger.key:
        raise RuleError("new needs key")
    asked = {str(condition[0]) for condition in trigger.where}
    protocols = {"connection_protocol", "protocol"}
    if "connection_protocol" in asked and not protocols & {*trigger.key}:
        raise RuleError("new asks for a protocol: key needs connection_protocol or protocol")


def parse_rule(text: bytes, name: str) -> Rule:
    """The rule in this TOML text.

    Raises:
        RuleError: it is no rule, or its trigger is not evaluated yet; the message names the file.
    """
    try:
        rule = msgspec.toml.decode(text, type=Rule)
    except msgspec.MsgspecError as error:
        raise RuleError(f"{name}: {error}") from None
    if rule.trigger.kind not in EVALUATED:
        raise RuleError(
            f"{name}: the trigger {rule.trigger.kind!r} is not evaluated yet;"
            f" there are {', '.join(EVALUATED)}"
        )
    return rule


def built_in() -> list[Rule]:
    """The rules that come with Otic, sorted by id."""
    rules = []
    for folder in (files("otic") / "rules").iterdir():
        if folder.is_dir():
            rules += [
                parse_rule(file.read_bytes(), file.name)
                for file in folder.iterdir()
                if file.name.endswith(".toml")
            ]
    return sorted(rules, key=lambda rule: rule.id)


def load(
    folders: Iterable[str] = (), overrides: dict[str, RuleSetting] | None = None
) -> list[Compiled]:
    """All enabled rules, built-in and from these folders, with overrides applied, sorted by id.

    Raises:
        RuleError: a rule is not valid, an id stands twice, or an override or `yields_to` names no
            rule.
    """
    rules = built_in()
    for folder in folders:
        paths = sorted(Path(folder).rglob("*.toml"))
        rules += [parse_rule(path.read_bytes(), path.name) for path in paths]
    by_id: dict[str, Rule] = {}
    for rule in rules:
        if rule.id in by_id:
            raise RuleError(f"rule {rule.id} is there twice")
        by_id[rule.id] = rule
    for id_, setting in (overrides or {}).items():
        if id_ not in by_id:
            raise RuleError(f"otic.toml changes rule {id_}, which does not exist")
        by_id[id_] = _override(by_id[id_], setting)
    _check_yielding({rule.id: rule.yields_to for rule in by_id.values()})
    return [compile_rule(rule) for _, rule in sorted(by_id.items()) if rule.default]


def _check_yielding(yields_to: dict[str, list[str]]) -> None:
    """Refuses names that no rule has, and rings, in which every rule would leave it to another."""
    for rule, others in sorted(yields_to.items()):
        missing = sorted({*others} - yields_to.keys())
        if missing:
            raise RuleError(f"rule {rule} yields to {', '.join(missing)}, which does not exist")
        reached: set[str] = set()
        ahead = set(others)
        while ahead:
            reached |= ahead
            ahead = {name for other in ahead for name in yields_to.get(other, ())} - reached
        if rule in reached:
            raise RuleError(f"rule {rule} yields to itself, by way of other rules or at once")


def _override(rule: Rule, setting: RuleSetting) -> Rule:
    changes: dict[str, Any] = {}
    if setting.enabled is not None:
        changes["default"] = setting.enabled
    if setting.severity is not None:
        changes["severity"] = setting.severity
    trigger = {
        name: value
        for name, value in (("count", setting.count), ("within_s", setting.within_s))
        if value is not None
    }
    if trigger:
        changes["trigger"] = msgspec.structs.replace(rule.trigger, **trigger)
    try:
        return msgspec.convert(msgspec.to_builtins(rule) | msgspec.to_builtins(changes), Rule)
    except msgspec.ValidationError as error:
        raise RuleError(f"otic.toml, rule {rule.id}: {error}") from None
