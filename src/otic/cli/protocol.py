"""`otic protocol`: the protocols Otic reads, and definitions of one's own."""

from __future__ import annotations

import re
from pathlib import Path

from otic.cli import DEVIATIONS, DONE
from otic.cli.examples import by_frame, failures, of_capture, with_definition
from otic.errors import ProtocolError
from otic.protocols import Definition, in_force, parse
from otic.sensor.protocols import take
from otic.settings import load

NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")

TEMPLATE = """\
# A protocol definition. The format is described in docs/protocol-definitions.md; see what this one
# decodes with: otic protocol test {name}.toml [CAPTURE]

name = "{name}"
title = "{title}"
source = "name here the standard and clause, or the capture and frames, of each fact"
client = "client"
server = "server"
not-decoded = "the data of functions other than identify"

# Where it is carried: tcp, udp, ethertype, llc, snap, ip. Ports are hints only.
carriers = {{ tcp = [62000] }}

# A response has these fields in common with its request.
pair = ["transaction"]

# The fields of every message, front to back. `is` is what makes the protocol recognisable.
fields = [
  {{ type = "text", is = "OT" }},
  {{ name = "length", type = "u8", counts = "rest" }},
  {{ name = "transaction", type = "u8" }},
  {{ name = "function", type = "u8" }},
  {{ name = "code", type = "bits", of = "function", mask = 0x3f }},
  {{ name = "response", type = "bits", of = "function", mask = 0x80 }},
  {{ name = "refused", type = "bits", of = "function", mask = 0x40 }},
]

[inventory]
industrial = true
identity = 50

# Kinds of messages: the first that fits counts.
[[messages]]
name = "request"
kind = "request"
when = {{ response = 0 }}
operation = {{ code = "code", table = "functions" }}

[[messages]]
name = "identity"
kind = "response"
when = {{ function = 0x81 }}
fields = [{{ name = "model", type = "text" }}]
operation = {{ code = "code", table = "functions" }}
claims = {{ model = "model" }}

[[messages]]
name = "response"
kind = "response"
when = {{ response = 1 }}
refused = {{ refused = 1 }}
operation = {{ code = "code", table = "functions" }}

[tables.functions]
1 = {{ name = "identify", action = "identify" }}
2 = {{ name = "read", action = "read" }}
3 = {{ name = "write", action = "write" }}

# Messages, and what must be said of them.
[[examples]]
source = "made by hand"
messages = [
  {{ client = "4f54 02 07 01" }},
  {{ server = "4f54 05 07 81 4d2d33" }},
  {{ client = "4f54 03 08 03 37" }},
  {{ server = "4f54 02 08 c3" }},
]
says = [
  "operation identify (1), identify, outcome ok",
  "claim model = M-3",
  "operation write (3), write, outcome error",
]
"""


def show_all(config: Path | None) -> int:
    """Prints one line a protocol."""
    from otic import _core

    take(load(config).protocols)
    defined = {one.name: one.file for one in in_force()}
    for name, title, *_ in sorted(_core.protocols()):
        print(f"{name:18} {title:28} {defined.get(name, 'built in')}")
    return DONE


def new(name: str, folder: Path) -> int:
    """Writes a definition to start from.

    Raises:
        ProtocolError: the name is none, or the file is there already.
    """
    if not NAME.fullmatch(name):
        raise ProtocolError(f"{name!r}: a name is lower-case words joined by hyphens")
    path = folder / f"{name}.toml"
    title = name.replace("-", " ").capitalize()
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(TEMPLATE.format(name=name, title=title))
    except FileExistsError:
        raise ProtocolError(f"{path}: is there already") from None
    except OSError as error:
        raise ProtocolError(f"{path}: {error.strerror}") from None
    print(f"{path} is made. See what it decodes: otic protocol test {path} [CAPTURE]")
    print(f'To use it: protocols = ["{path.resolve()}"] in otic.toml')
    return DONE


def test(file: Path, capture: Path | None) -> int:
    """Prints what the definition decodes, or which of its examples do not hold."""
    take()
    try:
        definition = parse(file.read_text(encoding="utf-8"), file.name)
    except (OSError, UnicodeDecodeError) as error:
        raise ProtocolError(f"{file}: {error}") from None
    with_definition(definition)
    return _examples(definition) if capture is None else _capture(definition, capture)


def _examples(definition: Definition) -> int:
    found = list(failures(definition))
    for failure in found:
        print(failure)
    count = len(definition.examples)
    print(f"{definition.file}: {count - len(found) if count else 0} of {count} examples hold")
    return DEVIATIONS if found else DONE


def _capture(definition: Definition, capture: Path) -> int:
    said, frames = of_capture(definition, capture)
    read = 0
    for frame, lines in by_frame(said):
        read += 1
        first = lines[0]
        print(f"frame {frame}  {first.sender} → {first.receiver}")
        for line in lines:
            if line.kind != "message" or line.text or len(lines) == 1:
                print(f"    {line.kind} {line.text}".rstrip())
    print(f"{definition.title}: {read} of {frames} frames of {capture.name}")
    return DONE
