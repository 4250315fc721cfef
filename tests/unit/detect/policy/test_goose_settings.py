"""`goose-settings`: a GOOSE control block is published with settings that were not learned."""

from support.alerts import fired
from support.frames import PLC
from support.industrial import GOOSE, GOOSE_GROUP, goose, on_link

NORMAL = on_link(GOOSE, (PLC, GOOSE_GROUP, goose()))


def test_fires_for_another_revision() -> None:
    """Whoever configures a publisher counts its revision up."""
    alerts = fired(on_link(GOOSE, (PLC, GOOSE_GROUP, goose(revision=2))), learn=NORMAL)

    assert {"goose-settings"} == alerts.keys()
    alert = alerts["goose-settings"]
    assert ("warning", [PLC.mac], [GOOSE_GROUP.mac], 1) == (
        alert.severity,
        alert.sources,
        alert.destinations,
        alert.count,
    )
    assert alert.text == (
        f"{PLC.mac} publishes IED1LD0/LLN0$GO$gcb1 with other settings"
        " (data set IED1LD0/LLN0$DS1, revision 2, application 0x1001)."
    )


def test_stays_silent_for_a_new_state() -> None:
    """What the message says changes with the plant, what it is does not."""
    again = on_link(GOOSE, (PLC, GOOSE_GROUP, goose()), (PLC, GOOSE_GROUP, goose(state=2)))

    assert not fired(again, learn=NORMAL)


def test_stays_silent_where_the_publisher_itself_is_new() -> None:
    """A machine that sends to the group for the first time is told as that."""
    other = on_link(0x9999, (PLC, GOOSE_GROUP, bytes(46)))

    assert {"multicast-connection"} == fired(NORMAL, learn=other).keys()
