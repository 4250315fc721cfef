"""Whether this machine is fit to be a sensor: its ports, memory, disk, clock, kernel and settings.

What cannot be found out stays unknown and is said to be unknown.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Literal

import msgspec

import otic
from otic.errors import JournalError, PluginError, ProtocolError, SettingsError
from otic.facts import Tick, decode_batch
from otic.folder import DataFolder
from otic.journal.segments import FACTS
from otic.plugins import read_all
from otic.plugins.pool import Pool
from otic.sensor.capture import program_of
from otic.sensor.filters import LIBRARY, PACKAGE, FilterError, libpcap
from otic.sensor.nic import NicFacts, ways_to_speak
from otic.sensor.nic import read as read_nic
from otic.sensor.proof import is_running
from otic.sensor.protocols import take
from otic.settings import Interface, Settings, load
from otic.status import StageStatus, read_status
from otic.times import iso

Level = Literal["ok", "warning", "problem"]


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that was looked at: how it is in one sentence, and the command that mends it.

    Where only a line of `otic.toml` helps, `command` is that line.
    """

    subject: str
    level: Level
    text: str
    command: str = ""


def ok(subject: str, text: str, command: str = "") -> Finding:
    """A finding that needs nothing."""
    return Finding(subject=subject, level="ok", text=text, command=command)


def warning(subject: str, text: str, command: str = "") -> Finding:
    """A finding with which the sensor works, but less well than it could."""
    return Finding(subject=subject, level="warning", text=text, command=command)


def problem(subject: str, text: str, command: str = "") -> Finding:
    """A finding with which the sensor does not work, or does what it must not."""
    return Finding(subject=subject, level="problem", text=text, command=command)


def examine(data: Path | None, config: Path | None) -> list[Finding]:
    """Everything that can be found out about this machine as the sensor of this folder."""
    folder = DataFolder(data) if data is not None else None
    path = config or (folder.settings_if_there() if folder else None)
    settings, findings = settings_findings(path)
    running = folder is not None and is_running(folder)
    ticks = last_ticks(folder) if folder else []
    for one in settings.interface:
        if one.pipe:
            findings.append(pipe_finding(one))
        else:
            findings += interface_findings(one, read_nic(one.name), running=running)
        findings += drop_findings(one.name, ticks)
    findings += memory_findings(settings.interface, *memory(), running=running)
    if folder is not None:
        findings += disk_findings(folder, settings, rate_of(ticks))
    findings.append(clock_finding(*kernel_clock()))
    findings += kernel_findings(settings.interface, running=running)
    if running and folder is not None:
        status = read_status(folder.status)
        findings += stage_findings(status.stages if status is not None else [])
    return findings


def stage_findings(stages: list[StageStatus]) -> list[Finding]:
    """Whether each stage of the running sensor shows the canary."""
    silent = [one for one in stages if one.silent_since is not None]
    if silent:
        return [
            problem(
                f"stage {one.name}",
                f"no canary comes through it since {iso(one.silent_since or 0)[:19]} UTC: "
                f"what the process {one.process} does there stands still",
                "journalctl -u otic-sensor",
            )
            for one in silent
        ]
    waiting = [one.name for one in stages if one.passed is None]
    if waiting or not stages:
        return [ok("stages", "the first canary is still on its way")]
    return [ok("stages", f"the canary comes through: {', '.join(one.name for one in stages)}")]


# -- settings -------------------------------------------------------------------------------------


def settings_findings(path: Path | None) -> tuple[Settings, list[Finding]]:
    """The settings, and whether they can be used; the defaults when they cannot."""
    subject = "settings"
    if path is None:
        text = "there is no otic.toml, so no interface is monitored"
        return Settings(), [problem(subject, text, 'otic.toml: [[interface]] name = "eth1"')]
    try:
        settings = load(path)
        for one in settings.interface:
            program_of(one)
    except FilterError as error:
        return settings, [problem(subject, str(error), 'otic.toml: [[interface]] filter = ""')]
    except SettingsError as error:
        return Settings(), [problem(subject, str(error), f"otic settings --config {path}")]
    try:
        take(settings.protocols)
    except ProtocolError as error:
        return settings, [problem(subject, str(error), "otic protocol test FILE")]
    try:
        check_plugins(settings.plugins)
    except PluginError as error:
        return settings, [problem(subject, str(error), "otic plugin test FOLDER")]
    if not settings.interface:
        text = f"{path.name} names no [[interface]] to listen on"
        return settings, [problem(subject, text, 'otic.toml: [[interface]] name = "eth1"')]
    return settings, [ok(subject, f"{path.name} is valid")]


