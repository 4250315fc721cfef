"""`profinet-dcp-service`: a station is asked or told something by DCP that was not learned."""

from support.alerts import fired
from support.frames import HMI, PLC
from support.industrial import (
    DCP_GROUP,
    NAME_OF_STATION,
    RESET_TO_FACTORY,
    between,
    dcp_get,
    dcp_identify,
    dcp_set,
    profinet_data,
)

NORMAL = between((dcp_identify("valve-7"),), server=DCP_GROUP) + between(
    (profinet_data(), profinet_data(0x8002))
)


def test_fires_for_a_question_for_another_name() -> None:
    """A controller that looks for a device it did not look for has another project."""
    other = between((dcp_identify("valve-8"),), server=DCP_GROUP)
    alerts = fired(NORMAL + other, learn=NORMAL)

    assert {"profinet-dcp-service"} == alerts.keys()
    alert = alerts["profinet-dcp-service"]
    assert ("major", [HMI.mac], [DCP_GROUP.mac]) == (
        alert.severity,
        alert.sources,
        alert.destinations,
    )
    assert alert.text.endswith(": identify, name-of-station valve-8.")


def test_fires_for_a_get_that_was_not_learned() -> None:
    """The name of a station is read by a machine that did not talk to it."""
    alerts = fired(NORMAL + between(dcp_get()), learn=NORMAL)

    assert {"profinet-dcp-service"} == alerts.keys()
    assert [PLC.mac] == alerts["profinet-dcp-service"].destinations


def test_stays_silent_for_what_was_learned() -> None:
    """A controller asks for its devices whenever they are not there."""
    assert not fired(NORMAL, learn=NORMAL)


def test_stays_silent_where_a_first_write_or_a_reset_says_more() -> None:
    """A name that is set is a first write, a reset to factory settings is a reset."""
    named = between(dcp_set(NAME_OF_STATION, b"pump-1"))
    reset = between(dcp_set(RESET_TO_FACTORY, b""))

    assert {"first-write"} == fired(NORMAL + named, learn=NORMAL).keys()
    assert {"controller-reset"} == fired(NORMAL + reset, learn=NORMAL).keys()
