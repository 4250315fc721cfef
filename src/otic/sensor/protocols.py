"""Protocol definitions into the core."""

from __future__ import annotations

from collections.abc import Iterable

import structlog

from otic.errors import ProtocolError
from otic.inventory.types import types
from otic.protocols import Definition, read, use

log = structlog.get_logger()


def take(places: Iterable[str] = ()) -> None:
    """Lets the built-in definitions and those in these files and folders hold in this process.

    Raises:
        ProtocolError: one of them is refused; those before hold on.
    """
    define(read(places))


def take_or_go_without(places: Iterable[str]) -> None:
    """The same for a process that must run: when one of them is refused, that is logged and the
    built-in ones hold.
    """
    try:
        take(places)
    except ProtocolError as error:
        log.error("definitions_refused", reason=str(error))
        take()


def define(definitions: tuple[Definition, ...]) -> None:
    """Lets exactly these definitions hold in this process.

    Raises:
        ProtocolError: one of them is refused; those before hold on.
    """
    from otic import _core

    for one in definitions:
        for type_ in (one.inventory.client_type, one.inventory.server_type):
            if type_ and type_ not in types():
                raise ProtocolError(f"{one.file}: inventory: there is no device type {type_!r}")
    try:
        _core.define([(one.file, one.text) for one in definitions])
    except _core.DefinitionError as error:
        raise ProtocolError(str(error)) from None
    use(definitions)
