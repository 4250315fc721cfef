"""Starts one more protocol, detection, API route or console page from a tested template.

`new.py KIND NAME [--root FOLDER]` copies the template under its new name, adds the rows that make
it known, and prints what is left to do. A name is lower-case words joined by hyphens; a detection
is named with its engine's folder, as `policy/my-detection`.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable
from pathlib import Path

HERE = Path(__file__).resolve().parent
TEMPLATES = HERE / "templates"
NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")


class RefusedError(Exception):
    """Why nothing was made; one line for a person."""


def fresh(path: Path) -> Path:
    """The path, if nothing is there yet."""
    if path.exists():
        raise RefusedError(f"{path.name} is there already")
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def checked(name: str) -> str:
    """The name, if it is one."""
    if not NAME.fullmatch(name):
        raise RefusedError(f"NAME={name!r}: a name is lower-case words joined by hyphens")
    return name


def title(name: str) -> str:
    """The name for people, to begin with."""
    return name.replace("-", " ").capitalize()


def camel(name: str) -> str:
    """The name of a type."""
    return "".join(word.capitalize() for word in name.split("-"))


def insert_sorted(text: str, line: str, like: str) -> str:
    """Puts a line where it belongs among the lines that match `like`."""
    lines = text.splitlines(keepends=True)
    places = [at for at, one in enumerate(lines) if re.match(like, one)]
    if not places:
        raise RefusedError("the file looks different than expected: add the row by hand")
    after = [at for at in places if lines[at] > line]
    lines.insert(after[0] if after else places[-1] + 1, line)
    return "".join(lines)


def replace_once(text: str, old: str, new: str) -> str:
    """The text with its one `old` replaced."""
    if text.count(old) != 1:
        raise RefusedError(
            f"the file looks different than expected near {old!r}: add the row by hand"
        )
    return text.replace(old, new)


def protocol(root: Path, name: str) -> list[str]:
    """A dissector: its file with tests, its module line, its two table rows."""
    module = checked(name).replace("-", "_")
    source = root / "core" / "protocols" / "src"
    text = (source / "template.rs").read_text(encoding="utf-8")
    text = text.split("\n", 1)[1]
    text = text.replace('"template', f'"{name}').replace("`template-", f"`{name}-")
    text = text.replace("Template", camel(name)).replace(
        f'title: "{camel(name)}"', f'title: "{title(name)}"'
    )
    text = f"//! {title(name)}: what it is for, and what is read of it.\n" + text
    if (source / module).exists():
        raise RefusedError(f"{module} is there already")
    fresh(source / f"{module}.rs").write_text(text, encoding="utf-8")
    library = source / "lib.rs"
    library.write_text(
        insert_sorted(library.read_text(encoding="utf-8"), f"pub mod {module};\n", "pub mod "),
        encoding="utf-8",
    )
    registry = source / "registry.rs"
    rows = registry.read_text(encoding="utf-8")
    head, tail = rows.split("pub const BUILT", 1)
    tail = tail.replace("\n];", f"\n    crate::{module}::PROTOCOL,\n];", 1)
    registry.write_text(f"{head}pub const BUILT{tail}", encoding="utf-8")
    table = root / "src" / "otic" / "data" / "protocols.toml"
    with table.open("a", encoding="utf-8") as rows_file:
        rows_file.write(
            f'\n[{name}]\ntitle = "{title(name)}"\nroles = ["client", "server"]\n'
            "industrial = true\nidentity = 50\n"
        )
    return [
        f"core/protocols/src/{module}.rs: replace the example messages by the protocol's own,"
        " name the source of each fact",
        f"src/otic/data/protocols.toml: roles, and what the word of [{name}] counts",
        "make generate: its row in docs/protocols.md",
    ]


def detection(root: Path, name: str) -> list[str]:
    """A rule: its file, its test module with a case that fires and a near miss, its text."""
    folder, _, slug = name.rpartition("/")
    engines = sorted(
        path.name for path in (root / "src" / "otic" / "rules").iterdir() if path.is_dir()
    )
    if folder not in engines:
        raise RefusedError(
            f"NAME={name!r}: a detection is named ENGINE/NAME, engine {', '.join(engines)}"
        )
    rule = (TEMPLATES / "detection.toml").read_text(encoding="utf-8")
    rule = rule.replace('id = "template"', f'id = "{checked(slug)}"')
    rule = rule.replace('title = "Template"', f'title = "{title(slug)}"')
    rule = rule.replace('engine = "operational"', f'engine = "{folder}"')
    fresh(root / "src" / "otic" / "rules" / folder / f"{slug}.toml").write_text(
        rule, encoding="utf-8"
    )
    test = (TEMPLATES / "test_detection.py").read_text(encoding="utf-8").replace("template", slug)
    test_name = f"test_{slug.replace('-', '_')}.py"
    fresh(root / "tests" / "unit" / "detect" / folder / test_name).write_text(
        test, encoding="utf-8"
    )
    texts = root / "src" / "otic" / "detect" / "messages" / "en.toml"
    line = f'{slug} = "{{client}} → {{server}}: {{name}} ({{connection_protocol}})."\n'
    texts.write_text(
        insert_sorted(texts.read_text(encoding="utf-8"), line, r"[a-z0-9-]+ = "), encoding="utf-8"
    )
    return [
        f"src/otic/rules/{folder}/{slug}.toml: condition, words, proof",
        f"tests/unit/detect/{folder}/{test_name}: frames that fire it, and a near miss",
        "src/otic/detect/messages/en.toml: its text",
        "make generate: its row in docs/detections.md",
    ]


def route(root: Path, name: str) -> list[str]:
    """An API route: its file, its test, its row in the application."""
    module = checked(name).replace("-", "_")
    text = (TEMPLATES / "route.py").read_text(encoding="utf-8")
    text = text.replace("/api/template", f"/api/{name}").replace("Template", camel(name))
    text = text.replace("def template", f"def {module}").replace("[template]", f"[{module}]")
    api = root / "src" / "otic" / "api"
    fresh(api / "routes" / f"{module}.py").write_text(text, encoding="utf-8")
    test = (TEMPLATES / "test_route.py").read_text(encoding="utf-8")
    fresh(root / "tests" / "unit" / "api" / f"test_{module}.py").write_text(
        test.replace("/api/template", f"/api/{name}"), encoding="utf-8"
    )
    application = api / "app.py"
    rows = application.read_text(encoding="utf-8")
    listed = re.search(r"^NOUNS = \(([^)]*)\)", rows, re.M)
    if listed is None:
        raise RefusedError("app.py looks different than expected: add the row by hand")
    rest = listed[1].rstrip().rstrip(",")
    # In lines as they are, so that nothing has to be formatted afterwards.
    row = f"{rest},\n    {module},\n" if "\n" in rest else f"{rest}, {module}"
    rows = replace_once(rows, listed[0], f"NOUNS = ({row})")
    imported = re.search(r"^from otic\.api\.routes import (\([^)]*\)|[^(\n]+)$", rows, re.M)
    if imported is None:
        raise RefusedError("app.py looks different than expected: add the import by hand")
    nouns = sorted({*re.findall(r"\w+", imported[1]), module})
    lines = "".join(f"    {noun},\n" for noun in nouns)
    rows = replace_once(rows, imported[0], f"from otic.api.routes import (\n{lines})")
    application.write_text(rows, encoding="utf-8")
    return [
        f"src/otic/api/routes/{module}.py: what it answers, and the permission it needs",
        f"tests/unit/api/test_{module}.py: what is promised",
        "make generate: the OpenAPI document and the console's types",
    ]


def page(root: Path, name: str) -> list[str]:
    """A console page: its component, its test, its address and its texts."""
    component, key = camel(checked(name)), camel(name)[0].lower() + camel(name)[1:]
    source = root / "console" / "src"
    for template in ("Template.tsx", "Template.test.tsx"):
        text = (TEMPLATES / template).read_text(encoding="utf-8")
        text = text.replace("<h1>Template</h1>", f"<h1>{title(name)}</h1>")
        text = text.replace("Template", component).replace("template", key)
        fresh(source / "pages" / name / template.replace("Template", component)).write_text(
            text, encoding="utf-8"
        )
    router = source / "router.tsx"
    rows = insert_sorted(
        router.read_text(encoding="utf-8"),
        f"import {{ {component} }} from './pages/{name}/{component}';\n",
        r"import \{ \w+ \} from './pages/\w[\w-]*/",
    )
    rows = replace_once(
        rows,
        "\nexport const router",
        f"\nconst {key} = createRoute({{\n  getParentRoute: () => shell,\n  path: '/{name}',\n"
        f"  component: {component},\n}});\n\nexport const router",
    )
    rows = replace_once(rows, "shell.addChildren([", f"shell.addChildren([{key}, ")
    router.write_text(rows, encoding="utf-8")
    texts = source / "locales" / "en.json"
    rows = texts.read_text(encoding="utf-8").rstrip()
    if not rows.endswith("}\n}"):
        raise RefusedError("en.json looks different than expected: add the texts by hand")
    rows = rows[:-2] + (
        f',\n  "{key}": {{\n    "title": "{title(name)}",\n    "captures": "Captures"\n  }}\n}}\n'
    )
    texts.write_text(rows, encoding="utf-8")
    return [
        f"console/src/pages/{name}/{component}.tsx: what it shows",
        "console/src/locales/en.json: its words",
        "console/src/layout/Shell.tsx: its place in the menu",
        "make format",
    ]


KINDS: dict[str, Callable[[Path, str], list[str]]] = {
    "protocol": protocol,
    "detection": detection,
    "route": route,
    "page": page,
}


def main() -> int:
    """Makes the files; 2 and one line when it cannot."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kind", choices=sorted(KINDS))
    parser.add_argument("name")
    parser.add_argument("--root", type=Path, default=HERE.parent)
    options = parser.parse_args()
    try:
        left = KINDS[options.kind](options.root, options.name)
    except RefusedError as error:
        print(f"otic: {error}", file=sys.stderr)
        return 2
    print(f"{options.kind} {options.name} is there, compiles and is tested. Left to do:")
    for line in left:
        print(f"  {line}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
