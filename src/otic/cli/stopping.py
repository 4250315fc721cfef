"""How a program that runs on is told to end."""

from __future__ import annotations

import signal
from collections.abc import Callable


def until_signalled() -> Callable[[], bool]:
    """Whether SIGTERM or Ctrl-C came since this was called.

    A handler runs in the middle of anything, also of itself: it takes no lock, as setting an
    event would.
    """
    came: list[int] = []
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda number, _: came.append(number))
    return lambda: bool(came)
