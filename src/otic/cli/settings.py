"""`otic settings`: the settings that hold, with the defaults, as an `otic.toml`."""

from __future__ import annotations

from pathlib import Path

from otic.cli import DONE
from otic.folder import DataFolder
from otic.sensor.settings_file import as_toml
from otic.settings import load


def run(*, data: Path | None, config: Path | None) -> int:
    """Prints the settings."""
    path = config or (DataFolder(data).settings_if_there() if data is not None else None)
    print(f"# {path.name}, and the defaults" if path is not None else "# the defaults")
    print("\n".join(as_toml(load(path))))
    return DONE
