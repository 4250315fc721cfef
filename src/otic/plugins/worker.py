"""The worker: the one process in which plug-ins run.

It has the pipe to the process that asks, and no more of it: an environment without variables,
limits on memory, and no files to write. What a plug-in prints goes to standard error.
"""

from __future__ import annotations

import importlib.util
import os
import resource
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import msgspec

from otic.plugins.frames import LENGTH, Answer, Ask, Load, Request, pack

MEMORY = 1 << 30
"""Most memory the worker may have, in bytes of address space."""

MOST_ROWS = 64
"""Most rows taken of one answer."""

Reader = Callable[[str, str, bytes], Iterable[tuple[str, ...]]]


def main() -> None:
    """Answers requests until the input ends."""
    answers = os.dup(1)
    os.dup2(2, 1)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    sys.dont_write_bytecode = True
    readers: dict[str, Reader] = {}
    decoder = msgspec.msgpack.Decoder(Request)
    while head := sys.stdin.buffer.read(LENGTH):
        request = decoder.decode(sys.stdin.buffer.read(int.from_bytes(head)))
        try:
            answer = _answer(request, readers)
        except Exception as error:
            answer = Answer(failure=f"{type(error).__name__}: {error}")
        rest = memoryview(pack(answer))
        while rest:
            rest = rest[os.write(answers, rest) :]


def _answer(request: Request, readers: dict[str, Reader]) -> Answer:
    match request:
        case Load(plugin, module, function):
            readers[plugin] = _function(plugin, Path(module), function)
            return Answer()
        case Ask(plugin, kind, protocol, data):
            rows = []
            for row in readers[plugin](kind, protocol, data):
                rows.append(_row(*row))
                if len(rows) == MOST_ROWS:
                    break
            return Answer(rows)


def _row(attribute: object, value: object, confidence: object = "medium") -> tuple[str, str, str]:
    for one in (attribute, value, confidence):
        if not isinstance(one, str):
            raise TypeError(f"{one!r} is no text")
    return str(attribute), str(value), str(confidence)


def _function(plugin: str, module: Path, function: str) -> Reader:
    """The function of a module that lies in the plug-in's folder, by that file alone."""
    name = f"otic_plugin_{plugin.replace('-', '_')}"
    spec = importlib.util.spec_from_file_location(name, module)
    if spec is None or spec.loader is None:
        raise ImportError(f"{module.name} is no module")
    loaded: Any = importlib.util.module_from_spec(spec)
    sys.modules[name] = loaded
    sys.path.insert(0, str(module.parent))
    try:
        spec.loader.exec_module(loaded)
    finally:
        sys.path.remove(str(module.parent))
    reader: Reader = getattr(loaded, function)
    return reader


if __name__ == "__main__":
    main()
