"""`goose-needs-commissioning`: a publisher says that its control block is not configured."""

from support.alerts import fired
from support.frames import PLC
from support.industrial import GOOSE, GOOSE_GROUP, goose, on_link


def test_fires_when_the_flag_is_set() -> None:
    """The flag (ndsCom) stands in every message until it is cleared: that is one time."""
    message = goose(needs_commissioning=True)
    alerts = fired(on_link(GOOSE, *[(PLC, GOOSE_GROUP, message)] * 3))

    assert {"goose-needs-commissioning"} == alerts.keys()
    alert = alerts["goose-needs-commissioning"]
    assert ("major", [PLC.mac], [GOOSE_GROUP.mac], 1) == (
        alert.severity,
        alert.sources,
        alert.destinations,
        alert.count,
    )
    assert alert.text == f"{PLC.mac} says that IED1LD0/LLN0$GO$gcb1 is not fully configured."
    assert alert.cited == [b"\1"]


def test_stays_silent_while_it_is_configured() -> None:
    """The flag is there but not set."""
    assert not fired(on_link(GOOSE, (PLC, GOOSE_GROUP, goose())))
