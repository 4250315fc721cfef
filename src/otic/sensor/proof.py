"""Whether a running sensor can transmit: what capture said of itself, and what the kernel says now.

The two are independent: capture wrote its words when it gave up its rights; here the kernel is
asked anew, about every thread of that process and about each monitored port.
"""

from __future__ import annotations

import fcntl
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import msgspec

from otic.errors import OticError
from otic.folder import DataFolder
from otic.sensor.nic import NicFacts, ways_to_speak
from otic.sensor.nic import read as read_nic
from otic.settings import Interface
from otic.status import read_status

INTERVAL_S = 2.0
"""So long the transmit counters are watched."""

HELD = ("CapEff", "CapPrm", "CapInh", "CapAmb")
"""Capability sets that must be empty. `CapBnd` only limits what could be gained, and nothing can
be gained under no_new_privs (capabilities(7))."""

ASKED = (*HELD, "CapBnd", "NoNewPrivs", "Seccomp", "Seccomp_filters")
"""Lines of `/proc/PID/status` (proc(5)) that tell of rights."""

SECCOMP_FILTER = 2
"""Mode of a filter of system calls (seccomp(2))."""

Verdict = Literal["yes", "no", "unknown"]


class Reason(msgspec.Struct, frozen=True, kw_only=True):
    """One reason for the verdict; `command` ends what speaks against it."""

    verdict: Verdict
    text: str
    command: str = ""


class Proof(msgspec.Struct, frozen=True, kw_only=True):
    """Whether the sensor cannot transmit, and why.

    `said` is what capture wrote of itself; `threads` is what the kernel says now, by thread id.
    """

    pid: int
    cannot_transmit: Verdict
    reasons: list[Reason]
    said: dict[str, Any] | None
    threads: dict[str, dict[str, str]]
    interval_s: float


def is_running(folder: DataFolder) -> bool:
    """Whether a sensor runs on this folder: it holds the folder's lock."""
    try:
        with (folder.path / "lock").open("rb") as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def capture_pid(folder: DataFolder) -> int:
    """The capture process of the sensor that runs on this folder.

    Raises:
        OticError: no sensor runs, or its capture process does not.
    """
    if not is_running(folder):
        raise OticError(
            f"{folder.path}: no sensor runs on this folder, so there is nothing to prove"
        )
    status = read_status(folder.status)
    pids = [one.pid for one in status.processes if one.name == "capture"] if status else []
    if not pids or pids[0] is None or not Path(f"/proc/{pids[0]}/status").exists():
        raise OticError(f"{folder.path}: the sensor's capture process does not run at this moment")
    return pids[0]


def prove(
    folder: DataFolder, interfaces: list[Interface], sleep: Callable[[float], None] = time.sleep
) -> Proof:
    """Asks the kernel about the running sensor; watches its ports for `INTERVAL_S`.

    Raises:
        OticError: no sensor runs on this folder.
    """
    pid = capture_pid(folder)
    said = _said(folder)
    threads = threads_of(pid)
    before = transmitted(pid)
    sleep(INTERVAL_S)
    after = transmitted(pid)
    reasons = [said_reason(said), *thread_reasons(threads)]
    for one in interfaces:
        if one.pipe:
            reasons.append(
                Reason(verdict="yes", text=f"{one.name} is a pipe: there is no port to send on")
            )
        else:
            reasons += port_reasons(read_nic(one.name), before.get(one.name), after.get(one.name))
    if capture_pid(folder) != pid:
        raise OticError(f"{folder.path}: capture was started again meanwhile; ask once more")
    return Proof(
        pid=pid,
        cannot_transmit=verdict_of(reasons),
        reasons=reasons,
        said=said,
        threads=threads,
        interval_s=INTERVAL_S,
    )


def verdict_of(reasons: list[Reason]) -> Verdict:
    """The worst of the reasons; nothing proven is unknown."""
    verdicts = {reason.verdict for reason in reasons}
    if "no" in verdicts:
        return "no"
    return "unknown" if "unknown" in verdicts or not verdicts else "yes"


def _said(folder: DataFolder) -> dict[str, Any] | None:
    try:
        raw = (folder.journal / folder.PROOF).read_bytes()
        return msgspec.json.decode(raw, type=dict[str, Any])
    except (OSError, msgspec.MsgspecError):
        return None


