"""A live sensor as a person would run it, and what its store says."""

from __future__ import annotations

import json
import signal
import sqlite3
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from otic.folder import DataFolder
from otic.journal.fold import Totals
from otic.status import read_status
from support.program import COMMAND

START_S = 30
PATIENCE_S = 20


class Sensor:
    """`otic sensor` on a data folder."""

    def __init__(
        self,
        path: Path,
        settings: str,
        enter: list[str] | None = None,
        command: list[str] = COMMAND,
    ) -> None:
        """Starts it; `enter` is put in front of the command, to run it in a namespace."""
        self.folder = DataFolder(path)
        path.mkdir(exist_ok=True)
        self.folder.settings.write_text(settings)
        self._enter = [*(enter or []), *command]
        self._log = (path / "log").open("ab")
        self.start()

    def start(self) -> None:
        """Starts it (again) and waits until it listens."""
        before = self.read("SELECT max(last_ns) FROM interfaces")[0][0] or 0
        self.process = subprocess.Popen(
            [*self._enter, *self.arguments()],
            stdout=self._log,
            stderr=self._log,
        )
        self.until(lambda: (self.read("SELECT max(last_ns) FROM interfaces")[0][0] or 0) > before)

    def arguments(self) -> list[str]:
        """What follows the program's name."""
        return ["sensor", "--data", str(self.folder.path)]

    def read(self, query: str) -> list[Any]:
        """Rows of the store; one row of nothing while there is none."""
        if not self.folder.database.exists():
            return [(None,)]
        connection = sqlite3.connect(f"file:{self.folder.database}?mode=ro", uri=True)
        try:
            return connection.execute(query).fetchall()
        except sqlite3.OperationalError:
            return [(None,)]
        finally:
            connection.close()

    def until(self, holds: Callable[[], bool], patience_s: float = PATIENCE_S) -> None:
        """Waits until something holds."""
        end = time.monotonic() + patience_s
        while not holds():
            assert time.monotonic() < end, self.log()[-3000:]
            assert self.process.poll() is None, self.log()[-3000:]
            time.sleep(0.05)

    def frames(self) -> int:
        """Frames that its interfaces read, as the store says."""
        found: int = self.read("SELECT sum(frames) FROM interfaces")[0][0] or 0
        return found

    def drops(self) -> dict[str, int]:
        """Frames lost, by cause."""
        sums: dict[str, int] = {}
        for (packed,) in self.read("SELECT drops FROM interfaces"):
            for cause, count in msgspec.msgpack.decode(packed, type=dict[str, int]).items():
                sums[cause] = sums.get(cause, 0) + count
        return sums

    def not_kept(self) -> int:
        """Frames that the packet ring did not get."""
        ((packed,),) = self.read("SELECT coverage FROM positions WHERE stream = 'facts'")
        capped = msgspec.msgpack.decode(packed, type=Totals).capped
        return sum(count for name, count in capped.items() if name.startswith("packet-ring-"))

    def process_id(self, name: str) -> int | None:
        """The process of this name."""
        status = read_status(self.folder.status)
        found = [one.pid for one in status.processes if one.name == name] if status else []
        return found[0] if found else None

    def log(self) -> str:
        """Everything it logged."""
        return (self.folder.path / "log").read_text()

    def events(self, name: str) -> list[dict[str, Any]]:
        """Log records of this name."""
        lines = [line for line in self.log().splitlines() if line.startswith("{")]
        return [row for line in lines if (row := json.loads(line)).get("event") == name]

    def stop(self) -> None:
        """Ends it as systemd does."""
        if self.process.poll() is None:
            # More than once, as an impatient person does: one must not stop another.
            for _ in range(50):
                self.process.send_signal(signal.SIGTERM)
            assert self.process.wait(60) == 0, self.log()[-3000:]

    def close(self) -> None:
        """Ends it whatever happened."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self._log.close()
