"""`otic demo`: a plant that works before one's eyes, and a live sensor on it."""

from __future__ import annotations

import os
import tempfile
import threading
import time
from pathlib import Path

from otic.cli.stopping import until_signalled
from otic.errors import OticError
from otic.folder import DataFolder
from otic.plant import demo as plant
from otic.plant.play import play
from otic.sensor.supervisor import Supervisor, command_for

PIPE = "plant.pcap"

SETTINGS = """\
# Settings of `otic demo`: the plant's frames come out of a pipe instead of a mirror port.
learning_s = {learning_s}

[[interface]]
name = "plant"
pipe = '{pipe}'

[ring]
bytes = 200_000_000

[console]
host = "{host}"
port = {port}
tls = {tls}
"""


def run(*, host: str, port: int, tls: bool, data: Path | None) -> int:
    """Runs a sensor on the demo plant until it is stopped."""
    if data is not None:
        return _show(DataFolder(data), host, port, tls)
    with tempfile.TemporaryDirectory(prefix="otic-demo-") as path:
        return _show(DataFolder(Path(path)), host, port, tls)


def _show(folder: DataFolder, host: str, port: int, tls: bool) -> int:
    folder.create()
    pipe = folder.path / PIPE
    try:
        if not pipe.exists():
            os.mkfifo(pipe)
        text = SETTINGS.format(
            learning_s=plant.LEARN_S, pipe=pipe, host=host, port=port, tls=str(tls).lower()
        )
        folder.settings.write_text(text, encoding="utf-8")
        log = (folder.path / "demo.log").open("ab")
    except OSError as error:
        raise OticError(f"{folder.path}: {error.strerror}") from None
    stopped = until_signalled()
    frames = plant.live(time.time_ns())
    threading.Thread(target=play, args=(frames, pipe, stopped), name="plant", daemon=True).start()
    print(
        f"A bottling plant works before your eyes. Otic learns it for {plant.LEARN_S} seconds;\n"
        f"after {plant.VISIT_S} seconds a visitor comes who changes what they should not.\n"
        "Ctrl-C ends it.",
        flush=True,
    )
    with log:
        Supervisor(folder, command_for(folder, None), config=folder.settings, log_to=log).run(
            stopped
        )
    return 0