def check_plugins(places: Iterable[str]) -> None:
    """Makes each plug-in ready, as analysis would.

    Raises:
        PluginError: one of them is not valid, or cannot be imported.
    """
    plugins = Pool(read_all(places))
    try:
        for plugin in plugins.plugins:
            plugins.check(plugin)
    finally:
        plugins.close()


# -- ports ----------------------------------------------------------------------------------------


def pipe_finding(one: Interface) -> Finding:
    """Whether the named pipe is there."""
    if Path(one.pipe).is_fifo():
        return ok(one.name, "frames come out of a named pipe, which is there")
    return problem(one.name, f"{one.pipe} is no named pipe", f"mkfifo {one.pipe}")


FASTEST_COPPER_MTU = 1500
"""Bytes that every Ethernet carries; less on a mirror port loses ordinary frames."""


def interface_findings(one: Interface, facts: NicFacts, *, running: bool) -> list[Finding]:
    """How a monitored port is."""
    name = one.name
    if not facts.exists:
        return [problem(name, "there is no interface of this name here", "ip -brief link")]
    return [
        *_link(name, facts),
        *_frames(one, facts, running=running),
        *_offloads(name, facts),
        *_silence(facts),
        *_card_drops(name, facts),
    ]


def _link(name: str, facts: NicFacts) -> Iterator[Finding]:
    if facts.up is None:
        yield warning(name, "whether it is switched on is unknown")
    elif not facts.up:
        yield problem(name, "it is switched off", f"ip link set dev {name} up")
        return
    if facts.carrier:
        speed = facts.speed_mbit_per_s
        known = f"{speed} Mbit/s" if speed else "of unknown speed, as virtual ports are"
        yield ok(name, f"the link is up, {known}")
    elif facts.carrier is False:
        yield problem(
            name, "it has no link: the cable or the mirror port is dead", f"ethtool {name}"
        )
    else:
        yield warning(name, "whether it has a link is unknown")


def _frames(one: Interface, facts: NicFacts, *, running: bool) -> Iterator[Finding]:
    name = one.name
    if not one.promiscuous:
        text = "it takes only frames to this machine: the settings switch promiscuous off"
        yield warning(name, text, "otic.toml: [[interface]] promiscuous = true")
    elif running and facts.promiscuous is False:
        text = "the sensor runs, but the port does not take frames to other stations"
        yield problem(name, text, f"ip link set dev {name} promisc on")
    else:
        state = "takes" if facts.promiscuous else "will take, once capture runs,"
        yield ok(name, f"it {state} frames to other stations")
    block = _block_bytes()
    if facts.mtu is None:
        yield warning(name, "its MTU is unknown")
    elif facts.mtu < FASTEST_COPPER_MTU:
        text = f"its MTU of {facts.mtu} bytes is smaller than ordinary frames, which it may drop"
        yield problem(name, text, f"ip link set dev {name} mtu {FASTEST_COPPER_MTU}")
    elif facts.mtu * 2 > block:
        text = f"its MTU of {facts.mtu} bytes does not fit a ring block of {block} bytes"
        yield problem(name, text, f"ip link set dev {name} mtu 9000")
    else:
        yield ok(
            name,
            f"MTU {facts.mtu}; a ring block of {block} bytes holds joined frames whole, but a card"
            " may drop what is larger than its MTU",
        )


def _block_bytes() -> int:
    from otic import _core

    return _core.RING_BLOCK_BYTES


