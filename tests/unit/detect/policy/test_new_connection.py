"""`new-connection`: two machines talk in a way that they did not while it was learned."""

from support.alerts import fired
from support.frames import HMI, PLC, START_NS, STATION, arp
from support.messages import MODBUS_READ_INPUTS, modbus_read, talk

NORMAL = talk(modbus_read(), port=502)


def test_fires_for_a_new_port() -> None:
    """A session to a port that nobody used, in a protocol that nobody knows."""
    alert = fired(NORMAL + talk((b"hello", b"world"), port=9999), learn=NORMAL)

    assert {"new-connection"} == alert.keys()
    told = alert["new-connection"]
    assert ("warning", [HMI.ip], [PLC.ip], 2) == (
        told.severity,
        told.sources,
        told.destinations,
        told.count,
    )
    assert "10.0.0.2 talks to 10.0.0.1 (unknown, port 9999)." == told.text
    assert [bytes([10, 0, 0, 2, 10, 0, 0, 1])] == [cited[:8] for cited in told.cited]


def test_fires_beside_a_new_function_of_the_same_pair() -> None:
    """An alert never hides what it does not tell of."""
    both = talk(MODBUS_READ_INPUTS, port=502) + talk(
        (b"hello", b"world"), port=9999, client_port=50001
    )

    alert = fired(both, learn=NORMAL)

    assert {"modbus-function", "new-connection"} == alert.keys()
    assert alert["new-connection"].text.endswith("(unknown, port 9999).")


def test_stays_silent_for_a_learned_connection() -> None:
    """The same from another client port is the same connection."""
    assert not fired(talk(modbus_read(), port=502, client_port=50001), learn=NORMAL)


def test_stays_silent_where_its_functions_are_told() -> None:
    """A pair that never talked Modbus does now: its function says so."""
    stranger = talk(modbus_read(), client=STATION, port=502)
    seen = talk(modbus_read(), client=STATION, server=HMI, port=502)

    assert {"modbus-function"} == fired(stranger, learn=NORMAL + seen).keys()


def test_stays_silent_for_address_resolution() -> None:
    """Who asks for an address by ARP talks to nobody yet."""
    assert not fired([(START_NS, arp(HMI.mac, HMI.ip, PLC.ip))], learn=NORMAL)
