"""`internet-client`: an address of the internet opens a conversation with the plant."""

import struct

from support.alerts import Said, fired
from support.frames import HMI, OUTSIDE, PLC, ROUTER_MAC, START_NS, Host, checksum, ipv4
from support.messages import datagrams, dns_query, http, modbus_read, talk

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


def test_stays_silent_for_an_error_that_answers_the_plant() -> None:
    """A host of the internet that cannot be reached says so (RFC 792); nobody came in."""
    quoted = ipv4(HMI.ip, OUTSIDE.ip, 17, bytes(8))
    error = bytes([3, 1, 0, 0]) + bytes(4) + quoted
    error = error[:2] + struct.pack("!H", checksum(error)) + error[4:]
    alert = fired([(START_NS, OUTSIDE.frame(HMI, 1, error))], learn=NORMAL)

    assert {"internet-access"} == alert.keys()
    assert [HMI.ip] == alert["internet-access"].sources


def test_stays_silent_for_an_answer_seen_from_one_side() -> None:
    """A response of a name server in the internet answers a machine of the plant."""
    response = dns_query("update.example")
    response = response[:2] + b"\x81\x80" + response[4:]
    seen = datagrams((response,), client=OUTSIDE, server=HMI, ports=(53, 53))
    alert = fired(seen, learn=NORMAL)

    assert "internet-client" not in alert
    assert [HMI.ip] == alert["internet-access"].sources
