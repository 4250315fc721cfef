"""Runs everything at full length and writes what it printed to docs/measured/.

The whole score, benches, ten minutes of a live sensor under load, its memory with a large plant, an
hour of fuzzing, the acceptance tests over all sample captures. Each page names the commit and the
machine it was measured on.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
MEASURED = ROOT / "docs" / "measured"


def output(*command: str) -> str:
    """What a command prints, stripped."""
    return subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.strip()


def machine() -> str:
    """Commit, processors and memory."""
    commit = output("git", "rev-parse", "--short=12", "HEAD")
    changed = " with changes" if output("git", "status", "--porcelain", "--", ":!docs") else ""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    python = ".".join(map(str, sys.version_info[:3]))
    return (
        f"Commit {commit}{changed}; {os.cpu_count()} processors, {memory:.0f} GiB memory,"
        f" Python {python}, {output('rustc', '--version')}."
    )


def measure(name: str, title: str, command: list[str], variables: dict[str, str]) -> bool:
    """Runs one command and writes its page; whether it passed."""
    print(f"== {title}", flush=True)
    begun = time.monotonic()
    done = subprocess.run(
        command,
        cwd=ROOT,
        env={**os.environ, **variables},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    seconds = time.monotonic() - begun
    print(done.stdout)
    shown = " ".join(Path(part).name if os.path.isabs(part) else part for part in command)
    page = [
        f"# {title}",
        "",
        f"{machine()} Took {seconds:.0f} s, exit code {done.returncode}.",
        "",
        f"`{shown}`",
        "",
    ]
    body = done.stdout.rstrip()
    page += [body, ""] if "\n|" in body else ["```", body, "```", ""]
    MEASURED.mkdir(parents=True, exist_ok=True)
    (MEASURED / f"{name}.md").write_text("\n".join(page), encoding="utf-8")
    return done.returncode == 0


def main() -> int:
    """0 when every part passed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shared", type=Path, default=ROOT.parent / "shared")
    parser.add_argument("--fuzz-seconds", type=int, default=3600)
    parser.add_argument(
        "--only",
        choices=[
            "score",
            "bench",
            "definitions",
            "live",
            "memory",
            "acceptance",
            "packages",
            "fuzz",
        ],
    )
    options = parser.parse_args()
    python = sys.executable
    parts = {
        "score": (
            "Agreement with tshark",
            [python, "tools/check_score.py", "--shared", str(options.shared)],
        ),
        "bench": ("Speed", [python, "bench/run.py"]),
        "definitions": ("Speed of a definition", [python, "bench/definitions.py"]),
        "live": ("A live sensor under load", [python, "bench/live.py"]),
        "memory": ("Memory of a live sensor with a large plant", [python, "bench/memory.py"]),
        "acceptance": (
            "Whole runs, faults and all sample captures",
            [python, "-m", "pytest", "tests/acceptance", "tests/soak", "-q", "-rs"],
        ),
        "packages": ("Packages", [python, "-m", "pytest", "packaging/tests", "-q", "-rs"]),
        "fuzz": (
            "Fuzzing",
            ["make", "--no-print-directory", "fuzz", f"FUZZ_SECONDS={options.fuzz_seconds}"],
        ),
    }
    if options.only is not None and options.only not in parts:
        parser.error(f"there is no part {options.only}")
    failed = [
        title
        for name, (title, command) in parts.items()
        if options.only in (None, name) and not measure(name, title, command, {"OTIC_FULL": "1"})
    ]
    for title in failed:
        print(f"failed: {title}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
