"""Nothing that Otic links or imports forbids to ship it under Apache-2.0."""

from __future__ import annotations

import json
import re
import subprocess
from importlib import metadata
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ALLOWED = re.compile(
    r"\b(MIT|MIT-0|MIT-CMU|Apache|BSD|0BSD|ISC|Zlib|MPL|Mozilla Public|Unicode|PSF|Python Software"
    r"|Python-2\.0|CC0|Unlicense|BlueOak|CDLA-Permissive|BSL-1\.0|CNRI)",
    re.I,
)
FORBIDDEN = re.compile(r"(?<!L)GPL|GNU General Public|Affero|SSPL", re.I)


def locked() -> list[str]:
    """The packages of requirements.lock."""
    return re.findall(r"^([\w.-]+)==", (ROOT / "requirements.lock").read_text(), re.M)


def licence(name: str) -> str:
    """What a distribution says of its licence, in all the places where it may."""
    info = metadata.metadata(name)
    classifiers = [c for c in info.get_all("Classifier") or [] if c.startswith("License")]
    told = [info.get("License-Expression") or "", *classifiers]
    if not any(told):
        told = [(info.get("License") or "")[:200]]
    return " ".join(told)


def test_python_packages_are_permissive() -> None:
    """Every locked and installed package has an allowed licence, none is GPL."""
    wrong = []
    for name in locked():
        try:
            said = licence(name)
        except metadata.PackageNotFoundError:
            continue  # a package of another system's lock
        if FORBIDDEN.search(said) or not ALLOWED.search(said):
            wrong.append(f"{name}: {said or 'says none'}")

    assert wrong == []


def permits(expression: str) -> bool:
    """Whether one alternative of an SPDX expression is allowed in all its parts."""
    alternatives = re.split(r"\s+OR\s+|/", expression.replace("(", "").replace(")", ""))
    return any(
        all(ALLOWED.search(part) and not FORBIDDEN.search(part) for part in one.split(" AND "))
        for one in alternatives
    )


def test_crates_are_permissive() -> None:
    """Every crate of Cargo.lock has an allowed licence, none is GPL."""
    done = subprocess.run(
        ["cargo", "metadata", "--locked", "--offline", "--format-version", "1"],
        cwd=ROOT / "core",
        capture_output=True,
        text=True,
        check=True,
    )
    packages = json.loads(done.stdout)["packages"]
    wrong = [p["name"] for p in packages if not permits(p["license"] or "")]

    assert len(packages) > 20
    assert wrong == []


def test_console_packages_are_permissive() -> None:
    """Every package of the console's lock has an allowed licence, none is GPL."""
    lock = ROOT / "console" / "package-lock.json"
    if not lock.exists():
        pytest.skip("the console is not part of this tree")
    packages = json.loads(lock.read_text())["packages"]
    wrong = [
        f"{name}: {entry.get('license')}"
        for name, entry in packages.items()
        if name and not permits(str(entry.get("license", "")))
    ]

    assert wrong == []


def test_locks_name_no_addresses() -> None:
    """The locks hold names, versions and hashes, never where they were fetched from."""
    for name in ("requirements.lock", "console/package-lock.json"):
        path = ROOT / name
        if path.exists():
            assert '"resolved"' not in path.read_text(), name
            assert not re.search(r"^--|@ http|index-url", path.read_text(), re.M), name