def _offloads(name: str, facts: NicFacts) -> Iterator[Finding]:
    off = f"ethtool -K {name}"
    if facts.lro:
        text = "the card joins frames (lro) and forgets where they began and ended"
        yield problem(name, text, f"{off} lro off")
    if facts.gro:
        text = (
            "the kernel joins frames of a connection (gro): they are read whole, but counts and"
            " gaps are of joined frames"
        )
        yield warning(name, text, f"{off} gro off")
    if facts.rx_vlan:
        text = (
            "the card takes VLAN tags off (rx-vlan): Otic puts them back as the kernel tells,"
            " some drivers lose priority or the inner tag"
        )
        yield ok(name, text, f"{off} rxvlan off")
    unknown = [
        word
        for word, state in (("gro", facts.gro), ("lro", facts.lro), ("rx-vlan", facts.rx_vlan))
        if state is None
    ]
    if unknown:
        yield warning(name, f"whether it joins or changes frames is unknown: {', '.join(unknown)}")
    elif not (facts.lro or facts.gro):
        yield ok(name, "no offload joins frames")


def _silence(facts: NicFacts) -> Iterator[Finding]:
    name = facts.interface
    ways = ways_to_speak(facts)
    for text, command in ways:
        yield problem(name, text, command)
    if facts.has_address is None or facts.arp is None:
        yield warning(name, "whether it has an address is unknown")
    elif not ways:
        yield ok(name, "it has no address, and the kernel answers nothing there")


def _card_drops(name: str, facts: NicFacts) -> Iterator[Finding]:
    # Drivers count the same loss under either name.
    lost = max(facts.rx_missed or 0, facts.rx_fifo or 0)
    if facts.rx_missed is None and facts.rx_fifo is None:
        yield warning(name, "what the card lost is unknown")
    elif lost:
        text = (
            f"the card lost {lost} of {(facts.rx_packets or 0) + lost} frames: its queue was full"
        )
        yield warning(name, text, f"ethtool -G {name} rx 4096")
    else:
        yield ok(name, f"the card lost none of {facts.rx_packets or 0} frames")


def drop_findings(name: str, ticks: list[Tick]) -> list[Finding]:
    """What capture dropped lately on this interface, as its ticks say."""
    mine = [tick for tick in ticks if tick.interface == name]
    frames = sum(tick.frames for tick in mine)
    full = sum(tick.drops.get("ring", 0) for tick in mine)
    if not mine:
        return []
    if not full:
        return [ok(name, f"capture dropped none of its last {frames} frames")]
    text = f"capture dropped {full} of its last {frames + full} frames: the ring was full"
    return [warning(name, text, "otic.toml: [[interface]] fanout = 2, and threads = 2")]


# -- memory ---------------------------------------------------------------------------------------

MOST_OF_MEMORY = 0.25
"""The part of the memory that rings should have at most: analysis needs its own."""


def memory() -> tuple[int | None, int | None]:
    """Bytes of memory, and of it those that can be had now; none where the kernel does not say."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    except OSError:
        return None, None
    kib = {line.split(":")[0]: int(line.split()[1]) for line in lines if len(line.split()) > 1}
    total, available = kib.get("MemTotal"), kib.get("MemAvailable")
    return total and total * 1024, available and available * 1024


def memory_findings(
    interfaces: list[Interface], total: int | None, available: int | None, *, running: bool
) -> list[Finding]:
    """Whether the rings fit the machine's memory."""
    need = sum(one.fanout * one.ring_bytes for one in interfaces if not one.pipe)
    if not need:
        return []
    if total is None or available is None:
        return [warning("memory", f"the rings need {size(need)}; the machine's memory is unknown")]
    words = f"the rings need {size(need)} of {size(total)}"
    smaller = "otic.toml: [[interface]] ring_bytes = 67_108_864"
    if need > total or (not running and need > available):
        return [problem("memory", f"{words}, of which {size(available)} are free", smaller)]
    if need > total * MOST_OF_MEMORY:
        return [warning("memory", f"{words}, which leaves little for analysis", smaller)]
    return [ok("memory", words)]


# -- disk -----------------------------------------------------------------------------------------

TRIAL_BYTES = 64 << 20
TRIAL_S = 5.0
"""At most so much, and so long, is written to measure a disk."""

TRIAL_BLOCK_BYTES = 8 << 20
"""So much is written between two waits for the disk, as the packet ring does with its pages."""

TRIAL_FILE = ".doctor-trial"

PACKET_OVERHEAD_BYTES = 32
"""Bytes that the packet ring's pcapng adds to a frame (an enhanced packet block)."""


