"""Writes the generated pages: docs/protocols.md, docs/detections.md and docs/settings.md.

`build_docs.py` rewrites them, `build_docs.py --check` only says which one is stale.
"""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from collections import Counter
from collections.abc import Iterator, Set
from itertools import pairwise
from pathlib import Path

import msgspec
from msgspec import inspect
from rule_words import fires_when

from otic import _core
from otic.detect.rules import Rule, built_in, techniques
from otic.inventory.protocols import carriers as carried_inside
from otic.inventory.protocols import protocol
from otic.protocols import built_in as built_in_definitions
from otic.sensor.protocols import take
from otic.settings import Settings

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
TESTS = ROOT / "tests" / "unit" / "detect"
INSIDE = {name: carried_inside(name)[0] for name in ("cip", "ipp", "nfs")}
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
    defined = {one.name: one for one in built_in_definitions()}
    lines = [
        "# Protocols",
        "",
        "Made from the core's registry and the protocol definitions by `make generate`. A protocol",
        "is recognised by the structure of its bytes; the ports are hints only. What each one does",
        "not decode stands at the top of its file. Depth is what the file can say of a message:",
        "functions with their action, objects they act on, values written, identity of devices; a",
        "protocol without any of them is only seen.",
        "",
        f"{len(rows)} protocols, {len(defined)} of them by a definition",
        "([protocol-definitions.md](protocol-definitions.md)).",
        "",
        "| name | title | vendor | client | server | carried by | depth"
        " | source of its wire facts | file and test |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    files = dissector_files()
    for name in names():
        row = rows.get(name) or rows[INSIDE[name]]
        words = protocol(name)
        roles = words.roles or (row[2], row[3])
        carried = carriers(name) if name in rows else f"inside {INSIDE[name]}"
        if name in defined:
            place = Path("src/otic/protocols") / defined[name].file
            depth = depth_of_definition(defined[name].text)
        else:
            place = files.get(name) or files[INSIDE[name]]
            depth = depth_of_dissector(ROOT / place)
        vendor = defined[name].vendor if name in defined else words.vendor
        lines.append(
            f"| `{name}` | {cell(words.title or row[1])} | {cell(vendor)} | {roles[0]} | {roles[1]}"
            f" | {carried} | {', '.join(depth) or 'seen'} | {cell(row[4])}"
            f" | [{place.name}](../{place}) |"
        )
    return "\n".join([*lines, "", *wanted(rows.keys() | INSIDE.keys()), ""])


def dissector_files() -> dict[str, Path]:
    """Where each dissector in Rust is: its file, or its folder when it has one."""
    found: dict[str, Path] = {}
    for path in sorted((ROOT / "core/protocols/src").rglob("*.rs")):
        text = path.read_text(encoding="utf-8")
        constants = dict(re.findall(r'const (\w+): &str = "([^"]+)";', text))
        for row in re.findall(r": Protocol = Protocol \{.*?\n\};", text, re.S):
            name = re.search(r'name: ("([^"]+)"|(\w+))', row)
            if name is not None:
                own = name[2] or constants.get(name[3], "")
                place = path.parent if path.name == "mod.rs" else path
                found[own] = place.relative_to(ROOT)
    return found


DEPTHS = {
    "functions": r"operation\(|Operation \{",
    "objects": r"Object::(Text|Number|Range|Area)",
    "values": r"Item::Change|Change \{",
    "identity": r"claim\(|own_text\(|Claim \{",
}
"""What of a dissector's text shows that it can say so."""


def depth_of_dissector(place: Path) -> list[str]:
    """What the file, or any file of the folder, says of messages."""
    paths = sorted(place.rglob("*.rs")) if place.is_dir() else [place]
    text = "".join(path.read_text(encoding="utf-8").partition("#[cfg(test)]")[0] for path in paths)
    return [name for name, pattern in DEPTHS.items() if re.search(pattern, text)]


def depth_of_definition(text: str) -> list[str]:
    """What the messages of a definition say."""
    messages = tomllib.loads(text).get("messages", [])
    operations = [one["operation"] for one in messages if "operation" in one]
    said = {
        "functions": bool(operations),
        "objects": any("object" in one for one in operations),
        "values": any("change" in one for one in messages),
        "identity": any("claims" in one for one in messages),
    }
    return [name for name, is_said in said.items() if is_said]


def wanted(known: Set[str]) -> list[str]:
    """The protocols that operators ask for: by which of ours, or what is missing."""
    lines = [
        "## Asked for",
        "",
        "Protocols that monitoring products list. A row without a name of ours is not recognised;",
        "the fact that is missing stands beside it.",
        "",
        "| vendor | protocol | recognised as | missing |",
        "|---|---|---|---|",
    ]
    for line in (ROOT / "tools/tables/protocols_wanted.tsv").read_text("utf-8").splitlines()[1:]:
        vendor, title, ours, missing = line.split("\t")
        found = [name for name in ours.split(", ") if name in known]
        lines.append(
            f"| {vendor} | {title} | {', '.join(f'`{name}`' for name in found) or 'not recognised'}"
            f" | {cell(missing or ('' if found else 'not built yet'))} |"
        )
    return lines


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


def settings() -> str:
    """The page of settings, from the structs that read them and the words under their fields."""
    lines = [
        "# Settings",
        "",
        "Made from `src/otic/settings.py` by `make generate`. `otic.toml` is a TOML file in the",
        "data folder of a sensor, or named by `--config`; every part may be left out. A key that",
        "is not here is refused. `otic settings` prints what holds.",
        "",
    ]
    source = (ROOT / "src" / "otic" / "settings.py").read_text(encoding="utf-8")
    words = {
        node.name: dict(field_words(node))
        for node in ast.parse(source).body
        if isinstance(node, ast.ClassDef)
    }
    for heading, struct in setting_tables():
        told = words[struct.__name__]
        lines += [f"## {heading}", "", " ".join((struct.__doc__ or "").split()), ""]
        lines += ["| key | type | default | limits | meaning |", "|---|---|---|---|---|"]
        for field in inspect.type_info(struct).fields:
            kind, limits = described(field.type)
            lines.append(
                f"| `{field.encode_name}` | {kind} | {default_of(field)} | {limits} |"
                f" {cell(told[field.name])} |"
            )
        lines.append("")
    return "\n".join(lines)


def field_words(struct: ast.ClassDef) -> Iterator[tuple[str, str]]:
    """The docstring under each field."""
    for field, text in pairwise(struct.body):
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name):
            said = isinstance(text, ast.Expr) and isinstance(text.value, ast.Constant)
            if not said:
                raise ValueError(f"settings.py: {struct.name}.{field.target.id} has no docstring")
            yield field.target.id, str(text.value.value)


