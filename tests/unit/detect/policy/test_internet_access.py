"""`internet-access`: a machine of the plant talks to the internet."""

from otic.settings import Settings, Subnet
from support.alerts import Said, fired
from support.frames import HMI, OUTSIDE, ROUTER_MAC, Host
from support.messages import datagrams, http, modbus_read, talk

ROUTER = Host(mac=ROUTER_MAC, ip="10.0.0.254")
NORMAL = talk(modbus_read(), port=502) + datagrams((b"x",), client=ROUTER, ports=(5000, 5000))
VISIT = talk(http("GET", "/"), server=OUTSIDE, port=80)


def test_fires_once_for_a_public_server() -> None:
    """Connection and method are told as one thing: somebody talks to the internet."""
    assert {
        "internet-access": Said(
            "critical",
            [HMI.ip],
            [OUTSIDE.ip],
            2,
            "10.0.0.2 talks to 8.8.8.8 in the internet (http, port 80).",
            [http("GET", "/")[0]],
        )
    } == fired(VISIT, learn=NORMAL)


def test_stays_silent_for_public_addresses_of_the_plant() -> None:
    """Plants that use public addresses inside name these networks."""
    own = Settings(subnet=[Subnet(cidr="8.8.8.0/24")])
    alert = fired(VISIT, learn=NORMAL, settings=own)

    assert "internet-access" not in alert
    assert "http-activity" in alert


def test_stays_silent_after_sign_off() -> None:
    """A connection that a named person allowed is allowed."""
    assert not fired(VISIT, learn=NORMAL + VISIT, sign=True)