def disk_findings(folder: DataFolder, settings: Settings, rate: float | None) -> list[Finding]:
    """Whether the disk has room and speed for what the sensor keeps.

    `rate` is what was captured lately, bytes a second; none when nothing was.
    """
    path = next(p for p in (folder.path, *folder.path.absolute().parents) if p.exists())
    try:
        disk = shutil.disk_usage(path)
    except OSError as error:
        return [problem("disk", f"{path}: {error.strerror}")]
    findings = [_room(folder, settings, disk.total, disk.free)]
    speed = write_speed(path, disk.free)
    ring = settings.ring
    if speed is None:
        command = f"chown -R $(id -un) {path}"
        findings.append(problem("disk", f"{path} cannot be written by this user", command))
    elif ring.bytes:
        findings.append(speed_finding(speed, ring.bytes_per_s, rate))
    if ring.bytes:
        findings.append(_hours(ring.bytes, ring.hours, ring.bytes_per_s, rate))
    else:
        findings.append(warning("packet ring", "it is switched off", "otic.toml: [ring] bytes"))
    return findings


def _room(folder: DataFolder, settings: Settings, total: int, free: int) -> Finding:
    limits = {folder.packets: settings.ring.bytes, folder.journal: settings.journal_bytes}
    grows = sum(max(0, most - used_bytes(path)) for path, most in limits.items())
    words = f"{size(free)} of {size(total)} are free; packet ring and journal may grow by"
    if grows > free:
        fits = max(0, settings.ring.bytes - (grows - free))
        return problem(
            "disk",
            f"{words} {size(grows)}, which does not fit",
            f"otic.toml: [ring] bytes = {fits}",
        )
    return ok("disk", f"{words} {size(grows)}")


def used_bytes(folder: Path) -> int:
    """Bytes of the files in this folder; what vanishes meanwhile counts nothing."""
    total = 0
    try:
        for path in folder.iterdir():
            if path.is_file():
                total += path.stat().st_size
    except OSError:
        return total
    return total


