"""What a person needs to see to set a sensor up: the machine's interfaces, and its clock.

It is read without any right: from `/proc/net` of the own network namespace and by the questions of
netdevice(7), so that the console may ask. Nothing is captured.
"""

from __future__ import annotations

import fcntl
import socket
import struct
import time
from pathlib import Path
from typing import Literal

import msgspec

from otic.errors import SettingsError
from otic.sensor import nic
from otic.sensor.doctor import kernel_clock
from otic.settings import Settings, load

Concern = Literal["off", "no-link", "address", "sends", "no-frames", "loopback"]
"""Why an interface is no good mirror port, or not known to be one."""

SIOCGIFFLAGS = 0x8913
SIOCGIFADDR = 0x8915
SIOCGIFHWADDR = 0x8927
"""Questions about an interface (netdevice(7), `linux/sockios.h`)."""

IFF_LOOPBACK = 0x8
ARPHRD_ETHER = 1

TIMESYNC = Path("/run/systemd/timesync/synchronized")
"""There once systemd's time service has synchronised the clock (systemd-timesyncd.service(8))."""

_IFREQ = struct.Struct("16s24s")


class Counters(msgspec.Struct, frozen=True, kw_only=True):
    """What the kernel counts of an interface since it was made; frames, and bytes.

    `rx_multicast` is what the driver counts as multicast: some count broadcasts with them, virtual
    ones often nothing.
    """

    rx_bytes: int
    rx_frames: int
    rx_multicast: int
    tx_frames: int


class Port(msgspec.Struct, frozen=True, kw_only=True):
    """One interface of the machine, and what came in over a short time.

    `link` and `speed_mbit_per_s` are none where the kernel does not say. `frames_per_s` is what the
    card let through: until capture reads a mirror port, most cards drop frames to other stations.
    `multicast_per_s` is none where the driver never counted any, as those of virtual ports do not.
    `may_mirror`: a link, frames, no address, and nothing was sent on it.
    """

    name: str
    mac: str | None
    up: bool | None
    link: bool | None
    speed_mbit_per_s: int | None
    promiscuous: bool | None
    addresses: list[str]
    frames: int
    bytes: int
    frames_per_s: float
    bytes_per_s: float
    multicast_per_s: float | None
    sent_per_s: float
    concerns: list[Concern]
    may_mirror: bool


def settings_of(config: Path | None) -> Settings:
    """The settings in this file; the defaults while it is not there.

    Raises:
        SettingsError: it cannot be read, or says something that Otic does not understand.
    """
    return load(config if config is not None and config.exists() else None)


def is_set_up(config: Path | None) -> bool:
    """Whether the settings name an interface. Those that mean nothing are for a person to mend."""
    try:
        return bool(settings_of(config).interface)
    except SettingsError:
        return True


class Clock(msgspec.Struct, frozen=True, kw_only=True):
    """The machine's clock, seconds; none is what nobody says."""

    now_s: float
    synchronised: bool | None
    offset_s: float | None
    error_s: float | None


def clock(timesync: Path = TIMESYNC) -> Clock:
    """How the clock is: as the kernel says, or where it may not be asked, the time service.

    As a service the sensor may not ask the kernel: the call that asks is the one that sets.
    """
    kernel, now_s = kernel_clock()
    if kernel is None:
        known = True if timesync.exists() else None
        return Clock(now_s=now_s, synchronised=known, offset_s=None, error_s=None)
    return Clock(
        now_s=now_s,
        synchronised=kernel.synchronised,
        offset_s=kernel.offset_s,
        error_s=kernel.error_s,
    )


def ports(over_s: float) -> list[Port]:
    """The machine's interfaces by name, watched for so many seconds."""
    before, started = counters(), time.monotonic()
    time.sleep(over_s)
    after, passed_s = counters(), time.monotonic() - started
    return [
        port(nic.read(name), before[name], after[name], passed_s)
        for name in sorted(after)
        if name in before
    ]


def counters(path: Path = Path("/proc/net/dev")) -> dict[str, Counters]:
    """What the kernel counts, by interface (proc(5))."""
    found = {}
    for line in path.read_text(encoding="ascii", errors="replace").splitlines()[2:]:
        name, _, rest = line.rpartition(":")
        # Of each direction: bytes, packets, errs, drop, fifo, frame, compressed, multicast.
        numbers = [int(number) for number in rest.split()]
        found[name.strip()] = Counters(
            rx_bytes=numbers[0],
            rx_frames=numbers[1],
            rx_multicast=numbers[7],
            tx_frames=numbers[9],
        )
    return found


def port(facts: nic.NicFacts, before: Counters, after: Counters, passed_s: float) -> Port:
    """One interface as facts and two looks at its counters tell it."""
    name = facts.interface
    addresses = addresses_of(name)
    flags = _number(name, SIOCGIFFLAGS)
    loopback = flags is not None and bool(flags & IFF_LOOPBACK)
    received = after.rx_frames - before.rx_frames
    sent = after.tx_frames - before.tx_frames
    concerns: list[Concern] = []
    if loopback:
        concerns.append("loopback")
    if facts.up is False:
        concerns.append("off")
    elif facts.carrier is False:
        concerns.append("no-link")
    if addresses or facts.has_address:
        concerns.append("address")
    if sent and not loopback:
        concerns.append("sends")
    if not received and facts.carrier:
        concerns.append("no-frames")
    return Port(
        name=name,
        mac=_mac(name),
        up=facts.up,
        link=facts.carrier,
        speed_mbit_per_s=facts.speed_mbit_per_s,
        promiscuous=facts.promiscuous,
        addresses=addresses,
        frames=after.rx_frames,
        bytes=after.rx_bytes,
        frames_per_s=received / passed_s,
        bytes_per_s=(after.rx_bytes - before.rx_bytes) / passed_s,
        multicast_per_s=(
            (after.rx_multicast - before.rx_multicast) / passed_s if after.rx_multicast else None
        ),
        sent_per_s=sent / passed_s,
        concerns=concerns,
        may_mirror=bool(facts.carrier) and not concerns,
    )


def addresses_of(name: str) -> list[str]:
    """Its first IPv4 address, and its IPv6 addresses but the link-local ones."""
    found = []
    if (answer := _asked(name, SIOCGIFADDR)) is not None:
        found.append(socket.inet_ntop(socket.AF_INET, answer[4:8]))
    try:
        lines = Path("/proc/net/if_inet6").read_text(encoding="ascii").splitlines()
    except OSError:
        return found
    for line in lines:
        address, _, _, _, _, owner = line.split()
        text = socket.inet_ntop(socket.AF_INET6, bytes.fromhex(address))
        if owner == name and not text.startswith("fe80:"):
            found.append(text)
    return found


def _mac(name: str) -> str | None:
    answer = _asked(name, SIOCGIFHWADDR)
    if answer is None or struct.unpack_from("=H", answer)[0] != ARPHRD_ETHER:
        return None
    return answer[2:8].hex(":")


def _number(name: str, question: int) -> int | None:
    answer = _asked(name, question)
    return None if answer is None else int(struct.unpack_from("=H", answer)[0])


def _asked(name: str, question: int) -> bytes | None:
    """The kernel's answer, behind the name in `struct ifreq`; none when it has none."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        try:
            answer = fcntl.ioctl(asking, question, _IFREQ.pack(name.encode()[:15], b""))
        except OSError:
            return None
    rest: bytes = _IFREQ.unpack(answer)[1]
    return rest
