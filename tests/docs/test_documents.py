"""The documents say what is there, and what they say is there."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

_core = pytest.importorskip("otic._core", reason="the core is not built: make install")

from otic.detect.rules import built_in  # noqa: E402
from otic.inventory.protocols import protocols  # noqa: E402

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
PAGES = ("README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md")


def text(name: str) -> str:
    """A document of the project's root."""
    return (ROOT / name).read_text(encoding="utf-8")


def make_targets() -> set[str]:
    """The targets of the Makefile."""
    return set(re.findall(r"^([a-z-]+):", text("Makefile"), re.M))


def test_generated_pages_are_fresh() -> None:
    """`make generate` would change nothing."""
    done = subprocess.run(
        [sys.executable, str(ROOT / "tools" / "build_docs.py"), "--check"],
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr


def test_every_protocol_has_its_row_and_words() -> None:
    """Each protocol of the core's registry is in docs/protocols.md and in the table of words."""
    page = (DOCS / "protocols.md").read_text(encoding="utf-8")
    for name, _, client, server, source in _core.protocols():
        assert f"| `{name}` |" in page, name
        assert name in protocols(), f"{name} has no row in src/otic/data/protocols.toml"
        assert client, name
        assert server, name
        assert source, name


def test_every_detection_is_described() -> None:
    """Each rule has its part in docs/detections.md."""
    page = (DOCS / "detections.md").read_text(encoding="utf-8")
    for rule in built_in():
        assert f"`{rule.id}`" in page, rule.id


@pytest.mark.parametrize("name", PAGES)
def test_commands_of_the_documents_exist(name: str) -> None:
    """`make x` and `otic x` in the documents are real targets and commands."""
    page = text(name)
    code = "\n".join(re.findall(r"```sh\n(.*?)```", page, re.S))
    code += "\n" + "\n".join(re.findall(r"`([^`\n]+)`", page))
    for target in re.findall(r"(?:^|\s)make ([a-z][a-z-]+)", code):
        assert target in make_targets(), f"{name}: make {target}"
    program = text("src/otic/cli/app.py")
    commands = set(re.findall(r"^def (\w+)\(", program, re.M))
    commands |= set(re.findall(r"App\(\s*name=\"(\w+)\"", program))
    for command in re.findall(r"(?:^|[\s/])otic ([a-z]+)\b", code):
        assert command in commands, f"{name}: otic {command}"


@pytest.mark.parametrize(
    "name",
    [
        *PAGES,
        "docs/protocols.md",
        "docs/detections.md",
        "docs/settings.md",
        "docs/limits.md",
    ],
)
def test_links_lead_somewhere(name: str) -> None:
    """Each relative link of a document names a file."""
    page = (ROOT / name).read_text(encoding="utf-8")
    for link in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page):
        assert ((ROOT / name).parent / link).exists(), f"{name}: {link}"


def test_architecture_names_rooms_that_exist() -> None:
    """Every folder and file in the picture of ARCHITECTURE.md is there."""
    picture = re.search(r"```\n(core/.*?)```", text("ARCHITECTURE.md"), re.S)
    assert picture is not None
    top = Path()
    for line in picture[1].splitlines():
        found = re.match(r"( *)([\w./-]+)", line)
        if found is None:
            continue
        if found[1] == "":
            top = ROOT / found[2]
            assert top.exists(), found[2]
        else:
            assert (top / found[2]).exists(), f"{top.name}/{found[2]}"


def test_the_changelog_has_an_unreleased_part() -> None:
    """What changes next has its place."""
    assert re.search(r"^## Unreleased$", text("CHANGELOG.md"), re.M)


def test_nothing_names_a_machine_of_its_writers() -> None:
    """No file of the project holds a home folder or a package registry's address."""
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=False
    ).stdout
    wrong = []
    # Written in parts, so that this file does not name them either.
    words = ("/ro ot/", "/ho me/", "/wo rk/", "registry. npmjs", "files. pythonhosted", "pypi. org")
    private = re.compile("|".join(re.escape(word.replace(" ", "")) for word in words).encode())
    for name in filter(None, listed.decode().split("\0")):
        path = ROOT / name
        if path.is_file() and path != Path(__file__).resolve() and path.suffix != ".gz":
            found = private.search(path.read_bytes())
            if found is not None:
                wrong.append(f"{name}: {found[0]!r}")

    assert wrong == []
