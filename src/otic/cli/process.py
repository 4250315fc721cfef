"""One process of a sensor, as the supervisor starts it: `python -m otic.cli.process NAME DATA`.

It ends when its standard input does: that is how the supervisor tells it to, and what happens when
the supervisor dies.
"""

from __future__ import annotations

import gc
import os
import select
import signal
import sys
import threading
from pathlib import Path

from otic.cli import NEW_OBJECTS, refuse
from otic.errors import OticError
from otic.folder import DataFolder
from otic.logs import configure_logs
from otic.plugins.pool import use_or_go_without
from otic.sensor.protocols import take_or_go_without
from otic.settings import Settings, load

STORE_S = 0.1
"""How often the console looks whether analysis made the store."""


def main(arguments: list[str]) -> int:
    """Runs the process that the arguments name."""
    gc.set_threshold(NEW_OBJECTS)
    configure_logs()
    name, data, *config = arguments
    folder = DataFolder(Path(data))
    try:
        named = Path(config[0]) if config else None
        settings = load(named or folder.settings_if_there())
        take_or_go_without(settings.protocols)
        use_or_go_without(settings.plugins)
        return _RUN[name](folder, settings, named or folder.settings)
    except OticError as error:
        refuse(f"{name}: {error}")


def _until_input_ends() -> threading.Event:
    ended = threading.Event()

    signalled, signal_it = os.pipe()

    def watch() -> None:
        # Not sys.stdin: its lock would be held while the interpreter ends.
        while True:
            ready, _, _ = select.select([0, signalled], [], [])
            if signalled in ready or not os.read(0, 4096):
                break
        ended.set()

    threading.Thread(target=watch, name="supervisor", daemon=True).start()
    for number in (signal.SIGTERM, signal.SIGINT):
        # A handler takes no lock: it may interrupt itself.
        signal.signal(number, lambda *_: os.write(signal_it, b"."))
    return ended


def _capture(folder: DataFolder, settings: Settings, _: Path) -> int:
    from otic.sensor.capture import Control, run

    control = Control()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: setattr(control, "ended", True))
    return run(folder, settings, control)


def _analysis(folder: DataFolder, settings: Settings, _: Path) -> int:
    from otic.sensor.analyst import Analyst
    from otic.sensor.rights import leave_the_wire
    from otic.store.database import Database
    from otic.store.engine import prepare

    leave_the_wire()
    ended = _until_input_ends()
    prepare(folder.database)
    Analyst(folder, settings, Database(folder.database, settings)).run(ended.is_set)
    return 0


def _web(folder: DataFolder, settings: Settings, config: Path) -> int:
    from otic.api.app import serve
    from otic.sensor.rights import leave_the_wire
    from otic.store.engine import prepare
    from otic.store.queries.common import Store

    leave_the_wire()
    ended = _until_input_ends()
    prepare(folder.people)
    while not folder.database.exists():
        if ended.wait(STORE_S):
            return 0
    console = settings.console
    store = Store(folder.database, scope=settings.scope(), people=folder.people, live=folder)
    serve(
        store,
        keys=folder.keys,
        host=console.host,
        port=console.port,
        tls=console.tls,
        ended=ended,
        config=config,
    )
    return 0


_RUN = {"capture": _capture, "analysis": _analysis, "web": _web}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
