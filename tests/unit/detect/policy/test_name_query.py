"""`name-query`: a machine asks for a name that it did not ask for before."""

from support.alerts import fired
from support.frames import HMI, PLC
from support.messages import datagrams, dns_query


def asks(name: str) -> list[tuple[int, bytes]]:
    """A question to the name server."""
    return datagrams((dns_query(name),), ports=(50000, 53))


def test_fires_for_a_new_name() -> None:
    """The name is told; the message is cited."""
    alert = fired(asks("update.example"), learn=asks("historian.example"))

    assert {"name-query"} == alert.keys()
    told = alert["name-query"]
    assert ("major", [HMI.ip], [PLC.ip], 1) == (
        told.severity,
        told.sources,
        told.destinations,
        told.count,
    )
    assert "10.0.0.2 asks for update.example." == told.text
    assert [dns_query("update.example")] == told.cited


def test_stays_silent_for_a_learned_name() -> None:
    """The same name again is known."""
    assert not fired(asks("historian.example"), learn=asks("historian.example"))
