"""Messages of PROFINET, IEC 61850, OPC UA and FINS, each with the clause it follows."""

from __future__ import annotations

import struct
from collections.abc import Sequence

from otic.plant import messages as m
from support.frames import HMI, MS_NS, PLC, START_NS, Host, Timed, ethernet
from support.messages import Exchange, datagrams, talk

Sent = tuple[Host, Host, bytes]
"""Who sends a frame, to whom, and what stands after the EtherType."""


def on_link(ether_type: int, *sent: Sent, at_ns: int = START_NS) -> list[Timed]:
    """Frames without IP, one after the other."""
    return [
        (at_ns + number * MS_NS, ethernet(sender.mac, receiver.mac, ether_type, payload))
        for number, (sender, receiver, payload) in enumerate(sent)
    ]


# -- PROFINET (IEC 61158-6-10) --------------------------------------------------------------------

PROFINET = 0x8892
DCP_GROUP = Host(mac="01:0e:cf:00:00:00", ip="")
NAME_OF_STATION = (2, 2)
RESET_TO_FACTORY = (5, 6)


def _dcp(frame_id: int, service: int, kind: int, data: bytes) -> bytes:
    return struct.pack(">HBBIHH", frame_id, service, kind, 7, 0, len(data)) + data


def _dcp_block(option: tuple[int, int], content: bytes) -> bytes:
    return struct.pack(">BBH", *option, len(content)) + content + bytes(len(content) % 2)


def dcp_identify(name: str) -> bytes:
    """The question who has this name (§4.3, frame id 0xFEFE)."""
    return _dcp(0xFEFE, 5, 0, _dcp_block(NAME_OF_STATION, name.encode()))


def dcp_get() -> tuple[bytes, bytes]:
    """A get of the name, and its response (frame id 0xFEFD)."""
    answer = _dcp_block(NAME_OF_STATION, b"\0\0valve-7")
    return _dcp(0xFEFD, 3, 0, bytes(NAME_OF_STATION)), _dcp(0xFEFD, 3, 1, answer)


def dcp_set(option: tuple[int, int], content: bytes, error: int = 0) -> tuple[bytes, bytes]:
    """A set of a block, and its response with a block error."""
    request = _dcp(0xFEFD, 4, 0, _dcp_block(option, b"\0\1" + content))
    return request, _dcp(0xFEFD, 4, 1, _dcp_block((5, 4), bytes([*option, error])))


def profinet_data(frame_id: int = 0x8001, status: int = 0x35) -> bytes:
    """Cyclic data (§4.7): 40 bytes, cycle counter, data status, transfer status."""
    return struct.pack(">H", frame_id) + bytes(40) + bytes([0x12, 0, status, 0])


PROFINET_ALARM = bytes.fromhex("fc01 0001 0002 1101fffffffe 0010") + bytes.fromhex(
    "0001000c0100 0003 00000000 0004 0001"
)
"""A pull alarm of slot 4, subslot 1 (§4.8, §5.2.5)."""


def between(*pairs: Sequence[bytes], client: Host = HMI, server: Host = PLC) -> list[Timed]:
    """PROFINET frames: of each pair the first is the client's, the others the server's."""
    sent = [
        (client, server, payload) if number == 0 else (server, client, payload)
        for pair in pairs
        for number, payload in enumerate(pair)
    ]
    return on_link(PROFINET, *sent)


# -- IEC 61850 (IEC 61850-8-1, IEC 61850-9-2, ISO 9506-2) -----------------------------------------

GOOSE, SAMPLED_VALUES = 0x88B8, 0x88BA
GOOSE_GROUP = Host(mac="01:0c:cd:01:00:01", ip="")
SAMPLES_GROUP = Host(mac="01:0c:cd:04:00:01", ip="")


def ber(tag: int, *content: bytes) -> bytes:
    """An element with a short tag and a short length (X.690)."""
    joined = b"".join(content)
    return bytes([tag, len(joined)]) + joined


def _published(app_id: int, pdu: bytes) -> bytes:
    return struct.pack(">HHHH", app_id, 8 + len(pdu), 0, 0) + pdu


def goose(*, revision: int = 1, state: int = 1, needs_commissioning: bool = False) -> bytes:
    """A GOOSE message of one boolean (IEC 61850-8-1 annex A)."""
    return _published(
        0x1001,
        ber(
            0x61,
            ber(0x80, b"IED1LD0/LLN0$GO$gcb1"),
            ber(0x81, b"\x07\xd0"),
            ber(0x82, b"IED1LD0/LLN0$DS1"),
            ber(0x83, b"trip"),
            ber(0x84, bytes(8)),
            ber(0x85, bytes([state])),
            ber(0x86, b"\0"),
            ber(0x88, bytes([revision])),
            ber(0x89, bytes([needs_commissioning])),
            ber(0x8A, b"\1"),
            ber(0xAB, ber(0x83, b"\1")),
        ),
    )


