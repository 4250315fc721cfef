"""`snmp-operation`: a pair uses an SNMP operation that was not learned."""

from support.alerts import Said, fired
from support.frames import HMI, PLC
from support.messages import datagrams, snmp

GET, SET, RESPONSE, TRAP = 0xA0, 0xA3, 0xA2, 0xA7
NORMAL = datagrams((snmp(GET), snmp(RESPONSE)), ports=(50000, 161))


def test_fires_for_a_new_operation() -> None:
    """Setting is new for a manager that only read."""
    assert {
        "snmp-operation": Said(
            "major",
            [HMI.ip],
            [PLC.ip],
            1,
            "10.0.0.2 → 10.0.0.1: set-request.",
            [snmp(SET)],
        )
    } == fired(datagrams((snmp(SET), snmp(RESPONSE)), ports=(50000, 161)), learn=NORMAL)


def test_stays_silent_for_a_learned_operation() -> None:
    """Another read is known."""
    assert not fired(datagrams((snmp(GET, 9), snmp(RESPONSE, 9)), ports=(50001, 161)), learn=NORMAL)


def test_stays_silent_for_traps() -> None:
    """An agent that reports did nothing of its own; its new connection is told."""
    trap = datagrams((snmp(TRAP),), client=PLC, server=HMI, ports=(50000, 162))

    assert {"new-connection"} == fired(NORMAL + trap, learn=NORMAL).keys()
