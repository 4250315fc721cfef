"""`template`: what the rule sees, in a few words."""

from support.alerts import Said, fired
from support.frames import HMI, PLC, modbus
from support.messages import talk

CLEAR = modbus(1, 1, 8, b"\0\x0a\0\0")
"""Diagnostics, sub-function 10: clear counters (V1.1b3 §6.8)."""


def test_fires_when_counters_are_cleared() -> None:
    """Severity, parties, count, text and the bytes cited: all that an analyst sees."""
    assert fired(talk((CLEAR, CLEAR), port=502))["template"] == Said(
        "minor",
        [HMI.ip],
        [PLC.ip],
        1,
        "10.0.0.2 → 10.0.0.1: diagnostics-clear-counters-and-diagnostic-register (modbus).",
        [CLEAR],
    )


def test_stays_silent_for_other_diagnostics() -> None:
    """The near miss: what looks much the same and is harmless."""
    echo = modbus(1, 1, 8, bytes(4))

    assert not fired(talk((echo, echo), port=502))