def setting_tables() -> Iterator[tuple[str, type[msgspec.Struct]]]:
    """The tables of `otic.toml`: their heading, and the struct that reads them."""
    yield "Top of the file", Settings
    for field in inspect.type_info(Settings).fields:
        match field.type:
            case inspect.StructType(cls=struct):
                yield f"`[{field.encode_name}]`", struct
            case inspect.ListType(item_type=inspect.StructType(cls=struct)):
                yield f"`[[{field.encode_name}]]`", struct
            case inspect.DictType(value_type=inspect.StructType(cls=struct)):
                yield f"`[{field.encode_name}.ID]`", struct


def described(kind: inspect.Type) -> tuple[str, str]:
    """A type in words, and its limits."""
    match kind:
        case inspect.IntType(ge=least, le=most):
            bounds = [f"from {least}" if least is not None else "", f"to {most}" if most else ""]
            return "whole number", " ".join(filter(None, bounds))
        case inspect.StrType():
            return "text", ""
        case inspect.BoolType():
            return "true or false", ""
        case inspect.LiteralType(values=values):
            return "one of", ", ".join(f"`{value}`" for value in values)
        case inspect.UnionType(types=types):
            return described(next(one for one in types if not isinstance(one, inspect.NoneType)))
        case inspect.ListType(item_type=inspect.StructType()):
            return "tables", ""
        case inspect.ListType(item_type=item):
            word, limits = described(item)
            return ("some of" if limits else f"list of {word}"), limits
        case inspect.StructType() | inspect.DictType():
            return "table", ""
    raise ValueError(f"settings.py: no words for {kind}")


def default_of(field: inspect.Field) -> str:
    """What holds when the key is left out."""
    if field.required:
        return "must be given"
    value = field.default
    if isinstance(field.type, inspect.StructType | inspect.DictType) or value in (None, ""):
        return ""
    if value is msgspec.NODEFAULT:
        return "none"
    return f"`{msgspec.json.encode(value).decode()}`"


PROTOCOL_LIST = re.compile(r"(<!-- protocols -->\n).*?(\n<!-- /protocols -->)", re.S)


def readme() -> str:
    """README with the list of protocols brought up to date."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    listed = ", ".join(f"`{name}`" for name in names())
    return PROTOCOL_LIST.sub(lambda found: found[1] + listed + found[2], text)


PAGES = {
    DOCS / "protocols.md": protocols,
    DOCS / "detections.md": detections,
    DOCS / "settings.md": settings,
    ROOT / "README.md": readme,
}


def main() -> int:
    """1 when `--check` finds a stale page."""
    take()
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
