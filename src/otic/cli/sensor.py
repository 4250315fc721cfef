"""`otic sensor`: capture, analysis and console of one data folder."""

from __future__ import annotations

from pathlib import Path

from otic.cli.stopping import until_signalled
from otic.errors import SettingsError
from otic.folder import DataFolder
from otic.logs import configure_logs
from otic.sensor.supervisor import Supervisor, command_for
from otic.settings import load


def run(*, data: Path, config: Path | None) -> int:
    """Runs the sensor until it is told to stop."""
    configure_logs()
    folder = DataFolder(data)
    path = config or folder.settings_if_there()
    settings = load(path)
    if not settings.interface:
        raise SettingsError(
            f"{(path or folder.settings).name}: names no [[interface]] to listen on"
        )
    folder.create()
    stopped = until_signalled()
    Supervisor(folder, command_for(folder, path), config=path).run(stopped)
    return 0
