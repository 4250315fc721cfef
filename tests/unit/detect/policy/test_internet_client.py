"""`internet-client`: an address of the internet opens a conversation with the plant."""

from support.alerts import Said, fired
from support.frames import OUTSIDE, PLC, ROUTER_MAC, Host
from support.messages import datagrams, http, modbus_read, talk

ROUTER = Host(mac=ROUTER_MAC, ip="10.0.0.254")
NORMAL = talk(modbus_read(), port=502) + datagrams((b"x",), client=ROUTER, ports=(5000, 5000))
VISIT = talk(http("GET", "/"), client=OUTSIDE, port=80)


def test_fires_once_for_a_public_client() -> None:
    """Connection and method are told as one thing: somebody comes in from the internet."""
    assert {
        "internet-client": Said(
            "critical",
            [OUTSIDE.ip],
            [PLC.ip],
            2,
            "8.8.8.8 in the internet talks to 10.0.0.1 (http, port 80).",
            [http("GET", "/")[0]],
        )
    } == fired(VISIT, learn=NORMAL)


def test_stays_silent_for_a_client_of_the_plant() -> None:
    """The same from inside is HTTP that was not learned."""
    assert {"http-activity"} == fired(talk(http("GET", "/"), port=80), learn=NORMAL).keys()
