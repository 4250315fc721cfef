"""The capture process: opens the sources and lets the core run; no Python touches a frame.

It listens on its standard input: a line is a JSON object, `{"filters": {interface: program}}` or
`{"protocols": [[file, text]]}`; the end of the input is the end of capture.
"""

from __future__ import annotations

import os
import pwd
import select
from pathlib import Path

import msgspec
import structlog

from otic.errors import CaptureError, JournalError, SettingsError
from otic.facts import decode_batch
from otic.folder import DataFolder
from otic.journal.segments import FACTS
from otic.sensor.canary import passed, show
from otic.sensor.filters import FilterInstruction, compile_filter
from otic.sensor.room import least_free
from otic.settings import Interface, Settings

log = structlog.get_logger()

LOOK_S = 0.25
"""How often the process looks whether something is wrong."""

HOUR_NS = 3_600_000_000_000

ProgramRow = list[tuple[int, int, int, int]]


class Told(msgspec.Struct, frozen=True):
    """What the supervisor tells a running capture."""

    filters: dict[str, list[FilterInstruction]] = {}
    """Filter program of each interface."""
    protocols: list[tuple[str, str]] = []
    """All protocol definitions: file and text."""


class Control:
    """The standard input, read by the only thread there may be before rights are given up."""

    def __init__(self) -> None:
        self.ended = False
        self._rest = b""

    def wait(self, seconds: float) -> list[Told]:
        """Waits for what the supervisor says, at most so long."""
        ready, _, _ = select.select([0], [], [], 0 if self.ended else seconds)
        if not ready or self.ended:
            return []
        data = os.read(0, 1 << 20)
        self.ended = not data
        *lines, self._rest = (self._rest + data).split(b"\n")
        told = []
        for line in lines:
            try:
                told.append(msgspec.json.decode(line, type=Told))
            except msgspec.MsgspecError as error:
                log.error("order_not_understood", reason=str(error))
        return told


def program_of(interface: Interface) -> ProgramRow:
    """The filter program of an interface, as the core takes it; empty for all frames.

    Raises:
        FilterError: the text means nothing.
    """
    return rows(compile_filter(interface.filter)) if interface.filter else []


def rows(program: list[FilterInstruction]) -> ProgramRow:
    """A filter program as the core takes it."""
    return [(step.code, step.jt, step.jf, step.k) for step in program]


def run(folder: DataFolder, settings: Settings, control: Control) -> int:
    """Captures until told to end, or all sources are over; exit code.

    Raises:
        CaptureError: a source cannot be opened, rights cannot be given up, or the journal cannot be
            written.
        SettingsError: the user does not exist, or a filter means nothing.
    """
    from otic import _core

    ring = settings.ring
    free = least_free(folder.packets)
    packets = (folder.packets, ring.bytes, ring.hours * HOUR_NS, ring.bytes_per_s, free)
    own = [folder.journal, folder.packets]
    user = _user(settings.user, own)
    last_ns = last_seen_ns(folder.journal)
    try:
        capture = _core.Capture(
            journal=folder.journal,
            interfaces=[
                (one.name, program_of(one), one.fanout, one.ring_bytes, one.promiscuous)
                for one in settings.interface
                if not one.pipe
            ],
            pipes=[(one.name, one.pipe, program_of(one)) for one in settings.interface if one.pipe],
            packets=packets if ring.bytes else None,
            sensor=settings.sensor,
            spaces=settings.spaces(),
            threads=settings.threads,
            last_seen_ns=last_ns,
            canary_s=settings.canary_s,
            sandbox=(user, own),
        )
    except _core.CaptureError as error:
        raise CaptureError(str(error)) from None
    (folder.journal / folder.PROOF).write_text(capture.proof() or "")
    log.info("capturing", interfaces=[one.name for one in settings.interface])
    said = None
    shown: tuple[int, list[tuple[str, int, int]]] = (0, [])
    while not control.ended and not capture.is_over():
        for told in control.wait(LOOK_S):
            for name, program in told.filters.items():
                taken = capture.set_filter(name, rows(program))
                log.info("filter_changed" if taken else "filter_refused", interface=name)
            if told.protocols:
                try:
                    _core.define(told.protocols)
                except _core.DefinitionError as error:
                    log.error("definitions_refused", reason=str(error))
                else:
                    log.info("definitions_changed")
        if (canaries := capture.canaries()) != shown:
            shown = canaries
            show(folder.canary("capture"), passed(*canaries))
        trouble = capture.trouble()
        if trouble != said:
            if trouble:
                log.error("journal_cannot_be_written", reason=trouble)
            else:
                log.info("journal_written_again")
            said = trouble
    whole = capture.stop()
    log.info("capture_ended")
    return 0 if whole else 1


def _user(name: str, folders: list[Path]) -> tuple[int, int] | None:
    """User and group to become; what capture wrote before under another user becomes theirs."""
    if not name or os.getuid() != 0:
        return None
    try:
        entry = pwd.getpwnam(name)
    except KeyError:
        raise SettingsError(f"user: there is no user {name!r} on this machine") from None
    for folder in folders:
        for path in (folder, *folder.iterdir()):
            os.chown(path, entry.pw_uid, entry.pw_gid)
    return entry.pw_uid, entry.pw_gid


def last_seen_ns(journal: Path) -> int | None:
    """The last moment that the journal tells of, if it tells of any.

    Raises:
        JournalError: the journal is damaged.
    """
    from otic import _core

    try:
        for path in reversed(_core.journal_segments(str(journal), FACTS)):
            records, _ = _core.read_journal(path)
            if records:
                batch = decode_batch(records[-1][2])
                return max([batch.end_ns, *(tick.wall_ns for tick in batch.ticks)])
    except _core.JournalError as error:
        raise JournalError(str(error)) from None
    return None
