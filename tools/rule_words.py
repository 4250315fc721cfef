"""A detection's trigger in words, for the page of detections."""

from __future__ import annotations

from typing import Any

from otic.detect.rules import Rule, Trigger

OPERATORS = {
    "==": "is",
    "!=": "is not",
    "in": "is one of",
    "not in": "is none of",
    "in range": "is from",
    "cidr": "is in",
    "same as": "is the same as",
}

FIELDS = {
    "connection_protocol": "protocol",
    "protocol": "message's protocol",
    "server_group": "server is a group",
    "client_public": "client is public",
    "server_public": "server is public",
    "industrial": "protocol is industrial",
    "writes": "changes the server",
    "mac": "is a MAC",
    "public": "is public",
}
"""Fields whose name alone does not read well."""

PLURALS = {
    "endpoint": "endpoints",
    "attempts": "attempts",
    "industrial_targets": "machines",
    "count": "times",
}


def words(condition: list[Any]) -> str:
    """One condition as a person would say it."""
    field, operator, value = condition
    name = FIELDS.get(field, field.removeprefix("values.").replace("_", " "))
    if isinstance(value, bool):
        holds = value == (operator == "==")
        return name if holds else f"not: {name}"
    if operator == "in range":
        return f"{name} is from {value[0]} to {value[1]}"
    if operator in ("contains", "lacks"):
        flagged = "is" if operator == "contains" else "is not"
        return f"{name.removesuffix(' flags')} {flagged} flagged as {value}"
    if value == "":
        return f"{name} is {'not ' if operator == '!=' else ''}empty"
    told = ", ".join(str(item) for item in value) if isinstance(value, list) else str(value)
    return f"{name} {OPERATORS.get(operator, operator)} {told}"


def which(trigger: Trigger, conditions: list[list[Any]]) -> str:
    """A kind of fact with conditions, as in `operation: action is stop; …`."""
    parts = [words(condition) for condition in conditions]
    if conditions is trigger.where and trigger.any_of:
        groups = (" and ".join(words(one) for one in group) for group in trigger.any_of)
        parts.append(f"either {' or '.join(groups)}")
    return f"{trigger.fact} ({'; '.join(parts)})" if parts else trigger.fact


def duration(seconds: int) -> str:
    """Seconds in the largest unit that divides them."""
    for unit, name in ((3600, "h"), (60, "min")):
        if seconds % unit == 0:
            return f"{seconds // unit} {name}"
    return f"{seconds} s"


def fires_when(rule: Rule) -> str:
    """The trigger in words."""
    trigger = rule.trigger
    matter = which(trigger, trigger.where)
    match trigger.kind:
        case "new":
            text = f"new {matter}; known by {', '.join(n.replace('_', ' ') for n in trigger.key)}"
        case "changed":
            text = f"{matter} that told another value before, in the same message"
        case "threshold":
            measure = PLURALS.get(trigger.measure, trigger.measure)
            network = f" of one /{trigger.subnet_prefix} network" if trigger.subnet_prefix else ""
            text = (
                f"{trigger.count} or more {measure}{network} within {duration(trigger.within_s)}:"
                f" {matter}"
            )
        case "sequence":
            text = (
                f"{which(trigger, trigger.first)}, then within {duration(trigger.within_s)},"
                f" of the same two, {matter}"
            )
        case _:
            text = f"any {matter}"
    if trigger.along:
        side = "; ".join(words(condition) for condition in trigger.along)
        text += f"; within {duration(trigger.within_s)} of it, told with it: {side}"
    return text
