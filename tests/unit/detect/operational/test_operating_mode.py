"""`operating-mode`: a controller is told to change its operating mode."""

import struct

from support.alerts import Said, fired
from support.frames import HMI, PLC, modbus
from support.messages import bacnet_reinitialize, bacnet_talk, talk

LISTEN_ONLY = modbus(1, 1, 8, struct.pack("!HH", 4, 0))


def test_fires_for_listen_only_mode() -> None:
    """Modbus' diagnostics 4 takes a server off its line; it does not answer."""
    assert {
        "operating-mode": Said(
            "major",
            [HMI.ip],
            [PLC.ip],
            1,
            "10.0.0.2 told 10.0.0.1 to change its mode"
            " (modbus: diagnostics-force-listen-only-mode).",
            [LISTEN_ONLY],
        )
    } == fired(talk((LISTEN_ONLY,), port=502))


def test_fires_for_a_restore_that_is_given_up() -> None:
    """ReinitializeDevice 6 ends a BACnet device's restore mode, and writes no program."""
    alert = fired(bacnet_talk(bacnet_reinitialize(6, accepted=True)))

    assert {"operating-mode"} == alert.keys()


def test_stays_silent_for_other_diagnostics() -> None:
    """Diagnostics 0 sends data back and switches nothing."""
    echo = modbus(1, 1, 8, bytes(4))

    assert not fired(talk((echo, echo), port=502))
