"""Runs the tests of the three languages and sums them up in one line at the end.

Under CI (the variable CI is set) a skip is a failure, unless its reason is a missing `../shared` or
a right that the machine's kernel withholds. Exit code 0 only when everything passed.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
BUILD = ROOT / "build"
CARGO_RESULT = re.compile(r"^test result: \w+\. (\d+) passed; (\d+) failed; (\d+) ignored", re.M)
CARGO_IGNORED = re.compile(r"^test (\S+) \.\.\. ignored(?:, (.*))?$", re.M)
NOT_BROWSER = ("--ignore", "tests/e2e", "--ignore", "tests/soak")
ALLOWED_SKIPS = re.compile(r"\.\./shared is missing|kernel withholds")


@dataclass
class Outcome:
    """What one suite said."""

    suite: str
    passed: int = 0
    failed: int = 0
    skipped: list[tuple[str, str]] = field(default_factory=list)
    seconds: float = 0


def run(command: list[str], folder: Path) -> tuple[int, str]:
    """Runs a command with its output shown; its exit code and what it printed."""
    process = subprocess.Popen(
        command,
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    )
    assert process.stdout is not None
    lines = []
    for line in process.stdout:
        sys.stdout.write(line)
        sys.stdout.flush()
        lines.append(line)
    return process.wait(), "".join(lines)


def cargo() -> Outcome:
    """The core's tests."""
    outcome = Outcome("Rust")
    code, text = run(
        ["cargo", "test", "--workspace", "--locked", "--quiet", "--no-fail-fast"], ROOT / "core"
    )
    for passed, failed, _ in CARGO_RESULT.findall(text):
        outcome.passed += int(passed)
        outcome.failed += int(failed)
    outcome.skipped = [(name, why or "ignored") for name, why in CARGO_IGNORED.findall(text)]
    hidden = sum(int(ignored) for _, _, ignored in CARGO_RESULT.findall(text))
    outcome.skipped += [("?", "ignored")] * (hidden - len(outcome.skipped))
    return checked(outcome, code)


def junit(outcome: Outcome, report: Path, code: int) -> Outcome:
    """Adds what a JUnit report says."""
    if report.exists():
        for case in ElementTree.parse(report).iter("testcase"):
            name = f"{case.get('classname', '')}::{case.get('name', '')}"
            skipped = case.find("skipped")
            if skipped is not None:
                outcome.skipped.append((name, skipped.get("message") or "no reason given"))
            elif case.find("failure") is not None or case.find("error") is not None:
                outcome.failed += 1
            else:
                outcome.passed += 1
    return checked(outcome, code)


def checked(outcome: Outcome, code: int) -> Outcome:
    """A suite that ended badly without naming a test, or ran none, counts as one failure."""
    if not outcome.failed and (code or not outcome.passed):
        outcome.failed = 1
        print(f"{outcome.suite}: the tests did not run (exit code {code})")
    return outcome


def pytest() -> Outcome:
    """Tests of the analysis, the API, the documents and whole runs."""
    return run_pytest(Outcome("Python"), "pytest", "-n", "2", "--dist", "loadfile", *NOT_BROWSER)


def browser() -> Outcome:
    """Journeys through the console; alone, because a browser that waits for a core times out."""
    return run_pytest(Outcome("Browser"), "browser", "tests/e2e")


def run_pytest(outcome: Outcome, name: str, *arguments: str) -> Outcome:
    """One run of pytest with its report."""
    report = BUILD / f"{name}.xml"
    report.unlink(missing_ok=True)
    code, _ = run([sys.executable, "-m", "pytest", *arguments, f"--junitxml={report}"], ROOT)
    return junit(outcome, report, code)


def vitest() -> Outcome:
    """The console's tests."""
    report = BUILD / "vitest.xml"
    report.unlink(missing_ok=True)
    command = ["npx", "--no-install", "vitest", "run", "--reporter=default", "--reporter=junit"]
    code, _ = run([*command, f"--outputFile.junit={report}"], ROOT / "console")
    return junit(Outcome("TypeScript"), report, code)


def main() -> int:
    """Runs all suites; 0 when all passed."""
    BUILD.mkdir(exist_ok=True)
    suites = (cargo, pytest, browser, vitest)
    outcomes = []
    for suite in suites:
        started = time.monotonic()
        print(f"== {suite.__name__}", flush=True)
        outcome = suite()
        outcome.seconds = time.monotonic() - started
        outcomes.append(outcome)
    print()
    for outcome in outcomes:
        for name, why in outcome.skipped:
            print(f"skipped: {name}: {why}")
    for outcome in outcomes:
        print(
            f"{outcome.suite:10} {outcome.passed} passed, {outcome.failed} failed,"
            f" {len(outcome.skipped)} skipped in {outcome.seconds:.0f} s"
        )
    skips = [skip for outcome in outcomes for skip in outcome.skipped]
    failed = sum(outcome.failed for outcome in outcomes)
    unexpected = [skip for skip in skips if not ALLOWED_SKIPS.search(skip[1])]
    strict = bool(os.environ.get("CI"))
    if strict and unexpected:
        print(f"{len(unexpected)} tests were skipped that must not be skipped here")
    print(f"{sum(o.passed for o in outcomes)} passed, {failed} failed, {len(skips)} skipped")
    return 1 if failed or (strict and unexpected) else 0


if __name__ == "__main__":
    sys.exit(main())
