"""`http-activity`: a pair uses an HTTP method that was not learned."""

from support.alerts import Said, fired
from support.frames import HMI, OUTSIDE, PLC, ROUTER_MAC, Host
from support.messages import datagrams, http, modbus_read, talk

NORMAL = talk(http("GET", "/state"), port=80)


def test_fires_for_a_new_method() -> None:
    """Sending data is new for a client that only read pages."""
    assert {
        "http-activity": Said(
            "major",
            [HMI.ip],
            [PLC.ip],
            1,
            "10.0.0.2 → 10.0.0.1: post /state.",
            [b"POST /state HTTP/1.1"],
        )
    } == fired(talk(http("GET", "/state"), http("POST", "/state"), port=80), learn=NORMAL)


def test_stays_silent_for_another_page() -> None:
    """Pages are many; the method is the same."""
    assert not fired(talk(http("GET", "/alarms"), port=80), learn=NORMAL)


def test_stays_silent_for_responses_without_requests() -> None:
    """Of a conversation seen from one side only, the method is not known."""
    one_way = talk((b"", http("GET", "/")[1]), port=80)

    assert "http-activity" not in fired(one_way, learn=talk(modbus_read(), port=502))


def test_stays_silent_where_the_internet_is_told() -> None:
    """Pages of the internet are told as access to the internet."""
    outside = talk(http("GET", "/"), server=OUTSIDE, port=80)
    seen = datagrams((b"x",), client=Host(mac=ROUTER_MAC, ip="10.0.0.254"), ports=(5000, 5000))

    assert {"internet-access"} == fired(outside, learn=NORMAL + seen).keys()
