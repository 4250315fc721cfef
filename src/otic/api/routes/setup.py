"""Setting the sensor up: interfaces, the plant's subnets, learning time, into its `otic.toml`."""

from __future__ import annotations

import hashlib
import ipaddress
import os
import time
from pathlib import Path
from typing import Annotated, Any

import msgspec
from litestar import Request
from litestar.exceptions import HTTPException, NotFoundException

from otic.api.auth import current
from otic.api.routing import create, read
from otic.errors import SettingsError
from otic.sensor import setup as machine
from otic.sensor.settings_file import Chosen, Staged, changed
from otic.settings import IpNetwork, Subnet, parse
from otic.store.queries import capture, people
from otic.store.queries import setup as queries
from otic.store.queries.common import Store
from otic.times import iso

PREVIEW_S = 1.0
"""For so long the interfaces are watched for one look at their traffic."""

SHORTEST_LEARNING_S = 60
LONGEST_LEARNING_S = 366 * 86_400

Name = Annotated[str, msgspec.Meta(min_length=1, max_length=64)]


class SubnetChoice(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A subnet of the plant."""

    cidr: Annotated[str, msgspec.Meta(max_length=64)]
    name: Annotated[str, msgspec.Meta(max_length=100)] = ""
    industrial: bool = True


class SetupChoice(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What shall hold. `revision` names the text of `otic.toml` that the choice was made on."""

    interfaces: Annotated[list[Name], msgspec.Meta(max_length=64)]
    subnets: Annotated[list[SubnetChoice], msgspec.Meta(max_length=500)]
    learning_s: int
    revision: Annotated[str, msgspec.Meta(max_length=64)]


class ConfiguredInterface(msgspec.Struct, frozen=True, kw_only=True):
    """An interface that the settings name; frames may come out of a named pipe instead."""

    name: str
    pipe: bool


class ClockOut(msgspec.Struct, frozen=True, kw_only=True):
    """The machine's clock; none is what the kernel does not say."""

    time: str
    synchronised: bool | None
    offset_s: float | None
    error_s: float | None


class Setup(msgspec.Struct, frozen=True, kw_only=True):
    """How the sensor is set up, and what to choose from.

    `own_password`: whether who asks chose their password themselves. `problem` says why `otic.toml`
    cannot be used; then the rest is the defaults.
    """

    file: str
    revision: str
    problem: str | None
    own_password: bool
    interfaces: list[ConfiguredInterface]
    subnets: list[SubnetChoice]
    seen: list[queries.SeenNetwork]
    learning_s: int
    learning: capture.LearningOut | None
    clock: ClockOut


class SetupResult(msgspec.Struct, frozen=True, kw_only=True):
    """The new text of `file`; when it is not `written`, `reason` says why, and a person has to."""

    written: bool
    file: str
    text: str
    reason: str | None


@read("/api/setup", permission="sensor:set-up", errors=(404,), operation_id="getSetup")
def show(request: Request[Any, Any, Any], store: Store) -> Setup:
    """How the sensor is set up, the networks its traffic shows, and the machine's clock."""
    path = _config(request, store)
    text, reason = _text(path)
    settings, problem = parse(b"", path.name), reason
    try:
        settings = parse(text, path.name)
    except SettingsError as error:
        problem = str(error)
    clock = machine.clock()
    return Setup(
        file=str(path),
        revision=_revision(text),
        problem=problem,
        own_password=people.chose_password(store, current(request).name),
        interfaces=[
            ConfiguredInterface(name=one.name, pipe=bool(one.pipe)) for one in settings.interface
        ],
        subnets=[SubnetChoice(one.cidr, one.name, one.industrial) for one in settings.subnet],
        seen=queries.seen_networks(store),
        learning_s=settings.learning_s,
        learning=capture.capture(store).learning,
        clock=ClockOut(
            time=iso(int(clock.now_s * 1e9)),
            synchronised=clock.synchronised,
            offset_s=clock.offset_s,
            error_s=clock.error_s,
        ),
    )


@read(
    "/api/setup/interfaces",
    permission="sensor:set-up",
    errors=(404,),
    operation_id="previewInterfaces",
)
def preview(request: Request[Any, Any, Any], store: Store) -> list[machine.Port]:
    """The machine's interfaces and what came in on each within a second; nothing is captured."""
    _config(request, store)
    return machine.ports(PREVIEW_S)


@create(
    "/api/setup",
    permission="sensor:set-up",
    errors=(404, 409),
    status_code=200,
    operation_id="setUp",
)
def apply(request: Request[Any, Any, Any], data: SetupChoice, store: Store) -> SetupResult:
    """Write the choice into `otic.toml`; the running sensor takes it over.

    What is wrong is named field by field. Where the file cannot be written, the answer holds the
    text for a person to put there.
    """
    path = _config(request, store)
    by = current(request).name
    if not people.chose_password(store, by):
        raise HTTPException(status_code=409, detail="Choose a password of your own first.")
    text, reason = _text(path)
    if reason is not None:
        raise HTTPException(status_code=409, detail=f"{reason}.")
    if data.revision != _revision(text):
        detail = f"{path.name} was changed meanwhile. Load the page again."
        raise HTTPException(status_code=409, detail=detail)
    try:
        settings = parse(text, path.name)
    except SettingsError as error:
        raise HTTPException(status_code=409, detail=f"{error}.") from None
    # What the file says already may stay: a port that is unplugged now, a demo's half a minute.
    wrong = [
        *_wrong_interfaces(data.interfaces, {one.name for one in settings.interface}),
        *_wrong_subnets(data.subnets, {one.cidr for one in settings.subnet}),
    ]
    possible = SHORTEST_LEARNING_S <= data.learning_s <= LONGEST_LEARNING_S
    if data.learning_s != settings.learning_s and not possible:
        wrong.append(("learning_s", "Learning takes from one minute to 366 days."))
    if wrong:
        raise HTTPException(
            status_code=400,
            detail="Some of it cannot be set.",
            extra=[{"key": key, "message": why} for key, why in wrong],
        )
    chosen = Chosen(
        interfaces=data.interfaces,
        subnets=[
            Subnet(cidr=one.cidr.strip(), name=one.name, industrial=one.industrial)
            for one in data.subnets
        ],
        learning_s=data.learning_s,
    )
    new = changed(text.decode(), chosen)
    try:
        staged = Staged(path, new)
    except SettingsError as error:
        return SetupResult(written=False, file=str(path), text=new, reason=f"{error}.")

    def note(action: str) -> None:
        people.note(store, by=by, action=action, target=_said(chosen), now_ns=time.time_ns())

    try:
        # First, so that no change is without its record.
        note("sensor-set-up")
        staged.commit()
    except SettingsError as error:
        note("sensor-set-up-failed")
        return SetupResult(written=False, file=str(path), text=new, reason=f"{error}.")
    finally:
        staged.discard()
    return SetupResult(written=True, file=str(path), text=new, reason=None)


def _config(request: Request[Any, Any, Any], store: Store) -> Path:
    """The settings file of the sensor at work.

    Raises:
        NotFoundException: there is no sensor.
    """
    if store.live is None:
        raise NotFoundException(detail="This is the result of a replay; there is no sensor.")
    config: Path | None = request.app.state.config
    return (config or store.live.settings).absolute()


def _text(path: Path) -> tuple[bytes, str | None]:
    """The file's bytes, none while it is not there; and why it cannot be read."""
    try:
        return path.read_bytes(), None
    except FileNotFoundError:
        return b"", None
    except OSError as error:
        return b"", f"{path.name} cannot be read: {os.strerror(error.errno or 0)}"


def _revision(text: bytes) -> str:
    return hashlib.blake2b(text, digest_size=16).hexdigest()


def _wrong_interfaces(names: list[str], known: set[str]) -> list[tuple[str, str]]:
    if not names:
        return [("interfaces", "Choose at least one interface.")]
    if len(set(names)) < len(names):
        return [("interfaces", "An interface is named twice.")]
    there = {*machine.counters(), *known}
    return [
        (f"interfaces[{number}]", f"There is no interface {name} on this machine.")
        for number, name in enumerate(names)
        if name not in there
    ]


def _wrong_subnets(subnets: list[SubnetChoice], before: set[str]) -> list[tuple[str, str]]:
    wrong = []
    known: set[str] = set()
    for number, one in enumerate(subnets):
        why = None
        kept = one.cidr in before
        try:
            # An address alone would be a subnet of one: hardly what somebody means.
            network = ipaddress.ip_network(one.cidr.strip() if kept or "/" in one.cidr else "")
        except ValueError:
            why = f"{one.cidr or 'An empty line'} is no subnet{_meant(one.cidr)}."
        else:
            if not kept and _nobodys(network):
                why = f"{one.cidr} cannot be a plant's subnet."
            elif str(network) in known:
                why = f"{one.cidr} is there twice."
            known.add(str(network))
        if why is not None:
            wrong.append((f"subnets[{number}].cidr", why))
    return wrong


def _nobodys(network: IpNetwork) -> bool:
    return network.prefixlen == 0 or network.is_multicast or network.is_loopback


def _meant(text: str) -> str:
    """What somebody meant who wrote an address of the subnet instead of its first one."""
    try:
        if "/" in text:
            return f"; {ipaddress.ip_network(text.strip(), strict=False)} is one"
    except ValueError:
        pass
    return ", such as 10.20.1.0/24"


def _said(chosen: Chosen) -> str:
    """The choice as the audit keeps it."""
    subnets = ", ".join(one.cidr for one in chosen.subnets) or "none"
    words = f"interfaces {', '.join(chosen.interfaces)}; subnets {subnets}"
    return f"{words}; learning {chosen.learning_s} s"[:500]


handlers = [show, preview, apply]
