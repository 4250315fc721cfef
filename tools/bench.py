"""Measures the packet core and whole replays on a capture of steady traffic that it makes itself.

Prints frames/s, MB/s and peak memory of: the core alone, `otic replay` (analysis included), and,
where tcpdump is installed, a bare libpcap read loop on the same file in the same run.
"""

from __future__ import annotations

import argparse
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from support.frames import MS_NS, START_NS, Host, Timed, arp, polling, write_pcap  # noqa: E402

CORE = """
import sys
from otic._core import Replay
batches = bytes_ = 0
for batch in Replay([sys.argv[1]], threads=int(sys.argv[2])):
    batches += 1
    bytes_ += len(batch)
"""


def steady(frames: int) -> list[Timed]:
    """Forty cells of a polling client and a server each, for as long as it takes."""
    made: list[Timed] = []
    cells = 40
    rounds = frames // cells // 2
    for cell in range(cells):
        client = Host(mac=f"02:00:00:00:{cell:02x}:01", ip=f"10.0.{cell}.1")
        server = Host(mac=f"02:00:00:00:{cell:02x}:02", ip=f"10.0.{cell}.2")
        begin = START_NS + cell * MS_NS // 3
        made.append((begin - 1000, arp(client.mac, client.ip, server.ip)))
        made += polling(client, server, rounds=rounds, at_ns=begin)
    return sorted(made, key=lambda frame: frame[0])


def measure(command: list[str], runs: int) -> tuple[float, int]:
    """Median seconds of a command, and the peak memory of this and earlier children in MiB."""
    seconds = []
    for _ in range(runs):
        begun = time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        seconds.append(time.perf_counter() - begun)
    return statistics.median(seconds), resource.getrusage(
        resource.RUSAGE_CHILDREN
    ).ru_maxrss // 1024


def main() -> int:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--frames", type=int, default=1_000_000)
    parser.add_argument("--runs", type=int, default=3)
    options = parser.parse_args()
    python = str(ROOT / ".venv" / "bin" / "python")
    with tempfile.TemporaryDirectory(prefix="otic-bench-") as folder:
        frames = steady(options.frames)
        count = len(frames)
        capture = write_pcap(Path(folder) / "steady.pcap", frames)
        del frames
        size = capture.stat().st_size
        commands = {
            "core alone, 1 thread": [python, "-c", CORE, str(capture), "1"],
            "core alone, 2 threads": [python, "-c", CORE, str(capture), "2"],
            "otic replay, 1 thread": [
                *[python, "-m", "otic", "replay", str(capture)],
                *["--format", "json", "--quiet"],
            ],
        }
        if shutil.which("tcpdump"):
            commands = {
                "bare libpcap loop (tcpdump -w)": [
                    *["tcpdump", "-r", str(capture), "-w", "/dev/null"]
                ],
                **commands,
            }
        print(f"{count} frames, {size / 1e6:.0f} MB, median of {options.runs} runs\n")
        print("| what | seconds | frames/s | MB/s |\n|---|---|---|---|")
        memory = 0
        for name, command in commands.items():
            seconds, memory = measure(command, options.runs)
            print(
                f"| {name} | {seconds:.2f} | {count / seconds:,.0f} | {size / seconds / 1e6:,.0f} |"
            )
        print(f"\nPeak memory of any of them: {memory} MiB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
