"""Reads the same polling as Modbus and as a definition of it: `python bench/definitions.py`.

The core reads both files in turn with one thread; the ratio is what a definition costs beside a
dissector in Rust.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import traffic
from otic import _core
from otic.facts import decode_batch

DEFINITION = Path(__file__).with_name("definition.toml")
IDENTIFIER = 14 + 20 + 20 + 2
"""Where Modbus's protocol identifier is in a frame of these files."""


def write(path: Path, frames: int, *, defined: bool) -> None:
    """Polling, with the definition's protocol identifier or with Modbus's."""
    with path.open("wb") as file:
        file.write(traffic.file_header())
        for number, frame in enumerate(traffic.frames("polling", frames)):
            if defined:
                frame = frame[:IDENTIFIER] + b"\x0b\x0b" + frame[IDENTIFIER + 2 :]
            file.write(traffic.record(frame, traffic.START_S + number / 50_000))


def read(path: Path) -> tuple[float, int]:
    """Seconds to read a capture, and operations that were told."""
    started = time.perf_counter()
    batches = list(_core.Replay([str(path)]))
    seconds = time.perf_counter() - started
    return seconds, sum(len(decode_batch(batch).operations) for batch in batches)


def main() -> None:
    """Prints one table in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--frames", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    _core.define([(DEFINITION.name, DEFINITION.read_text(encoding="utf-8"))])
    with tempfile.TemporaryDirectory() as folder:
        paths = {name: Path(folder) / f"{name}.pcap" for name in ("dissector", "definition")}
        for name, path in paths.items():
            write(path, options.frames, defined=name == "definition")
        seconds: dict[str, list[float]] = {name: [] for name in paths}
        operations = {}
        for _ in range(options.rounds):
            for name, path in paths.items():
                taken, operations[name] = read(path)
                seconds[name].append(taken)
    medians = {name: statistics.median(taken) for name, taken in seconds.items()}
    print(f"**polling, {options.frames:,} frames, one thread, {options.rounds} rounds**\n")
    print("| read by | seconds (median) | frames/s | of the dissector | operations |")
    print("|---|---|---|---|---|")
    for name, median in medians.items():
        print(
            f"| {name} | {median:.2f} | {options.frames / median:,.0f} "
            f"| {medians['dissector'] / median:.0%} | {operations[name]} |"
        )


if __name__ == "__main__":
    main()
