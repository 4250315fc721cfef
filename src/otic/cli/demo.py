"""`otic demo`: a small plant made of frames, and the console on it."""

from __future__ import annotations

import tempfile
from pathlib import Path

from otic.cli.replay import run as replay
from otic.errors import OticError
from otic.plant import demo as plant


def run(*, host: str, port: int, tls: bool, data: Path | None) -> int:
    """Writes the demo capture, learns its quiet part, and serves the console."""
    if data is not None:
        try:
            data.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OticError(f"{data}: {error.strerror}") from None
        return _show(data, host, port, tls)
    with tempfile.TemporaryDirectory(prefix="otic-demo-") as folder:
        return _show(Path(folder), host, port, tls)


def _show(folder: Path, host: str, port: int, tls: bool) -> int:
    capture = folder / "bottling-plant.pcapng"
    plant.write(capture)
    return replay(
        [capture],
        as_json=False,
        threads=1,
        database=folder / "demo.db",
        serve=True,
        host=host,
        port=port,
        tls=tls,
        learn=[],
        learn_until=None,
        learn_fraction=plant.LEARN_FRACTION,
        baseline=None,
        save_baseline=None,
        config=None,
        space_by=[],
        quiet=False,
    )
