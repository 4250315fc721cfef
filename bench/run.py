"""Compares readers side by side in one run: `python bench/run.py [--frames N] [--rounds N]`.

For each file and program: frames a second (median of the rounds), the ratio to a bare libpcap
loop, and peak memory of the process. The programs take turns, so that a drift of the machine's
speed meets all alike. Programs that are not installed are named and left out.
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


def programs(work: Path, otic: str) -> dict[str, list[str]]:
    """Name -> command, `{}` for the file."""
    found: dict[str, list[str]] = {}
    loop = work / "pcap_loop"
    if shutil.which("cc"):
        built = subprocess.run(
            ["cc", "-O2", "-o", loop, ROOT / "bench" / "pcap_loop.c", "-lpcap"], check=False
        )
        if built.returncode == 0:
            found["libpcap loop"] = [str(loop), "{}"]
    subprocess.run(
        ["cargo", "build", "--release", "--quiet", "-p", "otic-engine", "--example", "core_rate"],
        cwd=ROOT / "core",
        check=True,
    )
    rate = str(ROOT / "core" / "target" / "release" / "examples" / "core_rate")
    found["otic core, 1 thread"] = [rate, "1", "{}"]
    found["otic core, 2 threads"] = [rate, "2", "{}"]
    found["otic replay"] = [otic, "replay", "{}", "--format", "json"]
    if shutil.which("ndpiReader"):
        found["nDPI reader"] = ["ndpiReader", "-q", "-i", "{}"]
    if shutil.which("tshark"):
        found["tshark"] = ["tshark", "-n", "-q", "-r", "{}", "-z", "io,phs"]
    return found


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


def main() -> None:
    """Prints one Markdown table a file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--frames", type=int, default=1_000_000)
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
        chosen = programs(work, options.otic)
        for name in filter(None, options.without.split(",")):
            chosen.pop(name, None)
        for kind in ("polling", "mixed"):
            path = work / f"{kind}.pcap"
            traffic.write(path, kind, options.frames)
            seconds: dict[str, list[float]] = {name: [] for name in chosen}
            memory: dict[str, int] = {}
            for _ in range(options.rounds):
                for name, command in chosen.items():
                    taken, peak = run(command, path)
                    seconds[name].append(taken)
                    memory[name] = max(memory.get(name, 0), peak)
            size = path.stat().st_size
            print(
                f"**{kind}**: {options.frames:,} frames,"
                f" {size / options.frames - 16:.0f} bytes each\n"
            )
            print("| program | seconds (median) | frames/s | of libpcap | peak MiB |")
            print("|---|---|---|---|---|")
            base = statistics.median(seconds.get("libpcap loop", [float("nan")]))
            for name, taken in seconds.items():
                median = statistics.median(taken)
                print(
                    f"| {name} | {median:.2f} | {options.frames / median:,.0f} "
                    f"| {base / median:.0%} | {memory[name] / 1024:.0f} |"
                )
            print(flush=True)


if __name__ == "__main__":
    main()
