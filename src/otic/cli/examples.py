"""What a protocol definition says of the messages of its examples and of a capture."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

import msgspec

from otic.errors import CaptureError, ProtocolError
from otic.plant.frames import Host, Talk, Wire, ethernet
from otic.protocols import Definition, Example, in_force
from otic.sensor.protocols import define

CLIENT = Host("02:00:00:00:00:01", "192.0.2.1")
SERVER = Host("02:00:00:00:00:02", "192.0.2.2")
CLIENT_PORT = 40_000
ANY_PORT = 50_000
"""Server port where the definition hints at none."""
START_NS = 1_700_000_000_000_000_000


class Said(msgspec.Struct, frozen=True):
    """Something the definition said of a frame."""

    frame: int
    sender: str
    receiver: str
    kind: str
    text: str


def with_definition(definition: Definition) -> None:
    """Lets this definition hold, instead of another of its name.

    Raises:
        ProtocolError: it is refused.
    """
    others = tuple(one for one in in_force() if one.name != definition.name)
    define((*others, definition))


def of_capture(definition: Definition, capture: Path) -> tuple[list[Said], int]:
    """What the definition, which must hold, says of each frame, and the number of frames.

    Raises:
        CaptureError: the capture cannot be read.
    """
    from otic import _core

    try:
        rows, frames = _core.trace(str(capture), definition.name)
    except _core.CaptureError as error:
        raise CaptureError(str(error)) from None
    return [Said(*row) for row in rows], frames


def failures(definition: Definition) -> Iterator[str]:
    """Why an example of the definition, which must hold, is not as it says.

    Raises:
        ProtocolError: an example is no example.
    """
    if not definition.examples:
        yield f"{definition.file}: it has no example"
    for number, example in enumerate(definition.examples, 1):
        found = [
            f"{said.kind} {said.text}" if said.text else said.kind
            for said in of_example(definition, example)
            if said.kind != "message"
        ]
        if found != example.says:
            wanted, got = ("\n    ".join(lines or ["nothing"]) for lines in (example.says, found))
            yield (
                f"{definition.file}: example {number} ({example.source}) should say"
                f"\n    {wanted}\n  and says\n    {got}"
            )


def of_example(definition: Definition, example: Example) -> list[Said]:
    """What the definition, which must hold, says of the messages of an example."""
    with tempfile.TemporaryDirectory() as folder:
        capture = Path(folder) / "example.pcapng"
        frames_of(definition, example).write(capture)
        return of_capture(definition, capture)[0]


def frames_of(definition: Definition, example: Example) -> Wire:
    """The messages as frames, over the first carrier that the definition names."""
    wire = Wire(START_NS)
    messages = [
        (side == "client", _bytes(definition, text))
        for message in example.messages
        for side, text in message.items()
    ]
    carriers = definition.carriers
    if "tcp" in carriers:
        port = next(iter(carriers["tcp"]), ANY_PORT)
        talk = Talk(wire, CLIENT, CLIENT_PORT, SERVER, port)
        for from_client, data in messages:
            (talk.say if from_client else talk.hear)(data)
        talk.close()
        return wire
    for from_client, data in messages:
        source, destination = (CLIENT, SERVER) if from_client else (SERVER, CLIENT)
        if "udp" in carriers:
            port = next(iter(carriers["udp"]), ANY_PORT)
            ports = (CLIENT_PORT, port) if from_client else (port, CLIENT_PORT)
            wire.udp(source, ports[0], destination, ports[1], data)
        elif "ip" in carriers:
            wire.ip(source, destination, carriers["ip"][0], data)
        elif "ethertype" in carriers:
            kind = carriers["ethertype"][0]
            wire.send(ethernet(source.mac_bytes, destination.mac_bytes, kind, data))
        else:
            head = _logical_link(definition)
            macs = source.mac_bytes, destination.mac_bytes
            wire.send(ethernet(*macs, len(head) + len(data), head + data))
    return wire


def _logical_link(definition: Definition) -> bytes:
    """LLC header, unnumbered information, with SNAP where the definition asks for it."""
    if "llc" in definition.carriers:
        sap = int(definition.carriers["llc"][0])
        return bytes([sap, sap, 3])
    organisation, kind = definition.carriers["snap"][0]
    return b"\xaa\xaa\x03" + int(organisation).to_bytes(3) + int(kind).to_bytes(2)


def _bytes(definition: Definition, text: str) -> bytes:
    try:
        if text.startswith("text:"):
            return text.removeprefix("text:").encode("latin-1")
        return bytes.fromhex(text)
    except ValueError as error:
        raise ProtocolError(f"{definition.file}: examples: {text[:40]!r}: {error}") from None


def by_frame(said: list[Said]) -> Iterator[tuple[int, list[Said]]]:
    """The same in groups of one frame."""
    for frame, group in groupby(said, lambda one: one.frame):
        yield frame, list(group)