def said_reason(said: dict[str, Any] | None) -> Reason:
    """What capture said of its attempts to transmit."""
    attempts = said.get("attempts") if said else None
    if not attempts:
        return Reason(verdict="unknown", text="capture left no word of its attempts to transmit")
    allowed = [attempt["act"] for attempt in attempts if not attempt["refused"]]
    if allowed:
        return Reason(verdict="no", text=f"capture was allowed to: {', '.join(allowed)}")
    return Reason(
        verdict="yes",
        text=f"capture tried {len(attempts)} ways to transmit or to gain rights, all were refused",
    )


def threads_of(pid: int) -> dict[str, dict[str, str]]:
    """What `/proc/PID/task/*/status` says of the rights of every thread; rights are a thread's."""
    found = {}
    for path in sorted(Path(f"/proc/{pid}/task").glob("*/status")):
        try:
            lines = path.read_text(encoding="ascii", errors="replace").splitlines()
        except OSError:
            continue  # The thread has ended.
        pairs = (line.split(":", 1) for line in lines if ":" in line)
        found[path.parent.name] = {key: value.strip() for key, value in pairs if key in ASKED}
    return found


def thread_reasons(threads: dict[str, dict[str, str]]) -> list[Reason]:
    """What the rights of the threads prove."""
    if not threads:
        return [Reason(verdict="unknown", text="the kernel does not show the capture process")]
    reasons = []
    for thread, rights in threads.items():
        if missing := [name for name in (*HELD, "NoNewPrivs", "Seccomp") if name not in rights]:
            text = f"thread {thread}: the kernel does not say {', '.join(missing)}"
            reasons.append(Reason(verdict="unknown", text=text))
        held = [f"{name}={rights[name]}" for name in HELD if int(rights.get(name, "0"), 16)]
        if held:
            text = f"thread {thread} holds capabilities: {', '.join(held)}"
            reasons.append(Reason(verdict="no", text=text))
        if rights.get("NoNewPrivs", "1") != "1":
            text = f"thread {thread} may gain rights: no_new_privs is not set"
            reasons.append(Reason(verdict="no", text=text))
        if rights.get("Seccomp", str(SECCOMP_FILTER)) != str(SECCOMP_FILTER):
            text = f"thread {thread} has no filter of system calls"
            reasons.append(Reason(verdict="no", text=text))
    if reasons:
        return reasons
    filters = {rights.get("Seccomp_filters", "an unknown number of") for rights in threads.values()}
    return [
        Reason(
            verdict="yes",
            text=f"the kernel says of all {len(threads)} threads: no capability held, none can be"
            f" gained, {' or '.join(sorted(filters))} filters of system calls",
        )
    ]


def transmitted(pid: int) -> dict[str, int]:
    """Frames sent by each interface of the process's network namespace (`/proc/PID/net/dev`)."""
    try:
        text = Path(f"/proc/{pid}/net/dev").read_text(encoding="ascii", errors="replace")
    except OSError:
        return {}
    found = {}
    for line in text.splitlines()[2:]:
        name, _, columns = line.partition(":")
        # Eight columns of receiving, then bytes and packets sent (proc(5)).
        found[name.strip()] = int(columns.split()[9])
    return found


def port_reasons(facts: NicFacts, before: int | None, after: int | None) -> list[Reason]:
    """What one monitored port proves: its transmit counter, and whether the kernel may speak."""
    name = facts.interface
    if before is None or after is None:
        text = f"{name} is not there, its transmit counter cannot be read"
        return [Reason(verdict="unknown", text=text)]
    reasons = []
    if after != before:
        text = f"{name} sent {after - before} frames in {INTERVAL_S:g} s"
        reasons.append(Reason(verdict="no", text=text))
    elif after:
        text = f"{name} sent nothing in {INTERVAL_S:g} s; {after} frames since it was made"
        reasons.append(Reason(verdict="yes", text=text))
    else:
        text = f"{name} never sent a frame: its transmit counter is 0"
        reasons.append(Reason(verdict="yes", text=text))
    if not facts.exists or facts.has_address is None or facts.arp is None:
        text = f"whether {name} has an address cannot be read from here"
        return [*reasons, Reason(verdict="unknown", text=text)]
    ways = ways_to_speak(facts)
    reasons += [Reason(verdict="no", text=text, command=command) for text, command in ways]
    if not ways:
        text = f"{name} has no address, and the kernel answers nothing there"
        reasons.append(Reason(verdict="yes", text=text))
    return reasons
