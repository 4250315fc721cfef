"""Memory of a live sensor with a large plant: `python bench/memory.py [--seconds N]`.

A made capture of so many devices and connections comes to the sensor over a pipe, over and over. A
person is logged in and looks at the lists and the map. Prints the memory of capture, analysis and
web, their sum, and the budget; exit code 1 above it. What several processes share (libraries)
counts once: each has its part. No rights are needed.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import ssl
import sys
import tempfile
import threading
import time
from http.cookiejar import CookieJar
from pathlib import Path
from urllib.request import HTTPCookieProcessor, HTTPSHandler, OpenerDirector, Request, build_opener

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "bench")]

import traffic  # noqa: E402
from support.sensor import Sensor  # noqa: E402

BUDGET_MB = 500
"""Most megabytes of the three together, for 12,000 devices and 100,000 connections."""

SETTINGS = """
[[interface]]
name = "plant"
pipe = "{pipe}"
[ring]
bytes = 1_000_000_000
[console]
port = 0
"""

PATHS = ("overview", "devices?limit=100", "connections?limit=100", "operations?limit=100")
PATHS += ("alerts?limit=100", "map", "capture")
LOOK_S = 2
PATIENCE_S = 300
PROCESSES = ("capture", "analysis", "web")


def feed(pipe: Path, frames: list[bytes], rate: int, stop: threading.Event) -> None:
    """Writes the frames into the pipe with the time it is, so many a second, until told to stop."""
    with pipe.open("wb") as file:
        file.write(traffic.file_header())
        begun = time.monotonic()
        sent = 0
        while not stop.is_set():
            now_s = time.time()
            some = [frames[(sent + at) % len(frames)] for at in range(rate // 50)]
            try:
                file.write(b"".join(traffic.record(frame, now_s) for frame in some))
                file.flush()
            except BrokenPipeError:
                return
            sent += len(some)
            time.sleep(max(0.0, begun + sent / rate - time.monotonic()))


def memory_mb(process: int) -> float:
    """Memory of a process in megabytes: pages of its own and its part of shared ones."""
    rollup = Path(f"/proc/{process}/smaps_rollup").read_text(encoding="ascii")
    found = re.search(r"^Pss:\s+(\d+) kB", rollup, re.M)
    assert found is not None
    return int(found[1]) * 1024 / 1e6


def person(sensor: Sensor) -> tuple[str, OpenerDirector]:
    """Somebody who is logged in at the console, and where it is."""
    log = sensor.log()
    address = re.search(r"^Console: (\S+)$", log, re.M)
    known = re.search(r"^First log-in: name (\S+), password (\S+)$", log, re.M)
    assert address is not None, log[-2000:]
    assert known is not None, log[-2000:]
    # The certificate is the sensor's own, made a moment ago.
    trust = ssl.create_default_context()
    trust.check_hostname, trust.verify_mode = False, ssl.CERT_NONE
    opener = build_opener(HTTPSHandler(context=trust), HTTPCookieProcessor(CookieJar()))
    body = json.dumps({"name": known[1], "password": known[2]}).encode()
    opener.open(Request(f"{address[1]}api/session", body, {"content-type": "application/json"}))
    return address[1], opener


def main() -> int:
    """0 within the budget."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--devices", type=int, default=12_000)
    parser.add_argument("--connections", type=int, default=100_000)
    parser.add_argument("--rate", type=int, default=5_000)
    parser.add_argument("--seconds", type=int, default=120)
    options = parser.parse_args()
    frames = list(traffic.large_plant(options.devices, options.connections))
    with tempfile.TemporaryDirectory() as folder:
        pipe = Path(folder) / "pipe"
        os.mkfifo(pipe)
        stop = threading.Event()
        feeding = threading.Thread(target=feed, args=(pipe, frames, options.rate, stop))
        feeding.start()
        sensor = Sensor(Path(folder) / "data", SETTINGS.format(pipe=pipe))
        try:
            return measure(sensor, options)
        finally:
            stop.set()
            sensor.close()
            feeding.join()


def measure(sensor: Sensor, options: argparse.Namespace) -> int:
    """Waits until all is known, watches, prints."""

    def count(table: str) -> int:
        found: int = sensor.read(f"SELECT count(*) FROM {table}")[0][0] or 0
        return found

    sensor.until(lambda: count("connections") >= options.connections, PATIENCE_S)
    sensor.until(lambda: count("devices") >= options.devices, PATIENCE_S)
    address, opener = person(sensor)
    processes = {name: sensor.process_id(name) or 0 for name in PROCESSES}
    seen: list[list[float]] = []
    end = time.monotonic() + options.seconds
    while time.monotonic() < end:
        for path in PATHS:
            with opener.open(f"{address}api/{path}") as answer:
                answer.read()
            seen.append([memory_mb(process) for process in processes.values()])
        time.sleep(LOOK_S)
    print(f"{count('devices'):,} devices, {count('connections'):,} connections")
    print(f"{sensor.frames():,} frames read, lost {sensor.drops()}")
    print("\n| process | MB now | MB at most |\n|---|---|---|")
    for name, told in zip(processes, zip(*seen, strict=True), strict=True):
        print(f"| {name} | {told[-1]:.0f} | {max(told):.0f} |")
    sums = [sum(told) for told in seen]
    print(f"| together | {sums[-1]:.0f} | {max(sums):.0f} |")
    within = max(sums) <= BUDGET_MB
    print(f"\nbudget {BUDGET_MB} MB: {'kept' if within else 'NOT kept'}")
    return 0 if within else 1


if __name__ == "__main__":
    sys.exit(main())
