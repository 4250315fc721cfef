"""Runs `make demo` as a newcomer would and looks at what it opened.

Waits for the address and the first password, logs in, reads devices, alerts and the console's first
page, stops the program as Ctrl-C does. Prints one line; exit code 1 when any of it fails.
"""

from __future__ import annotations

import os
import queue
import re
import signal
import ssl
import subprocess
import sys
import threading
import time
from http.cookiejar import CookieJar
from pathlib import Path
from urllib.request import HTTPCookieProcessor, HTTPSHandler, Request, build_opener

ROOT = Path(__file__).resolve().parents[1]
LONGEST_BUILD_S = 1200
LONGEST_STOP_S = 30
LONGEST_SHOW_S = 60
ADDRESS = re.compile(r"^Console: (https://127\.0\.0\.1:\d+/)$")
LOG_IN = re.compile(r"^First log-in: name (\S+), password (\S+)$")


class Demo:
    """`make demo` at work, and what it printed."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.process = subprocess.Popen(
            ["make", "--no-print-directory", "demo", "DEMO=--port 0"],
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self._waiting: queue.Queue[str | None] = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._waiting.put(line.rstrip("\n"))
        self._waiting.put(None)

    def wait_for(self, pattern: re.Pattern[str], until: float) -> re.Match[str]:
        """The first line that matches; fails when the program ends or time is over."""
        while True:
            line = self._waiting.get(timeout=max(0.1, until - time.monotonic()))
            if line is None:
                raise RuntimeError("make demo ended: " + " / ".join(self.lines[-5:]))
            self.lines.append(line)
            found = pattern.match(line)
            if found:
                return found

    def stop(self) -> None:
        """Ctrl-C; the whole group must be gone soon."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGINT)
            try:
                self.process.wait(LONGEST_STOP_S)
            except subprocess.TimeoutExpired:
                os.killpg(self.process.pid, signal.SIGKILL)
                raise RuntimeError("make demo does not stop at Ctrl-C") from None


def look(demo: Demo) -> str:
    """Logs in and reads; says what was there."""
    import json

    until = time.monotonic() + LONGEST_BUILD_S
    address = demo.wait_for(ADDRESS, until)[1]
    name, password = demo.wait_for(LOG_IN, until).groups()
    trusted = ssl.create_default_context()
    trusted.check_hostname = False
    trusted.verify_mode = ssl.CERT_NONE  # the certificate was made a second ago, for loopback
    browser = build_opener(HTTPSHandler(context=trusted), HTTPCookieProcessor(CookieJar()))

    def read(path: str, body: object = None) -> bytes:
        data = None if body is None else json.dumps(body).encode()
        request = Request(address + path, data, {"content-type": "application/json"})
        with browser.open(request, timeout=20) as answer:
            content: bytes = answer.read()
        return content

    session = json.loads(read("api/session", {"name": name, "password": password}))
    page = read("")
    if b"<script" not in page:
        raise RuntimeError("the console's first page holds no script")
    # The plant works before one's eyes: what there is to see comes with it.
    seen = {"devices": 0, "alerts": 0}
    shown_until = time.monotonic() + LONGEST_SHOW_S
    while not all(seen.values()):
        if time.monotonic() > shown_until:
            raise RuntimeError(f"the demo shows {seen} after {LONGEST_SHOW_S} s")
        time.sleep(0.5)
        seen = {what: json.loads(read(f"api/{what}"))["total"] for what in seen}
    return f"{session['name']} sees {seen['devices']} devices and {seen['alerts']} alerts"


def main() -> int:
    """0 when the demo works."""
    demo = Demo()
    try:
        said = look(demo)
        demo.stop()
    except (RuntimeError, OSError, ValueError, KeyError, queue.Empty) as error:
        print(f"smoke of make demo: failed: {type(error).__name__}: {error}")
        return 1
    finally:
        if demo.process.poll() is None:
            os.killpg(demo.process.pid, signal.SIGKILL)
    print(f"smoke of make demo: {said}; stopped cleanly")
    return 0


if __name__ == "__main__":
    sys.exit(main())
