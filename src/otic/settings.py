"""`otic.toml`: what people know about their plant and the traffic does not tell."""

from __future__ import annotations

import ipaddress
import re
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin

import msgspec

from otic.errors import SettingsError

Flag = Literal["programming station", "scanner", "important", "authorised", "safety"]

IpNetwork = ipaddress.IPv4Network | ipaddress.IPv6Network


class Space(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One mapping of traffic to an address space; the first that matches counts."""

    kind: Literal["vlan", "interface", "tunnel", "subnet"]
    """What the traffic is told by."""
    match: str
    """A VLAN id, an interface name, a tunnel as `<kind> <id>` or a subnet in CIDR form."""
    space: str
    """Name of the address space."""


class Subnet(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A subnet of the plant. Public addresses inside one are the plant's own."""

    cidr: str
    """The subnet in CIDR form, e.g. `10.1.0.0/16`."""
    name: str = ""
    """What people call it."""
    zone: str = ""
    """The zone it belongs to."""
    industrial: bool = True
    """Whether plant equipment stands there."""


class Known(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What people say about one address."""

    address: str
    """The address, MAC or IP."""
    space: str = ""
    """Its address space; empty for the address in every space."""
    name: str = ""
    """What people call the device."""
    type: str = ""
    """What kind of device it is."""
    flags: list[Flag] = []
    """What it may do, or how much it matters."""


class Interface(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One monitored interface: nothing is ever sent on it."""

    name: str
    """Name of the network interface, as `ip link` shows it; of a pipe, any name."""
    pipe: str = ""
    """Read frames as a pcap stream out of this named pipe, which another program writes."""
    filter: str = ""
    """A pcap filter of at most 2,000 letters: frames that do not pass are counted and not read."""
    fanout: Annotated[int, msgspec.Meta(ge=1, le=16)] = 1
    """Spread the interface over so many rings."""
    promiscuous: bool = True
    """Whether frames to other stations are taken."""
    ring_bytes: Annotated[int, msgspec.Meta(ge=2_097_152, le=4_294_967_296)] = 67_108_864
    """Memory of each ring, bytes."""


class Ring(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The packet ring on disk: how much it may hold, how old, and how fast it may write."""

    bytes: Annotated[int, msgspec.Meta(ge=0)] = 10_000_000_000
    """Most bytes on disk, fewer when others fill it; 0 switches the packet ring off."""
    hours: Annotated[int, msgspec.Meta(ge=0)] = 0
    """Packets are removed after so many hours of capture; 0 for no such limit."""
    bytes_per_s: Annotated[int, msgspec.Meta(ge=0)] = 60_000_000
    """Most bytes written a second, the rest is counted as dropped; 0 for no such limit."""


class Console(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where the sensor's console listens; never on a monitored interface."""

    host: str = "127.0.0.1"
    """Address on which it listens."""
    port: Annotated[int, msgspec.Meta(ge=0, le=65535)] = 8443
    """Its port; 0 takes a free one."""
    tls: bool = True
    """Whether it is served over TLS."""


class RuleSetting(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Overrides of one detection rule."""

    enabled: bool | None = None
    """Whether the rule is on; without a word, as the rule says."""
    severity: str | None = None
    """Severity of its alerts; without a word, as the rule says."""
    count: int | None = None
    """How often a threshold rule must see something; without a word, as the rule says."""
    within_s: int | None = None
    """In how many seconds; without a word, as the rule says."""


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All of `otic.toml`; every part may be left out."""

    tenant: str = "local"
    """The organisation that every row of the store is marked with."""
    site: str = "local"
    """Name of the site where the sensor stands."""
    zone: str = "local"
    """Name of the zone where the sensor stands."""
    sensor: str = "local"
    """Name of this sensor."""
    space: list[Space] = []
    """Address spaces, where the same addresses exist more than once."""
    subnet: list[Subnet] = []
    """The plant's subnets."""
    device: list[Known] = []
    """What people say about addresses."""
    rule: dict[str, RuleSetting] = {}
    """Overrides of detection rules, by their id: `[rule.ID]`."""
    rules: list[str] = []
    """Files or folders with detection rules of one's own."""
    protocols: list[str] = []
    """Files or folders with protocol definitions of one's own."""
    plugins: list[str] = []
    """Folders of plug-ins: readers in Python for payloads."""
    packets_bytes: int = 200_000_000
    """Most bytes of cited frames kept: of a sensor's alerts, or by `otic replay --database`."""
    interface: list[Interface] = []
    """The monitored interfaces."""
    user: str = ""
    """Whom the capture process becomes when it is started by root."""
    threads: Annotated[int, msgspec.Meta(ge=1, le=64)] = 1
    """Threads of the packet core."""
    canary_s: Annotated[int, msgspec.Meta(ge=1, le=3600)] = 60
    """Seconds between two canaries, frames that Otic makes itself to see that all its stages work.
    A stage that does not show one within as long again is named."""
    learning_s: Annotated[int, msgspec.Meta(ge=0)] = 14 * 86_400
    """Observed seconds for which a new sensor learns what is normal."""
    journal_bytes: Annotated[int, msgspec.Meta(ge=64_000_000)] = 10_000_000_000
    """Most bytes of the journal on disk."""
    ring: Ring = Ring()
    """The packet ring on disk."""
    console: Console = Console()
    """The console."""

    def scope(self) -> dict[str, str]:
        """Where the sensor stands, as every row of the store names it."""
        return {"tenant": self.tenant, "site": self.site, "zone": self.zone, "sensor": self.sensor}

    def spaces(self) -> list[tuple[str, str, str]]:
        """The space map as the core takes it: (kind, match, space name)."""
        return [(entry.kind, entry.match, entry.space) for entry in self.space]

    def networks(self) -> list[tuple[IpNetwork, Subnet]]:
        """The plant's subnets, longest prefix first."""
        pairs = [(ipaddress.ip_network(subnet.cidr), subnet) for subnet in self.subnet]
        return sorted(pairs, key=lambda pair: -pair[0].prefixlen)

    def known(self, space: str, address: str) -> Known | None:
        """What people say about this address; the most specific entry counts."""
        entries = [e for e in self.device if e.address == address and e.space in ("", space)]
        return max(entries, key=lambda entry: entry.space != "", default=None)


def load(path: Path | None) -> Settings:
    """The settings in this file; the defaults without one.

    Raises:
        SettingsError: the file is missing or says something Otic does not understand; the message
            is one line that names the path of every wrong key.
    """
    if path is None:
        return Settings()
    try:
        data = path.read_bytes()
    except OSError as error:
        raise SettingsError(f"{path.name}: {error.strerror}") from None
    return parse(data, path.name)


def parse(data: bytes, name: str) -> Settings:
    """The settings that these bytes of a TOML file say; `name` is how the file is called.

    Raises:
        SettingsError: as `load` does.
    """
    try:
        written = msgspec.toml.decode(data, type=dict[str, Any])
    except (msgspec.MsgspecError, ValueError) as error:
        raise SettingsError(f"{name}: {error}") from None
    wrong = wrong_keys(written)
    if wrong:
        raise SettingsError(f"{name}: {'; '.join(wrong)}")
    return msgspec.convert(written, Settings)


def wrong_keys(written: dict[str, Any]) -> list[str]:
    """What is wrong with these settings, each as `path.of.key: why`; nothing when all is well."""
    types = {field.encode_name: field.type for field in msgspec.structs.fields(Settings)}
    wrong = [f"{key}: is not a setting" for key in written if key not in types]
    for key, value in written.items():
        if key not in types:
            continue
        element = get_args(types[key])[0] if get_origin(types[key]) is list else None
        if element is not None and isinstance(value, list):
            for number, one in enumerate(value):
                wrong += _wrong(one, element, f"{key}[{number}]")
        else:
            wrong += _wrong(value, types[key], key)
    for number, subnet in enumerate(written.get("subnet", []) if not wrong else []):
        try:
            ipaddress.ip_network(subnet["cidr"])
        except ValueError as error:
            wrong.append(f"subnet[{number}].cidr: {error}")
    return wrong


_AT = re.compile(r"(?P<why>.*?)(?: - at (?:`key` in )?`\$(?P<path>.*)`)?")
_UNKNOWN = re.compile(r"Object contains unknown field `(.*)`")
_MISSING = re.compile(r"Object missing required field `(.*)`")


def _wrong(value: object, wanted: Any, path: str) -> list[str]:
    """What is wrong with the value at this path."""
    try:
        msgspec.convert(value, wanted)
    except msgspec.ValidationError as error:
        found = _AT.fullmatch(str(error))
        why, place = (found["why"], path + (found["path"] or "")) if found else (str(error), path)
        if unknown := _UNKNOWN.fullmatch(why):
            return [f"{place}.{unknown[1]}: is not a setting"]
        if missing := _MISSING.fullmatch(why):
            return [f"{place}.{missing[1]}: is missing"]
        return [f"{place}: {why}"]
    return []


EACH = "*"
"""As a match: each VLAN (or interface) that the captures show is a space of its own."""

_SPACE_BY = re.compile(r"(vlan|interface|tunnel|subnet)(?:=([^=]+)(?:=(.+))?)?")


def with_space_by(settings: Settings, mappings: list[str]) -> Settings:
    """Settings with `--space-by KIND=MATCH=SPACE` in front.

    `KIND=MATCH` names the space after the match; `vlan` or `interface` alone gives each its own.

    Raises:
        SettingsError: a mapping is not of that form.
    """
    spaces: list[Space] = []
    for text in mappings:
        found = _SPACE_BY.fullmatch(text)
        if found is None or (found[2] is None and found[1] not in ("vlan", "interface")):
            raise SettingsError(
                f"--space-by {text}: write vlan, interface, vlan=ID=NAME, interface=NAME=NAME, "
                "tunnel=ID=NAME or subnet=CIDR=NAME"
            )
        match = found[2] or EACH
        spaces.append(
            msgspec.convert(
                {"kind": found[1], "match": match, "space": found[3] or f"{found[1]} {match}"},
                Space,
            )
        )
    return msgspec.structs.replace(settings, space=[*spaces, *settings.space])
