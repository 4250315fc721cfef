"""`otic packets`: frames out of the packet ring of a sensor, as a pcapng file."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from pathlib import Path

from otic.cli import DONE
from otic.errors import OticError
from otic.folder import DataFolder
from otic.sensor.slices import write
from otic.settings import load
from otic.store.queries import packets as queries
from otic.store.queries import people
from otic.store.queries.common import Store

BY = "command line"


def run(
    *,
    data: Path,
    output: Path,
    start: str | None,
    end: str | None,
    hosts: list[str],
    port: int | None,
    device: str | None,
    connection: str | None,
    alert: str | None,
) -> int:
    """Writes the frames and says how many there are."""
    if output.exists():
        raise OticError(f"{output}: is there already")
    folder = DataFolder(data)
    settings = load(folder.settings_if_there())
    store = Store(folder.database, scope=settings.scope(), people=folder.people, live=folder)
    asked = queries.Asked(
        start_ns=_ns("--from", start),
        end_ns=_ns("--to", end),
        hosts=hosts,
        port=port,
        device=device,
        connection=connection,
        alert=alert,
    )
    wanted = queries.wanted(store, asked)
    if wanted.start_ns > wanted.end_ns:
        raise OticError("--to is before --from")
    written = write(folder, wanted, output, sensor=store.scope["sensor"])
    people.note(
        store,
        by=BY,
        action="packets-downloaded",
        target=f"ring: {wanted.why}"[:500],
        now_ns=time.time_ns(),
    )
    store.close()
    rest = "; there were more, it was cut" if written.cut else ""
    print(f"{output}: {written.frames} frames, {written.bytes} bytes{rest}")
    return DONE


def _ns(option: str, text: str | None) -> int | None:
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise OticError(f"{option} {text}: write a time as 2026-02-03T04:05:06Z") from None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    since = moment - datetime(1970, 1, 1, tzinfo=UTC)
    return (since.days * 86_400 + since.seconds) * 1_000_000_000 + since.microseconds * 1000
