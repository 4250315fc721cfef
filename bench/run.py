"""Compares readers side by side in one run: `python bench/run.py [--frames N] [--rounds N]`.

For each file and program: frames a second (median of the rounds), the ratio to a bare libpcap
loop, and peak memory of the process. Then end to end: what `otic replay` takes for a long steady
file beside the core alone. The programs take turns, so that a drift of the machine's speed meets
all alike. Programs that are not installed are named in one line and left out.
"""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import traffic

ROOT = Path(__file__).resolve().parent.parent


CORE = "otic core, 1 thread"
REPLAY = "otic replay"
LOOP = "libpcap loop"


def programs(work: Path, otic: str) -> tuple[dict[str, list[str]], list[str]]:
    """Name -> command, `{}` for the file; and the programs left out, with the reason."""
    found: dict[str, list[str]] = {}
    missing: list[str] = []
    loop = work / "pcap_loop"
    if not shutil.which("cc"):
        missing.append(f"{LOOP} (no C compiler)")
    elif subprocess.run(
        ["cc", "-O2", "-o", loop, ROOT / "bench" / "pcap_loop.c", "-lpcap"],
        check=False,
        capture_output=True,
    ).returncode:
        missing.append(f"{LOOP} (needs libpcap's headers)")
    else:
        found[LOOP] = [str(loop), "{}"]
    subprocess.run(
        ["cargo", "build", "--release", "--quiet", "-p", "otic-engine", "--example", "core_rate"],
        cwd=ROOT / "core",
        check=True,
    )
    rate = str(ROOT / "core" / "target" / "release" / "examples" / "core_rate")
    found[CORE] = [rate, "1", "{}"]
    found["otic core, 2 threads"] = [rate, "2", "{}"]
    found[REPLAY] = [otic, "replay", "{}", "--format", "json"]
    for name, command in (
        ("nDPI reader", ["ndpiReader", "-q", "-i", "{}"]),
        ("tshark", ["tshark", "-n", "-q", "-r", "{}", "-z", "io,phs"]),
    ):
        if shutil.which(command[0]):
            found[name] = command
        else:
            missing.append(f"{name} (not installed)")
    return found, missing


def run(command: list[str], path: Path) -> tuple[float, int]:
    """Seconds of one run and the peak memory of its process in KiB."""
    arguments = [part.replace("{}", str(path)) for part in command]
    started = time.perf_counter()
    process = subprocess.Popen(arguments, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - started
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        sys.exit(f"{' '.join(arguments)} ended with {process.returncode}")
    return seconds, usage.ru_maxrss


def in_turn(
    commands: dict[str, list[str]], path: Path, rounds: int
) -> dict[str, tuple[float, int]]:
    """Median seconds and peak memory (KiB) of each program; they take turns."""
    seconds: dict[str, list[float]] = {name: [] for name in commands}
    memory: dict[str, int] = dict.fromkeys(commands, 0)
    for _ in range(rounds):
        for name, command in commands.items():
            taken, peak = run(command, path)
            seconds[name].append(taken)
            memory[name] = max(memory[name], peak)
    return {name: (statistics.median(seconds[name]), memory[name]) for name in commands}


def compare(
    commands: dict[str, list[str]], path: Path, frames: int, title: str, *, rounds: int, base: str
) -> None:
    """Prints the table of one file; ratios are of the speed of `base`."""
    measured = in_turn(commands, path, rounds)
    size = path.stat().st_size / frames - 16
    print(f"**{title}**: {frames:,} frames, {size:.0f} bytes each\n")
    print(f"| program | seconds (median) | frames/s | of {base} | peak MiB |")
    print("|---|---|---|---|---|")
    full, _ = measured.get(base, (float("nan"), 0))
    for name, (median, peak) in measured.items():
        print(
            f"| {name} | {median:.2f} | {frames / median:,.0f} "
            f"| {full / median:.0%} | {peak / 1024:.0f} |"
        )
    print(flush=True)


def main() -> None:
    """Prints Markdown: one table a file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--frames", type=int, default=1_000_000)
    parser.add_argument("--steady-frames", type=int, default=10_000_000, help="0: no such file")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--otic", default=str(ROOT / ".venv" / "bin" / "otic"))
    parser.add_argument("--without", default="", help="programs to leave out, comma-separated")
    options = parser.parse_args()
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    ).stdout.strip()
    print(
        f"commit {commit}, {os.cpu_count()} cores, {platform.machine()}, {options.rounds} rounds\n"
    )
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        commands, missing = programs(work, options.otic)
        if missing:
            print(f"left out: {', '.join(missing)}\n")
        unwanted = set(options.without.split(","))
        chosen = {name: commands[name] for name in commands if name not in unwanted}
        alone = {name: commands[name] for name in (CORE, REPLAY)}
        for title, kind, frames, who, base in (
            ("polling", "polling", options.frames, chosen, LOOP),
            ("mixed", "mixed", options.frames, chosen, LOOP),
            ("polling, end to end", "polling", options.steady_frames, alone, CORE),
        ):
            if frames:
                path = work / f"{kind}.pcap"
                traffic.write(path, kind, frames)
                compare(who, path, frames, title, rounds=options.rounds, base=base)
                path.unlink()


if __name__ == "__main__":
    main()
