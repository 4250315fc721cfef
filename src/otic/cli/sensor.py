"""`otic sensor`: capture, analysis and console of one data folder."""

from __future__ import annotations

from pathlib import Path

from otic.cli.stopping import until_signalled
from otic.folder import DataFolder
from otic.logs import configure_logs
from otic.sensor.supervisor import Supervisor, command_for
from otic.settings import load


def run(*, data: Path, config: Path | None) -> int:
    """Runs the sensor until it is told to stop."""
    configure_logs()
    folder = DataFolder(data)
    settings = load(config or folder.settings_if_there())
    folder.create()
    if not settings.interface:
        name = (config or folder.settings).name
        print(
            f"{name} names no [[interface]]: nothing is monitored yet.\n"
            "Open the console and log in as an administrator to set the sensor up.",
            flush=True,
        )
    stopped = until_signalled()
    command = command_for(folder, config)
    Supervisor(folder, command, config=config or folder.settings).run(stopped)
    return 0