def write_speed(folder: Path, free: int) -> float | None:
    """Bytes a second that the disk of this folder takes, measured by a file that is removed again.

    None when the file cannot be written. At most `TRIAL_BYTES`, a tenth of what is free, and
    `TRIAL_S` seconds.
    """
    trial = folder / TRIAL_FILE
    most = max(4096, min(TRIAL_BYTES, free // 10))
    # Random, so that no file system makes it smaller.
    block = os.urandom(min(TRIAL_BLOCK_BYTES, most))
    written, started = 0, time.monotonic()
    try:
        with trial.open("wb", buffering=0) as out:
            while written + len(block) <= most and time.monotonic() - started < TRIAL_S:
                written += out.write(block)
                os.fdatasync(out.fileno())
        return written / (time.monotonic() - started) if written else None
    except OSError:
        return None
    finally:
        trial.unlink(missing_ok=True)


def speed_finding(speed: float, budget: int, rate: float | None) -> Finding:
    """Whether the disk is fast enough for the packet ring's budget (0 = none) and traffic."""
    words = f"the disk takes {size(speed)} a second"
    slower = f"otic.toml: [ring] bytes_per_s = {int(speed * 0.8)}"
    if rate is not None and rate > speed:
        return problem("disk", f"{words}, {size(rate)} a second are captured", slower)
    if budget == 0:
        return warning("disk", f"{words}, and the packet ring's speed is not limited", slower)
    if budget > speed:
        return warning("disk", f"{words}, the packet ring may ask for {size(budget)}", slower)
    return ok("disk", f"{words}, the packet ring asks for at most {size(budget)}")


def _hours(most: int, hours: int, budget: int, rate: float | None) -> Finding:
    limit = f", kept at most {hours} h by the settings" if hours else ""
    if rate:
        kept = most / (min(rate, budget) if budget else rate)
        text = (
            f"its {size(most)} hold {duration(kept)} at the {size(rate)} a second captured lately"
        )
        return ok("packet ring", text + limit)
    if budget:
        text = f"its {size(most)} hold {duration(most / budget)} at its full speed of"
        text += f" {size(budget)} a second; what is captured is unknown, as no sensor ran here yet"
        return ok("packet ring", text + limit)
    text = f"it has {size(most)}; for how long is unknown, as no sensor ran here yet"
    return ok("packet ring", text + limit)


def last_ticks(folder: DataFolder) -> list[Tick]:
    """The ticks of the journal's newest segment that has any; none when no sensor ran here."""
    from otic import _core

    try:
        for path in reversed(_core.journal_segments(str(folder.journal), FACTS)):
            records, _ = _core.read_journal(path)
            ticks = [tick for record in records for tick in decode_batch(record[2]).ticks]
            if ticks:
                return ticks
    except (OSError, _core.JournalError, JournalError):
        return []
    return []


def rate_of(ticks: list[Tick]) -> float | None:
    """Bytes a second that the packet ring would have to write for what these ticks counted."""
    if not ticks:
        return None
    span_ns = max(t.monotonic_ns for t in ticks) - min(t.monotonic_ns for t in ticks)
    if span_ns <= 0:
        return None
    total = sum(tick.bytes + PACKET_OVERHEAD_BYTES * tick.frames for tick in ticks)
    return total / (span_ns / 1e9)


def size(number: float) -> str:
    """Bytes in words: `64.0 MB`."""
    for unit in ("B", "kB", "MB"):
        if abs(number) < 1000:
            return f"{number:.0f} {unit}" if unit == "B" else f"{number:.1f} {unit}"
        number /= 1000
    return f"{number:.1f} GB"


def duration(seconds: float) -> str:
    """A time in words: `2.8 min`, `30.0 h`."""
    return f"{seconds / 3600:.1f} h" if seconds >= 3600 else f"{seconds / 60:.1f} min"


# -- clock ----------------------------------------------------------------------------------------


class Timex(ctypes.Structure):
    """`struct timex` of adjtimex(2), as 64-bit Linux has it."""

    _fields_ = (
        ("modes", ctypes.c_uint),
        ("offset", ctypes.c_long),
        ("freq", ctypes.c_long),
        ("maxerror", ctypes.c_long),
        ("esterror", ctypes.c_long),
        ("status", ctypes.c_int),
        ("constant", ctypes.c_long),
        ("precision", ctypes.c_long),
        ("tolerance", ctypes.c_long),
        ("time_sec", ctypes.c_long),
        ("time_usec", ctypes.c_long),
        ("tick", ctypes.c_long),
        ("rest", ctypes.c_char * 256),
    )


STA_UNSYNC = 0x0040
STA_NANO = 0x2000
"""Bits of a clock's status (`linux/timex.h`)."""

STEP_S = 0.128
"""From this offset on, time daemons step the clock instead of slewing it (RFC 5905, STEPT)."""

SYNCHRONISE = "timedatectl set-ntp true"


class KernelClock(msgspec.Struct, frozen=True, kw_only=True):
    """What the kernel says of its clock: is it synchronised, how far off, largest error."""

    synchronised: bool
    offset_s: float
    error_s: float


def kernel_clock() -> tuple[KernelClock | None, float]:
    """What the kernel says of its clock (none when it does not answer), and the time, s UTC."""
    state = Timex()
    libc = ctypes.CDLL(None, use_errno=True)
    now = time.time()
    if libc.adjtimex(ctypes.byref(state)) < 0:
        return None, now
    unit = 1e-9 if state.status & STA_NANO else 1e-6
    return (
        KernelClock(
            synchronised=not state.status & STA_UNSYNC,
            offset_s=state.offset * unit,
            error_s=state.maxerror * 1e-6,
        ),
        now,
    )


def clock_finding(clock: KernelClock | None, now_s: float) -> Finding:
    """Whether the machine's time can be trusted, and whether it may jump."""
    installed_s = Path(otic.__file__).stat().st_mtime
    if now_s < installed_s - 86_400:
        text = "the clock stands before the day on which Otic was installed"
        return problem("clock", text, SYNCHRONISE)
    if clock is None:
        return warning("clock", "whether the clock is synchronised is unknown", SYNCHRONISE)
    if not clock.synchronised:
        text = "the clock is not synchronised: times may be wrong, and the first synchronisation"
        return warning("clock", f"{text} may step them", SYNCHRONISE)
    if abs(clock.offset_s) > STEP_S:
        text = f"the clock is synchronised, but {clock.offset_s:.3f} s off: it may step"
        return warning("clock", text, SYNCHRONISE)
    error = f"{clock.error_s * 1000:.0f} ms"
    return ok("clock", f"the clock is synchronised, its error at most {error}, and does not step")


# -- kernel ---------------------------------------------------------------------------------------

SYS_LANDLOCK_CREATE_RULESET = 444
LANDLOCK_CREATE_RULESET_VERSION = 1
"""`landlock_create_ruleset(NULL, 0, LANDLOCK_CREATE_RULESET_VERSION)` gives the version."""

CAP_NET_RAW = 13
"""Bit of the right to open packet sockets (capabilities(7))."""

LANDLOCK_ASKED = 6
"""The newest version whose rights the capture process asks for (`core/capture/src/sandbox.rs`)."""


def landlock_version() -> int | None:
    """Landlock's version; none where the kernel has it not, or not switched on."""
    libc = ctypes.CDLL(None, use_errno=True)
    version = libc.syscall(
        ctypes.c_long(SYS_LANDLOCK_CREATE_RULESET),
        ctypes.c_void_p(None),
        ctypes.c_size_t(0),
        ctypes.c_uint32(LANDLOCK_CREATE_RULESET_VERSION),
    )
    return version if version > 0 else None


def may_capture() -> bool | None:
    """Whether this process may open packet sockets; none where the kernel does not say."""
    try:
        lines = Path("/proc/self/status").read_text(encoding="ascii", errors="replace")
        found = next(line for line in lines.splitlines() if line.startswith("CapEff:"))
    except (OSError, StopIteration):
        return None
    return bool(int(found.split()[1], 16) >> CAP_NET_RAW & 1)


def kernel_findings(interfaces: list[Interface], *, running: bool) -> list[Finding]:
    """Whether the kernel lets capture listen, and takes its rights away afterwards."""
    return [
        _libpcap(),
        landlock_finding(landlock_version()),
        _seccomp(),
        right_finding(may_capture(), any(not one.pipe for one in interfaces), running=running),
    ]


def _libpcap() -> Finding:
    try:
        libpcap()
    except FilterError:
        text = f"{LIBRARY} is missing: capture filters cannot be compiled"
        return problem("libpcap", text, f"apt-get install {PACKAGE}")
    return ok("libpcap", f"{LIBRARY} is there")


def landlock_finding(version: int | None) -> Finding:
    """Whether capture can be kept from files that are not its own."""
    if version is None:
        text = "the kernel has no Landlock: only the rights of files bound what capture writes"
        return warning("landlock", text, "cat /sys/kernel/security/lsm")
    if version < LANDLOCK_ASKED:
        return ok("landlock", f"version {version}; rights of later versions are not enforced")
    return ok("landlock", f"version {version} enforces every right that capture asks for")


def _seccomp() -> Finding:
    actions = Path("/proc/sys/kernel/seccomp/actions_avail")
    try:
        errno = "errno" in actions.read_text(encoding="ascii").split()
    except FileNotFoundError:
        text = "the kernel filters no system calls (seccomp): capture refuses to start"
        return problem("seccomp", text, f"cat {actions}")
    except OSError:
        return warning("seccomp", "whether the kernel filters system calls is unknown")
    if not errno:
        return problem("seccomp", "the kernel's filter cannot refuse calls", f"cat {actions}")
    return ok("seccomp", "the kernel filters system calls")


def right_finding(right: bool | None, needed: bool, *, running: bool) -> Finding:
    """Whether packet sockets can be opened by this user."""
    if not needed:
        return ok("right to capture", "no interface needs CAP_NET_RAW")
    if right:
        return ok("right to capture", "this user has CAP_NET_RAW")
    if running:
        return ok("right to capture", "the sensor runs; this user has no CAP_NET_RAW itself")
    if right is None:
        return warning("right to capture", "whether this user has CAP_NET_RAW is unknown")
    text = "this user has no CAP_NET_RAW: capture started from here cannot open an interface"
    return problem("right to capture", text, "systemctl start otic-sensor")
