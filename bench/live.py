"""A live sensor under load: `python bench/live.py [--rate N] [--seconds N]`; needs root.

A sensor listens on one end of a cable between two network namespaces, with the packet ring on.
The other end sends OT polling at a steady rate; beside it, every second, a host that nobody knows
speaks for the first time. Prints what was sent, read and lost, and how long it took from the
unknown host's frame on the cable until its alert could be read in the store.

Then another sensor with the smallest ring meets rising rates, the last three times as much as the
sender can give while capture gets no processor for half a second: what was sent must be what was
read and what was lost, by cause, to the frame.
"""

from __future__ import annotations

import argparse
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "bench")]

import traffic  # noqa: E402
from support.cable import PLANT, Cable  # noqa: E402
from support.frames import arp  # noqa: E402
from support.sensor import Sensor  # noqa: E402

RATES = (50_000, 100_000, 200_000, 400_000)
OVERLOADS = 3
FULL_RATE, FULL_S = 2_000_000, 2
"""More than a sender can give: it gives that many frames as fast as it can."""

SETTINGS = """
learning_s = 3
[[interface]]
name = "mon0"
ring_bytes = {ring_bytes}
[ring]
bytes = 4_000_000_000
[console]
port = 0
"""

STRANGER = """
import socket, sys, time
out = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
out.bind((sys.argv[1], 0))
for line in sys.stdin:
    out.send(bytes.fromhex(line))
    print(time.monotonic_ns(), flush=True)
"""


def stranger(number: int) -> tuple[str, bytes]:
    """An unknown host's MAC, and a frame in which it says what address it has."""
    ip = f"10.99.{number // 250}.{number % 250 + 1}"
    mac = bytes([0x02, 0x99, 0, 0, number >> 8 & 255, number & 255]).hex(":")
    return mac, arp(mac, ip, ip)


def cpu_seconds(process: int) -> float:
    """Processor time of a process."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(") ")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100


def memory_mib(process: int) -> float:
    """Resident memory of a process."""
    for line in Path(f"/proc/{process}/status").read_text().splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1]) / 1024
    return float("nan")


def main() -> int:
    """0 when no frame was lost at the rate, and every one was counted at the others."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rate", type=int, default=220_000)
    parser.add_argument("--seconds", type=int, default=600)
    parser.add_argument("--kind", default="polling")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        subprocess.run(["cc", "-O2", "-o", work / "send", ROOT / "bench" / "send.c"], check=True)
        capture = work / "load.pcap"
        traffic.write(capture, options.kind, 200_000)
        worst = 0
        for part, ring_bytes in ((measure, 67_108_864), (rising, 2_097_152)):
            cable = Cable()
            data = work / f"data-{part.__name__}"
            settings = SETTINGS.format(ring_bytes=ring_bytes)
            sensor = Sensor(data, settings, cable.enter(cable.sensor))
            try:
                worst = max(worst, part(options, work, capture, cable, sensor))
            finally:
                sensor.close()
                cable.close()
        return worst


def rising(
    options: argparse.Namespace, work: Path, capture: Path, cable: Cable, sensor: Sensor
) -> int:
    """Sends faster and faster, and compares the counts of each run."""
    runs = [(rate, 5) for rate in RATES] + [(FULL_RATE, FULL_S)] * OVERLOADS
    print("\n| wanted/s | sent/s | sent | read | lost | sent = read + lost |")
    print("|---|---|---|---|---|---|")
    wrong = overloads = 0
    before, lost_before = sensor.frames(), sensor.drops()
    for rate, seconds in runs:
        words = [str(work / "send"), str(capture), PLANT, str(rate), str(seconds)]
        sending = subprocess.Popen(
            cable.enter(cable.plant, *words), stdout=subprocess.PIPE, text=True
        )
        if rate == FULL_RATE:
            capturing = sensor.process_id("capture") or 0
            os.kill(capturing, signal.SIGSTOP)
            time.sleep(0.5)
            os.kill(capturing, signal.SIGCONT)
        sent, reached = sending.communicate()[0].split()
        so_far = before + sum(lost_before.values()) + int(sent)
        sensor.until(lambda all_=so_far: sensor.frames() + sum(sensor.drops().values()) >= all_, 60)  # type: ignore[misc]
        time.sleep(2)  # What is counted too often would show by now.
        frames, drops = sensor.frames(), sensor.drops()
        read = frames - before
        lost = {cause: count - lost_before.get(cause, 0) for cause, count in drops.items()}
        exact = read + sum(lost.values()) == int(sent)
        wrong += not exact
        overloads += rate == FULL_RATE and any(lost.values())
        told = ", ".join(f"{cause} {count:,}" for cause, count in lost.items() if count) or "0"
        print(
            f"| {rate:,} | {float(reached):,.0f} | {int(sent):,} | {read:,} | {told}"
            f" | {'yes' if exact else 'NO'} |",
            flush=True,
        )
        before, lost_before = frames, drops
    print(f"\noverload runs that lost frames: {overloads} of {OVERLOADS}")
    return 1 if wrong or overloads < OVERLOADS else 0


