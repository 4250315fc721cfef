"""`new-device`: an address speaks that did not speak while normal behaviour was learned."""

import struct

from support.alerts import Said, fired
from support.frames import HMI, SECOND_NS, START_NS, STATION, Host, checksum, ethernet
from support.messages import datagrams, modbus_read, talk

NORMAL = talk(modbus_read(), port=502)
DATAGRAM = datagrams((b"here I am",), client=STATION, server=HMI, ports=(5000, 5001))


def test_fires_once_for_a_new_machine() -> None:
    """A machine is told by its IP address, not by its MAC again."""
    alert = fired(NORMAL + DATAGRAM, learn=NORMAL)

    assert {"new-device"} == alert.keys()
    assert alert["new-device"] == Said(
        "major", [STATION.ip], [], 1, "10.0.0.3 speaks and was not known.", [bytes([10, 0, 0, 3])]
    )


def test_fires_once_for_a_machine_with_two_families() -> None:
    """The link-local IPv6 address of the same card is the same machine."""
    hello = ethernet(STATION.mac, "33:33:00:00:00:01", 0x86DD, unsolicited_neighbour())
    alert = fired([*NORMAL, *DATAGRAM, (START_NS + SECOND_NS, hello)], learn=NORMAL)

    assert {"new-device"} == alert.keys()
    assert [STATION.ip] == alert["new-device"].sources


def test_stays_silent_for_known_machines() -> None:
    """Machines that spoke while learning are known, whatever they say now."""
    again = datagrams((b"something else",), ports=(5000, 5001))

    assert not fired(again, learn=NORMAL)


def test_stays_silent_for_an_address_that_does_not_speak() -> None:
    """An address that is only spoken to may not exist."""
    absent = Host(mac="02:00:00:00:00:09", ip="10.0.0.9")
    call = datagrams((b"anybody there",), server=absent, ports=(5000, 5001))

    assert not fired(call, learn=NORMAL)


def unsolicited_neighbour() -> bytes:
    """A neighbour advertisement of fe80::ff:fe00:3 to all nodes (RFC 4861 §4.4)."""
    source = bytes.fromhex("fe80000000000000000000fffe000003")
    group = bytes.fromhex("ff020000000000000000000000000001")
    message = bytes([136, 0, 0, 0, 0x20, 0, 0, 0]) + source
    message += b"\x02\x01" + bytes.fromhex(STATION.mac.replace(":", ""))
    pseudo = source + group + struct.pack("!IxxxB", len(message), 58)
    message = message[:2] + struct.pack("!H", checksum(pseudo + message)) + message[4:]
    return struct.pack("!IHBB", 6 << 28, len(message), 58, 255) + source + group + message
