"""Address spaces by each VLAN or interface that captures show."""

from __future__ import annotations

from pathlib import Path

import msgspec

from otic.facts import decode_batch
from otic.sensor.pipeline import open_captures, read_ahead
from otic.settings import EACH, Settings, Space


def expand_spaces(settings: Settings, files: list[Path], threads: int = 1) -> Settings:
    """Settings in which `vlan` or `interface` spaces for each are one entry per value seen.

    Reads the captures once when there is such an entry, else nothing. The innermost VLAN counts.
    """
    if all(entry.match != EACH for entry in settings.space):
        return settings
    vlans: set[int] = set()
    interfaces: set[str] = set()
    plain = msgspec.structs.replace(settings, space=[])
    for reading in read_ahead(open_captures(files, plain, threads)):
        batch = decode_batch(reading.batch)
        for seen in batch.observations:
            vlans |= set(seen.vlans[-1:])
            interfaces.add(seen.interface)
        for sighting in batch.sightings:
            vlans |= set(sighting.vlans[-1:])
            interfaces.add(sighting.interface)
    values = {"vlan": sorted(map(str, vlans), key=int), "interface": sorted(interfaces - {""})}
    spaces: list[Space] = []
    for entry in settings.space:
        if entry.match != EACH:
            spaces.append(entry)
            continue
        spaces += [
            Space(kind=entry.kind, match=value, space=f"{entry.kind} {value}")
            for value in values.get(entry.kind, ())
        ]
    return msgspec.structs.replace(settings, space=spaces)