def samples(*, revision: int = 1) -> bytes:
    """A frame with one sample (IEC 61850-9-2 §8.5)."""
    asdu = ber(
        0x30,
        ber(0x80, b"MU01"),
        ber(0x82, b"\0\7"),
        ber(0x83, bytes([0, 0, 0, revision])),
        ber(0x85, b"\2"),
        ber(0x87, bytes(16)),
    )
    return _published(0x4000, ber(0x60, ber(0x80, b"\1"), ber(0xA2, asdu)))


def _mms(pdu: bytes) -> bytes:
    presented = ber(0x61, ber(0x30, b"\x02\x01\x03", ber(0xA0, pdu)))
    return m.tpkt(b"\x02\xf0\x80" + b"\x01\x00\x01\x00" + presented)


def mms(service: bytes, answer: bytes, number: int = 1) -> Exchange:
    """A confirmed service and its response (ISO 9506-2 clause 7), presentation context 3."""
    invoke = ber(0x02, bytes([number]))
    return _mms(ber(0xA0, invoke, service)), _mms(ber(0xA1, invoke, answer))


def mms_read(item: str = "LLN0$ST$Mod$stVal", number: int = 1) -> Exchange:
    """A read of one variable of LD0."""
    name = ber(0xA1, ber(0x1A, b"LD0"), ber(0x1A, item.encode()))
    wanted = ber(0xA1, ber(0xA0, ber(0x30, ber(0xA0, name))))
    return mms(ber(0xA4, wanted), ber(0xA4, ber(0xA1, ber(0x85, b"\1"))), number)


def mms_status(physical: int = 0, number: int = 2) -> Exchange:
    """The question how the device is, and the answer with its physical state (§10.1)."""
    answer = ber(0xA0, ber(0x80, b"\0"), ber(0x81, bytes([physical])))
    return mms(ber(0x80, b"\0"), answer, number)


def mms_talk(*exchanges: Exchange) -> list[Timed]:
    """An MMS association that was joined in its middle."""
    return talk(*exchanges, port=102)


# -- OPC UA (OPC 10000-6) -------------------------------------------------------------------------


def _opc_ua(number: int, body: bytes) -> bytes:
    """A message in one chunk (§6.7.2)."""
    head = struct.pack("<IIII", 1, 2, number, number)
    return b"MSGF" + struct.pack("<I", 8 + len(head) + len(body)) + head + body


def opc_ua(request: int, fields: bytes, response: int, answer: bytes, number: int = 1) -> Exchange:
    """A service by the ids of its encodings (annex A), and its good response."""
    asked = struct.pack("<BBH", 1, 0, request) + bytes(2) + bytes(16) + b"\xff" * 4 + bytes(7)
    told = struct.pack("<BBH", 1, 0, response) + bytes(12) + bytes(4) + b"\0" + b"\xff" * 4
    return _opc_ua(number, asked + fields), _opc_ua(number, told + bytes(3) + answer)


def opc_ua_read(node: int = 2259, number: int = 1) -> Exchange:
    """A read of the value of one node of OPC UA's own (OPC 10000-4 §5.11.2)."""
    wanted = struct.pack("<BBH", 1, 0, node) + struct.pack("<I", 13) + b"\xff" * 4
    fields = bytes(12) + struct.pack("<I", 1) + wanted + b"\0\0" + b"\xff" * 4
    value = struct.pack("<I", 1) + b"\1\6" + struct.pack("<I", 0)
    return opc_ua(631, fields, 634, value, number)


def opc_ua_browse(number: int = 2) -> Exchange:
    """A browse of no node (OPC 10000-4 §5.9.2)."""
    return opc_ua(527, bytes(2) + bytes(16) + bytes(4), 530, bytes(4), number)


OPC_UA_HELLO = (
    b"HELF" + struct.pack("<I", 36) + bytes(20) + struct.pack("<I", 4) + b"opc:",
    b"ACKF" + struct.pack("<I", 28) + bytes(20),
)
"""Hello and acknowledge (OPC 10000-6 §7.1.2)."""


def opc_ua_talk(*exchanges: Exchange) -> list[Timed]:
    """A connection with these services."""
    return talk(OPC_UA_HELLO, *exchanges, port=4840)


# -- FINS (OMRON W342) ----------------------------------------------------------------------------


def fins(command: int, fields: bytes = b"", answer: bytes = b"", *, end: int = 0) -> Exchange:
    """A command, and its response with an end code (sections 5-1, 5-2)."""
    routes = bytes([0, 2, 0, 1, 0, 0, 9, 0, 1])
    code = struct.pack(">H", command)
    response = b"\xc0" + routes + code + struct.pack(">H", end) + answer
    return b"\x80" + routes + code + fields, response


FINS_READ = fins(0x0101, bytes([0x82, 0, 100, 0, 0, 1]), b"\0\7")
"""A read of the word D 100."""


def fins_talk(*exchanges: Exchange) -> list[Timed]:
    """Commands over UDP."""
    return datagrams(*exchanges, ports=(9600, 9600))
