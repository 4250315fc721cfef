"""What the makers share: where they talk, and how they say what they did.

A maker is a script that lets a client of a real stack talk to a server, and prints what it did as
JSON. The words are Otic's, chosen by the one who made the calls and not read from the bytes.
"""

from __future__ import annotations

import json
import os
import socket
import sys
import time
from typing import NoReturn

SERVER = "10.77.0.1"
"""Where every server listens."""

CLIENT = "10.77.0.2"
"""From where the kernel lets a client ask it."""

PATIENCE_S = 20
STEP_S = 0.02


def until_open(port: int) -> None:
    """Waits until a server listens; the kernel's own list tells, so that no connection is made."""
    ends = [f"{address}:{port:04X}" for address in (_backwards(SERVER), "00000000")]
    for _ in range(round(PATIENCE_S / STEP_S)):
        with open("/proc/net/tcp") as listed:
            rows = [line.split() for line in listed]
        if any(row[1] in ends and row[3] == "0A" for row in rows):
            return
        time.sleep(STEP_S)
    sys.exit(f"nothing listens on port {port}")


def _backwards(address: str) -> str:
    return socket.inet_aton(address)[::-1].hex().upper()


class Made:
    """What a maker did, in a protocol or in several names of it."""

    def __init__(self, protocol: str) -> None:
        self._protocol = protocol
        self._said: dict[str, list[list[str | float | None]]] = {
            "calls": [],
            "changes": [],
            "claims": [],
            "events": [],
            "violations": [],
        }

    def call(
        self,
        name: str,
        what: str | None = None,
        outcome: str = "ok",
        *,
        new: str | float | None = None,
        protocol: str | None = None,
    ) -> None:
        """A call that the client made, on what, how it ended, and what it wrote."""
        self._said["calls"].append([protocol or self._protocol, name, what, outcome])
        if new is not None:
            self._said["changes"].append([what, new])

    def claim(self, attribute: str, value: str) -> None:
        """What an end was set up to say of itself."""
        self._said["claims"].append([attribute, value])

    def event(self, kind: str, user: str) -> None:
        """A log-in of a user, or one that the server refused."""
        self._said["events"].append([kind, user])

    def breaks(self, rule: str) -> None:
        """A rule of the protocol that the stack is known to break."""
        self._said["violations"].append([rule])

    def tell(self) -> NoReturn:
        """Prints it all and ends the process at once: threads of some stacks never end."""
        print(json.dumps(self._said), flush=True)
        os._exit(0)
