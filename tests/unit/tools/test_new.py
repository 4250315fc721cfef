"""Each template, copied under a new name, compiles, loads and passes its test."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The project's sources, to change freely."""
    skipped = shutil.ignore_patterns(
        "target", "node_modules", "__pycache__", ".venv", "build", "crashes"
    )
    for part in ("core", "src", "tests", "console", "pyproject.toml"):
        source = ROOT / part
        if source.is_dir():
            shutil.copytree(source, tmp_path / part, ignore=skipped)
        else:
            shutil.copy(source, tmp_path / part)
    return tmp_path


def new(kind: str, name: str, root: Path) -> subprocess.CompletedProcess[str]:
    """Runs `make new-…` on the copy."""
    command = [sys.executable, str(ROOT / "tools" / "new.py"), kind, name, "--root", str(root)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


def pytest_in(root: Path, *tests: str) -> subprocess.CompletedProcess[str]:
    """Runs tests of the copy against the copy's sources."""
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *tests],
        cwd=root,
        env={**os.environ, "PYTHONPATH": str(root / "src")},
        capture_output=True,
        text=True,
        timeout=300,
    )


def test_a_new_protocol_compiles_and_passes_its_tests(copy: Path) -> None:
    """`make new-protocol` gives a dissector whose own tests pass."""
    made = new("protocol", "brand-new", copy)
    assert made.returncode == 0, made.stderr
    assert "crate::brand_new::PROTOCOL" in (copy / "core/protocols/src/registry.rs").read_text()

    done = subprocess.run(
        ["cargo", "test", "--locked", "--offline", "--quiet", "-p", "otic-protocols", "brand_new"],
        cwd=copy / "core",
        env={**os.environ, "CARGO_TARGET_DIR": str(ROOT / "core" / "target")},
        capture_output=True,
        text=True,
        timeout=600,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert "5 passed" in done.stdout


def test_a_new_detection_fires_and_is_quiet(copy: Path) -> None:
    """`make new-detection` gives a rule whose two cases hold, and which the catalogue accepts."""
    made = new("detection", "operational/brand-new", copy)
    assert made.returncode == 0, made.stderr

    done = pytest_in(copy, "tests/unit/detect")

    assert done.returncode == 0, done.stdout + done.stderr
    module = (copy / "tests/unit/detect/operational/test_brand_new.py").read_text()
    assert '["brand-new"]' in module
    assert "template" not in module
    assert "tests/unit/detect/operational/test_brand_new.py" in made.stdout


def test_a_detection_without_a_near_miss_is_refused_by_the_catalogue(copy: Path) -> None:
    """Who deletes the silent case is told so, with the rule's name."""
    assert new("detection", "operational/brand-new", copy).returncode == 0
    module = copy / "tests/unit/detect/operational/test_brand_new.py"
    module.write_text(module.read_text().partition("def test_stays_silent")[0])

    done = pytest_in(copy, "tests/unit/detect/test_catalogue.py")

    assert done.returncode == 1
    assert done.stdout.count("FAILED") == 1
    assert "stays_silent_in_a_module_of_its_own[brand-new]" in done.stdout


def test_a_new_route_answers_and_is_guarded(copy: Path) -> None:
    """`make new-route` gives a route that answers whom it should."""
    made = new("route", "brand-new", copy)
    assert made.returncode == 0, made.stderr

    done = pytest_in(copy, "tests/unit/api/test_brand_new.py")

    assert done.returncode == 0, done.stdout + done.stderr


def test_a_new_page_has_its_types_and_passes_its_test(copy: Path) -> None:
    """`make new-page` gives a page that compiles, is routed, and shows what it was given."""
    packages = ROOT / "console" / "node_modules"
    if not packages.is_dir():
        pytest.skip("the console's packages are not installed: make install")
    console = copy / "console"
    (console / "node_modules").symlink_to(packages)
    made = new("page", "brand-new", copy)
    assert made.returncode == 0, made.stderr

    for command in (["tsc", "--noEmit"], ["vitest", "run", "src/pages/brand-new"]):
        done = subprocess.run(
            ["npx", "--no-install", *command],
            cwd=console,
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("protocol", ""),
        ("protocol", "Bad Name"),
        ("protocol", "modbus"),
        ("detection", "no-engine"),
    ],
)
def test_a_name_that_cannot_be_is_refused_in_one_line(copy: Path, kind: str, name: str) -> None:
    """A bad or taken name changes nothing and says why."""
    registry = copy / "core/protocols/src/registry.rs"
    before = registry.read_text()

    done = new(kind, name, copy)

    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert registry.read_text() == before