def measure(
    options: argparse.Namespace, work: Path, capture: Path, cable: Cable, sensor: Sensor
) -> int:
    """Sends, watches, prints."""
    # Everything in the load is known before it is measured.
    warm = subprocess.run(
        cable.enter(cable.plant, str(work / "send"), str(capture), PLANT, "50000", "4"),
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    sensor.until(lambda: bool(sensor.events("learning_finished")), 60)
    sent = int(warm.stdout.split()[0])
    sensor.until(lambda: sensor.frames() >= sent)
    names = ("capture", "analysis", "web")
    processes = {name: sensor.process_id(name) or 0 for name in names}
    before = {name: cpu_seconds(process) for name, process in processes.items()}

    load = subprocess.Popen(
        cable.enter(
            cable.plant, str(work / "send"), str(capture), PLANT,
            str(options.rate), str(options.seconds),
        ),
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    speaking = subprocess.Popen(
        cable.enter(cable.plant, sys.executable, "-c", STRANGER, PLANT),
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert speaking.stdin is not None
    assert speaking.stdout is not None
    delays: list[float] = []
    missing = strangers = 0
    while load.poll() is None:
        host, frame = stranger(strangers)
        strangers += 1
        speaking.stdin.write(frame.hex() + "\n")
        speaking.stdin.flush()
        at_ns = int(speaking.stdout.readline())
        query = f"SELECT count(*) FROM alert_parties WHERE address = '{host}'"
        end = time.monotonic() + 10
        while not (sensor.read(query)[0][0] or 0):
            if time.monotonic() > end:
                missing += 1
                break
            time.sleep(0.005)
        else:
            delays.append((time.monotonic_ns() - at_ns) / 1e9)
        time.sleep(max(0, 1 - (time.monotonic_ns() - at_ns) / 1e9))
    speaking.stdin.close()
    count, reached = (load.stdout.read() if load.stdout else "0 0").split()
    sent += int(count) + strangers
    sensor.until(lambda: sensor.frames() + sum(sensor.drops().values()) >= sent, 60)
    used = {name: cpu_seconds(process) - before[name] for name, process in processes.items()}
    memory = {name: memory_mib(process) for name, process in processes.items()}
    lost = sensor.drops()
    print(f"{options.kind}, wanted {options.rate:,} frames/s for {options.seconds} s")
    print(f"sent {sent:,} ({float(reached):,.0f} a second), read {sensor.frames():,}, lost {lost}")
    exact = sensor.frames() + sum(lost.values()) == sent
    print(f"sent = read + lost: {'yes' if exact else 'NO'}")
    if delays:
        delays.sort()
        print(
            f"frame to alert, {len(delays)} hosts: median {statistics.median(delays):.3f} s,"
            f" p99 {delays[int(len(delays) * 0.99)]:.3f} s, longest {delays[-1]:.3f} s,"
            f" never seen {missing}"
        )
    for name in names:
        share = used[name] / options.seconds
        print(f"{name}: {share:.0%} of a processor, {memory[name]:.0f} MiB at most")
    return 0 if exact and not any(lost.values()) and not missing else 1


if __name__ == "__main__":
    sys.exit(main())
