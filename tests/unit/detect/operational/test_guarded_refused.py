"""`guarded-refused`: a controller refuses to be programmed, stopped, reset or the like."""

from otic.plant import messages as m
from support.alerts import Said, fired
from support.frames import HMI, PLC
from support.messages import (
    bacnet_read,
    bacnet_reinitialize,
    bacnet_talk,
    dnp3,
    dnp3_talk,
    s7_refused,
    s7_talk,
)


def test_fires_for_a_refused_stop() -> None:
    """A controller whose key switch protects it answers a stop with an error."""
    request, refusal = s7_refused(m.S7_STOP)

    assert {
        "guarded-refused": Said(
            "major",
            [HMI.ip],
            [PLC.ip],
            1,
            "10.0.0.1 refused plc-stop of 10.0.0.2 (s7comm).",
            [request[7:]],
        )
    } == fired(s7_talk((request, refusal)))


def test_fires_for_a_reinitialization_with_a_wrong_password() -> None:
    """A BACnet device that refuses to restart is one, too."""
    alert = fired(bacnet_talk(bacnet_reinitialize(0, accepted=False)))

    assert {"guarded-refused"} == alert.keys()


def test_fires_once_where_the_function_is_unknown() -> None:
    """An outstation without restart refuses it: told as tried, not as unknown again."""
    assert {"guarded-refused"} == fired(dnp3_talk(dnp3(13, iin=0x0001))).keys()


def test_stays_silent_for_an_accepted_one() -> None:
    """What was carried out is told as such."""
    assert {"controller-reset"} == fired(bacnet_talk(bacnet_reinitialize(0, accepted=True))).keys()


def test_stays_silent_for_a_refused_read() -> None:
    """A read of an unknown object is nothing of that kind."""
    assert not fired(bacnet_talk(bacnet_read(1, error=True)))
