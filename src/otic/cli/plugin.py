"""`otic plugin`: readers in Python for payloads that no definition can read."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from otic.cli import DONE
from otic.errors import PluginError
from otic.facts import Payload, decode_batch, unpack_spans
from otic.plugins import MANIFEST, NAME, read, read_all
from otic.plugins.pool import Pool
from otic.sensor.pipeline import open_captures
from otic.settings import Settings, load

MANIFEST_TEMPLATE = """\
# A plug-in. See what it reads with: otic plugin test {name} CAPTURE

name = "{name}"
version = "1"
# Kinds of payloads: of a definition's `payload`, "x509-certificate" or "http-body".
payloads = ["{name}"]
# Module (a file of this folder) and function.
entry-point = "{module}:read"
# Longest time for one payload, in milliseconds.
deadline-ms = 500
"""

MODULE_TEMPLATE = '''\
"""Reads the payloads of {name}."""


def read(kind, protocol, data):
    """Yields (attribute, value) or (attribute, value, confidence) about the sender.

    `data` is what came over the network: trust no length in it. Attributes are name, type, vendor,
    model, firmware, hardware, serial, order_number, os, description, location, or any word of your
    own in snake_case; confidences are "low", "medium" and "high".
    """
    for line in data.decode(errors="replace").splitlines():
        key, equals, value = line.partition("=")
        if equals and key.strip() in ("model", "serial", "firmware"):
            yield key.strip(), value.strip()


if __name__ == "__main__":
    assert list(read("{name}", "", b"model = M-3\\nother")) == [("model", "M-3")]
'''


def show_all(config: Path | None) -> int:
    """Prints one line a plug-in of the settings."""
    for plugin in read_all(load(config).plugins):
        one = plugin.manifest
        kinds = ", ".join(one.payloads)
        print(f"{one.name:18} {one.version:8} reads {kinds} within {one.deadline_ms} ms")
    return DONE


def new(name: str, folder: Path) -> int:
    """Makes a folder with a plug-in to start from.

    Raises:
        PluginError: the name is none, or the folder is there already.
    """
    if not NAME.fullmatch(name):
        raise PluginError(f"{name!r}: a name is lower-case words joined by hyphens")
    path = folder / name
    module = name.replace("-", "_")
    try:
        path.mkdir()
        (path / MANIFEST).write_text(
            MANIFEST_TEMPLATE.format(name=name, module=module), encoding="utf-8"
        )
        (path / f"{module}.py").write_text(MODULE_TEMPLATE.format(name=name), encoding="utf-8")
    except FileExistsError:
        raise PluginError(f"{path}: is there already") from None
    except OSError as error:
        raise PluginError(f"{path}: {error.strerror}") from None
    print(f"{path} is made. See what it reads: otic plugin test {path} CAPTURE")
    print(f'To use it: plugins = ["{path.resolve()}"] in otic.toml')
    return DONE


def test(folder: Path, capture: Path, config: Path | None) -> int:
    """Prints what the plug-in says of each payload in the capture."""
    plugin = read(folder)
    plugins = Pool([plugin])
    read_of = 0
    count = 0
    try:
        plugins.check(plugin)
        for payload in _payloads(capture, load(config)):
            if payload.kind not in plugin.manifest.payloads:
                continue
            count += 1
            rows = plugins.ask(plugin, payload.kind, payload.protocol, payload.bytes)
            read_of += bool(rows)
            _, frame, *_ = unpack_spans(payload.spans)[0]
            print(
                f"frame {frame}  {payload.kind} of {payload.protocol}, {len(payload.bytes)} bytes"
            )
            for attribute, value, confidence in rows:
                print(f"    {attribute} = {value} ({confidence})")
    finally:
        plugins.close()
    print(f"{plugin.manifest.name}: says something of {read_of} of {count} payloads")
    return DONE


def _payloads(capture: Path, settings: Settings) -> Iterator[Payload]:
    for data in open_captures([capture], settings):
        yield from decode_batch(data).payloads
