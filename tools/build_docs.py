"""Writes the generated pages: docs/protocols.md and docs/detections.md.

`build_docs.py` rewrites them, `build_docs.py --check` only says which one is stale.
"""

from __future__ import annotations

import ast
import re
import sys
from collections import Counter
from pathlib import Path

from rule_words import fires_when

from otic import _core
from otic.detect.rules import Rule, built_in, techniques
from otic.inventory.protocols import carriers as carried_inside
from otic.inventory.protocols import protocol

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
TESTS = ROOT / "tests" / "unit" / "detect"
INSIDE = {name: carried_inside(name)[0] for name in ("cip",)}
"""Protocols that live inside another one's messages and have no row of their own in the core."""

ENGINES = ("policy", "protocol", "malware", "anomaly", "operational")


def cell(text: str) -> str:
    """Text that fits a table cell."""
    return " ".join(text.split()).replace("|", "\\|")


def names() -> list[str]:
    """Every protocol Otic reads, sorted."""
    return sorted({row[0] for row in _core.protocols()} | INSIDE.keys())


def protocols() -> str:
    """The page of protocols."""
    rows = {row[0]: row for row in _core.protocols()}
    lines = [
        "# Protocols",
        "",
        "Made from the core's registry by `make generate`. A protocol is recognised by the",
        "structure of its bytes; the ports are hints only. What each one does not decode stands at",
        "the top of its file in `core/protocols/src/`.",
        "",
        "| name | title | client | server | carried by | source of its wire facts |",
        "|---|---|---|---|---|---|",
    ]
    for name in names():
        row = rows.get(name) or rows[INSIDE[name]]
        words = protocol(name)
        roles = words.roles or (row[2], row[3])
        carried = carriers(name) if name in rows else f"inside {INSIDE[name]}"
        lines.append(
            f"| `{name}` | {cell(words.title or row[1])} | {roles[0]} | {roles[1]} | {carried} |"
            f" {cell(row[4])} |"
        )
    return "\n".join([*lines, ""])


def carriers(name: str) -> str:
    """How the registry says the protocol is carried."""
    return cell(", ".join(dict(_core.carriers()).get(name, ())))


def proving_tests(rule: Rule) -> tuple[Path, list[str], list[str]]:
    """The rule's test module, its tests that fire it, and those in which it stays silent."""
    path = TESTS / rule.engine / f"test_{rule.id.replace('-', '_')}.py"
    tree = ast.parse(path.read_text(encoding="utf-8"))
    names = [node.name for node in tree.body if isinstance(node, ast.FunctionDef)]
    fires = [name for name in names if name.startswith("test_fires")]
    silent = [name for name in names if name.startswith("test_stays_silent")]
    return path.relative_to(ROOT), fires, silent


def named(tests: list[str]) -> str:
    """Names of tests."""
    return ", ".join(f"`{name}`" for name in tests)


def detection(rule: Rule) -> list[str]:
    """One rule, for people."""
    path, fires, silent = proving_tests(rule)
    attack = ", ".join(f"{technique} {techniques()[technique]}" for technique in rule.attack)
    return [
        f"### {rule.title}",
        "",
        f"`{rule.id}` · {rule.severity} · {rule.category}" + ("" if rule.default else " · off"),
        "",
        f"- What it sees: {rule.explanation}",
        f"- Fires when: {fires_when(rule)}",
        *([f"- Leaves it to: {', '.join(rule.yields_to)}"] if rule.yields_to else []),
        f"- False positives: {rule.false_positives}",
        f"- What to do: {rule.remediation}",
        f"- ATT&CK for ICS: {attack or 'none'}",
        f"- Proof: {rule.proof.kind}, {rule.proof.source}",
        f"- Source: {rule.source}",
        f"- Tests: [{path.name}](../{path}): fires in {named(fires)}; silent in {named(silent)}",
        "",
    ]


def detections() -> str:
    """The page of detections."""
    rules = built_in()
    of_engine = Counter(rule.engine for rule in rules)
    lines = [
        "# Detections",
        "",
        "Made from the rule files in `rules/` and their tests by `make generate`.",
        "",
        "Each rule is proven by tests that build frames byte by byte and send them through the",
        "core and the whole analysis: some fire it, near misses do not. What a rule leaves to",
        "others is told once, by the rule that says most about it.",
        "",
        f"{len(rules)} rules, all of them data: "
        + ", ".join(f"{of_engine[engine]} {engine}" for engine in ENGINES if of_engine[engine])
        + ". No rule needs a class of its own.",
        "",
    ]
    for engine in ENGINES:
        if of_engine[engine]:
            lines += [f"## {engine.capitalize()}", ""]
            for rule in sorted((r for r in rules if r.engine == engine), key=lambda r: r.title):
                lines += detection(rule)
    return "\n".join(lines).rstrip() + "\n"


PROTOCOL_LIST = re.compile(r"(<!-- protocols -->\n).*?(\n<!-- /protocols -->)", re.S)


def readme() -> str:
    """README with the list of protocols brought up to date."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    listed = ", ".join(f"`{name}`" for name in names())
    return PROTOCOL_LIST.sub(lambda found: found[1] + listed + found[2], text)


PAGES = {
    DOCS / "protocols.md": protocols,
    DOCS / "detections.md": detections,
    ROOT / "README.md": readme,
}


def main() -> int:
    """1 when `--check` finds a stale page."""
    stale = []
    for path, make in PAGES.items():
        text = make()
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            stale.append(path.relative_to(ROOT))
            if "--check" not in sys.argv:
                path.write_text(text, encoding="utf-8")
    for path in stale:
        print(f"{path} {'is stale: make generate' if '--check' in sys.argv else 'is new'}")
    return 1 if stale and "--check" in sys.argv else 0


if __name__ == "__main__":
    sys.exit(main())
