"""The sensor's data folder: where everything it keeps is."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import msgspec

from otic.errors import OticError

SUBFOLDERS = ("journal", "packets", "packets/pinned", "keys")


class DataFolder(msgspec.Struct, frozen=True):
    """Places in one data folder; processes of one sensor share it."""

    path: Path

    PROOF: ClassVar[str] = "capture-rights.json"
    """In the journal folder: what the kernel said of the rights of the capture process."""

    @property
    def settings(self) -> Path:
        """`otic.toml`: what people told this sensor."""
        return self.path / "otic.toml"

    @property
    def journal(self) -> Path:
        """Segments of the streams `facts` (written by capture) and `decisions` (by analysis)."""
        return self.path / "journal"

    def canary(self, process: str) -> Path:
        """Which canaries passed the stages of this process; it writes that itself."""
        # Among the journal's segments: capture may write nowhere else.
        return self.journal / f"canary-{process}.json"

    @property
    def packets(self) -> Path:
        """The packet ring."""
        return self.path / "packets"

    @property
    def keys(self) -> Path:
        """Certificate and keys of this sensor, readable by it alone."""
        return self.path / "keys"

    @property
    def database(self) -> Path:
        """The store; analysis is its only writer."""
        return self.path / "store.db"

    @property
    def people(self) -> Path:
        """People who may log in, and their sessions; the console is its only writer."""
        return self.path / "people.db"

    @property
    def pins(self) -> Path:
        """Frames that prove alerts, kept when the packet ring has moved on."""
        return self.packets / "pinned"

    @property
    def baseline(self) -> Path:
        """What was learned, as text."""
        return self.path / "baseline.txt"

    @property
    def analysis_socket(self) -> Path:
        """Where analysis takes decisions."""
        return self.path / "analysis.sock"

    @property
    def status(self) -> Path:
        """What the supervisor says of its processes, anew every second."""
        return self.path / "status.json"

    def settings_if_there(self) -> Path | None:
        """`otic.toml`, when there is one."""
        return self.settings if self.settings.exists() else None

    def create(self) -> None:
        """Makes the folder and those in it.

        Raises:
            OticError: it cannot be made.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            for name in SUBFOLDERS:
                mode = 0o700 if name == "keys" else 0o755
                (self.path / name).mkdir(mode=mode, exist_ok=True)
        except OSError as error:
            raise OticError(f"{self.path}: {error.strerror}") from None
