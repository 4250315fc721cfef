"""Messages of industrial and office protocols, byte by byte, each with the clause it follows."""

from __future__ import annotations

import struct
from collections.abc import Iterable

from otic.plant import messages as m
from support.frames import (
    HMI,
    PLC,
    SECOND_NS,
    START_NS,
    Conversation,
    Host,
    Timed,
    modbus,
    udp,
)

Exchange = tuple[bytes, ...]
"""A request, and its answers."""


def talk(
    *exchanges: Exchange,
    client: Host = HMI,
    server: Host = PLC,
    port: int,
    at_ns: int = START_NS,
    step_ns: int = 1_000_000,
    client_port: int = 49152,
) -> list[Timed]:
    """A TCP connection with these exchanges, opened and closed."""
    conversation = Conversation(client, server, (client_port, port), at_ns, step_ns).open()
    for request, *answers in exchanges:
        conversation.ask(request)
        for answer in answers:
            conversation.answer(answer)
    return conversation.close().frames


def datagrams(
    *exchanges: Exchange,
    client: Host = HMI,
    server: Host = PLC,
    ports: tuple[int, int],
    at_ns: int = START_NS,
    step_ns: int = 1_000_000,
) -> list[Timed]:
    """UDP datagrams: requests of the client, each with its answers."""
    frames = []
    for request, *answers in exchanges:
        for number, payload in enumerate((request, *answers)):
            ends = (client, server, ports) if number == 0 else (server, client, ports[::-1])
            sender, receiver, from_to = ends
            datagram = udp(sender.ip, receiver.ip, from_to, payload)
            frames.append((at_ns, sender.frame(receiver, 17, datagram)))
            at_ns += step_ns
    return frames


# -- Modbus ---------------------------------------------------------------------------------------


def modbus_read(first: int = 10, count: int = 2, transaction: int = 1) -> Exchange:
    """Read Holding Registers and its answer (V1.1b3 §6.3)."""
    values = bytes([2 * count]) + bytes(2 * count)
    request = struct.pack("!HH", first, count)
    return modbus(transaction, 1, 3, request), modbus(transaction, 1, 3, values)


def modbus_write(register: int = 20, value: int = 77, transaction: int = 2) -> Exchange:
    """Write Single Register, echoed (V1.1b3 §6.6)."""
    pdu = struct.pack("!HH", register, value)
    return modbus(transaction, 1, 6, pdu), modbus(transaction, 1, 6, pdu)


MODBUS_READ_INPUTS: Exchange = (
    modbus(5, 1, 4, struct.pack("!HH", 10, 1)),
    modbus(5, 1, 4, b"\2\0\0"),
)
"""Read Input Registers and its answer (V1.1b3 §6.4)."""


def modbus_refused(
    function: int, exception: int, data: bytes = b"\0\x0a\0\x01", transaction: int = 3
) -> Exchange:
    """A request and its exception response (V1.1b3 §7)."""
    answer = modbus(transaction, 1, function | 0x80, bytes([exception]))
    return modbus(transaction, 1, function, data), answer


def modbus_identification(revision: str, transaction: int = 4) -> Exchange:
    """Read Device Identification, basic (V1.1b3 §6.21)."""
    words = {0: "Made Up", 1: "CP-1", 2: revision}
    return (
        m.modbus(transaction, 255, bytes([0x2B, 0x0E, 0x01, 0x00])),
        m.modbus(transaction, 255, m.modbus_identity(words)),
    )


# -- S7comm ---------------------------------------------------------------------------------------


def s7_talk(*exchanges: Exchange, client: Host = HMI, at_ns: int = START_NS) -> list[Timed]:
    """An S7 session: ISO connection, set-up, then these exchanges."""
    return talk(
        (m.iso_connect(confirm=False), m.iso_connect(confirm=True)),
        (m.s7(1, 1, m.S7_SETUP), m.s7(3, 1, m.S7_SETUP)),
        *exchanges,
        client=client,
        port=102,
        at_ns=at_ns,
    )


def s7_read(block: int = 10, start: int = 0, reference: int = 2) -> Exchange:
    """A read of 16 bytes of a data block."""
    answer = m.s7_read_answer(bytes(16))
    return m.s7(1, reference, m.s7_read_question(block, start, 16)), m.s7(3, reference, *answer)


def s7_refused(parameters: bytes, reference: int = 3) -> Exchange:
    """A job, and the acknowledgement (type 2) with an error class and code."""
    head = struct.pack(">BBHHHHBB", 0x32, 2, 0, reference, 0, 0, 0x85, 0x00)
    return m.s7(1, reference, parameters), m.tpkt(b"\x02\xf0\x80" + head)


def s7_job(parameters: bytes, reference: int = 3) -> Exchange:
    """A job that is carried out."""
    return m.s7(1, reference, parameters), m.s7(3, reference, parameters[:1])


S7_BLOCK = "_0800001P"
"""Organisation block 1, passive."""


def s7_download(block: str = S7_BLOCK) -> list[Exchange]:
    """A block download: request, then the controller fetches, and the block is made active.

    The controller asks for the parts, so its requests stand as answers here.
    """
    part = struct.pack(">HH", 4, 0xFB) + b"code"
    return [
        (*s7_job(m.s7_download(block, 64), 10), m.s7(1, 0x300, m.s7_block(0x1B, block))),
        (m.s7(3, 0x300, b"\x1b\0", part), m.s7(1, 0x301, m.s7_block(0x1C, block))),
        (m.s7(3, 0x301, b"\x1c"),),
        s7_job(m.s7_insert(block), 11),
    ]


def s7_upload(block: str = "_0800001A") -> list[Exchange]:
    """A block upload: start, one part, end; the upload's number is 7."""
    name = block.encode()
    start = b"\x1d\0\0\0" + bytes(4) + bytes([len(name)]) + name
    number = b"\0\0\0" + struct.pack(">I", 7)
    started = b"\x1d\0\x01\0" + struct.pack(">I", 7) + b"\x07" + b"0000064"
    part = struct.pack(">HH", 4, 0xFB) + b"code"
    return [
        (m.s7(1, 20, start), m.s7(3, 20, started)),
        (m.s7(1, 21, b"\x1e" + number), m.s7(3, 21, b"\x1e\0", part)),
        (m.s7(1, 22, b"\x1f" + number), m.s7(3, 22, b"\x1f")),
    ]


# -- EtherNet/IP and CIP --------------------------------------------------------------------------

REGISTER = struct.pack("<HH", 1, 0)
SESSION = 7


def enip_talk(*exchanges: Exchange, client: Host = HMI, at_ns: int = START_NS) -> list[Timed]:
    """A registered encapsulation session with these exchanges (CIP Vol. 2, 2-4.4)."""
    return talk(
        (m.encapsulated(0x65, 0, REGISTER), m.encapsulated(0x65, SESSION, REGISTER)),
        *exchanges,
        client=client,
        port=44818,
        at_ns=at_ns,
    )


def cip_path(kind: int, instance: int) -> bytes:
    """A logical path to an instance of a class, one byte each (CIP Vol. 1, appendix C)."""
    return bytes([0x20, kind, 0x24, instance])


def cip(
    service: int, path: bytes, data: bytes = b"", *, answer: bytes = b"", status: int = 0
) -> Exchange:
    """An unconnected CIP request and its reply (CIP Vol. 1, 2-4)."""
    context = service << 8 | len(path)
    return (
        m.unconnected(SESSION, m.cip(service, path, data), context),
        m.unconnected(SESSION, m.cip_answer(service, answer, status), context),
    )


def cip_read_tag(name: str = "Speed") -> Exchange:
    """Read Tag of a REAL (1756-PM020)."""
    return cip(0x4C, m.cip_tag(name), b"\x01\0", answer=struct.pack("<Hf", 0xCA, 1.5))


def cip_io(connection: int, data: bytes = b"\x01\0\xaa\xbb") -> bytes:
    """One datagram of I/O data: sequenced address and connected data items (CIP Vol. 2, 3-2.3)."""
    head = struct.pack("<HHHII", 2, 0x8002, 8, connection, 1)
    return head + struct.pack("<HH", 0xB1, len(data)) + data


# -- DNP3 -----------------------------------------------------------------------------------------

MASTER, OUTSTATION = 1, 10


def reflected_crc(data: bytes, polynomial: int, start: int) -> int:
    """A CRC of 16 bits whose lowest bit comes first; so does the polynomial's."""
    crc = start
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (polynomial if crc & 1 else 0)
    return crc


def _dnp3_crc(data: bytes) -> bytes:
    """The CRC of IEEE 1815-2012 clause 9: polynomial 0x3D65, reflected and inverted."""
    return struct.pack("<H", ~reflected_crc(data, 0xA6BC, 0) & 0xFFFF)


def dnp3_frame(control: int, destination: int, source: int, data: bytes = b"") -> bytes:
    """A data link frame (IEEE 1815-2012 clause 9.2.4)."""
    head = struct.pack("<BBBBHH", 5, 0x64, 5 + len(data), control, destination, source)
    blocks = [data[at : at + 16] for at in range(0, len(data), 16)]
    return head + _dnp3_crc(head) + b"".join(block + _dnp3_crc(block) for block in blocks)


def dnp3_request(function: int, objects: bytes = b"", sequence: int = 0) -> bytes:
    """A request in one frame (clauses 8 and 4.2.2)."""
    fragment = bytes([0xC0, 0xC0 | sequence, function]) + objects
    return dnp3_frame(0xC4, OUTSTATION, MASTER, fragment)


def dnp3_response(iin: int = 0, objects: bytes = b"", sequence: int = 0) -> bytes:
    """A response with both octets of internal indications, IIN1 << 8 | IIN2 (clause 4.5)."""
    fragment = bytes([0xC0, 0xC0 | sequence, 129]) + struct.pack(">H", iin) + objects
    return dnp3_frame(0x44, MASTER, OUTSTATION, fragment)


def dnp3(function: int, objects: bytes = b"", *, iin: int = 0, sequence: int = 0) -> Exchange:
    """A request and its response."""
    return dnp3_request(function, objects, sequence), dnp3_response(iin, b"", sequence)


DNP3_CLASS_1 = bytes([60, 2, 6])
"""Object header of all class 1 events (annex A, group 60)."""


def dnp3_talk(*exchanges: Exchange, at_ns: int = START_NS) -> list[Timed]:
    """A DNP3 session over TCP."""
    return talk(*exchanges, port=20000, at_ns=at_ns)


# -- IEC 60870-5-104 ------------------------------------------------------------------------------


def apdu(asdu: bytes) -> bytes:
    """An I frame (IEC 60870-5-104 §5.1); sequence numbers stay 0."""
    return bytes([0x68, 4 + len(asdu), 0, 0, 0, 0]) + asdu


def asdu(
    kind: int, cause: int, element: bytes = b"\0", *, ioa: int = 100, negative: bool = False
) -> bytes:
    """An ASDU with one object of common address 1 (IEC 60870-5-101 §7.1, lengths of 104)."""
    head = struct.pack("<BBBBH", kind, 1, cause | negative << 6, 0, 1)
    return head + ioa.to_bytes(3, "little") + element


def iec104_talk(*exchanges: Exchange) -> list[Timed]:
    """A session that starts data transfer, then these ASDUs."""
    start, started = bytes([0x68, 4, 0x07, 0, 0, 0]), bytes([0x68, 4, 0x0B, 0, 0, 0])
    framed = [tuple(apdu(part) for part in exchange) for exchange in exchanges]
    return talk((start, started), *framed, port=2404)


# -- BACnet ---------------------------------------------------------------------------------------


def bacnet(apdu_bytes: bytes, *, broadcast: bool = False, expects: bool = True) -> bytes:
    """BACnet/IP (ASHRAE 135 annex J) and network layer (clause 6.2) around an APDU."""
    npdu = bytes([1, 4 if expects else 0]) + apdu_bytes
    return struct.pack(">BBH", 0x81, 0x0B if broadcast else 0x0A, 4 + len(npdu)) + npdu


def bacnet_read(instance: int, *, kind: int = 0, invoke: int = 1, error: bool = False) -> Exchange:
    """ReadProperty of a present value (clause 15.5) and a value or an error (clause 20.1.7)."""
    path = b"\x0c" + struct.pack(">I", kind << 22 | instance) + b"\x19\x55"
    answer = bytes([0x30, invoke, 12]) + path + b"\x3e\x44" + struct.pack(">f", 1.5) + b"\x3f"
    refusal = bytes([0x50, invoke, 12, 0x91, 1, 0x91, 31])
    return (
        bacnet(bytes([0, 5, invoke, 12]) + path),
        bacnet(refusal if error else answer, expects=False),
    )


BACNET_READ_RANGE = bacnet(b"\0\x05\x03\x1a\x0c\x05\0\0\x01\x19\x83")
"""ReadRange of the buffer of trend log 1 (clause 15.8)."""


def bacnet_reinitialize(state: int, *, accepted: bool, invoke: int = 2) -> Exchange:
    """ReinitializeDevice (clause 16.4) and a simple acknowledgement, or error password-failure."""
    answer = bytes([0x20, invoke, 20]) if accepted else bytes([0x50, invoke, 20, 0x91, 4, 0x91, 26])
    return (
        bacnet(bytes([0, 5, invoke, 20, 0x09, state])),
        bacnet(answer, expects=False),
    )


BACNET_WHO_IS = bacnet(bytes([0x10, 8]), broadcast=True, expects=False)
"""Who-Is without limits (clause 16.10)."""

BACNET_I_AM = bacnet(
    bytes([0x10, 0, 0xC4])
    + struct.pack(">I", 8 << 22 | 77)
    + bytes([0x22, 5, 0xC4, 0x91, 3, 0x21, 7]),
    broadcast=True,
    expects=False,
)
"""I-Am of device 77, vendor 7 (clause 16.10)."""


def bacnet_talk(*exchanges: Exchange, client: Host = HMI, server: Host = PLC) -> list[Timed]:
    """BACnet/IP datagrams between the usual ports."""
    return datagrams(*exchanges, client=client, server=server, ports=(47808, 47808))


# -- office protocols -----------------------------------------------------------------------------


def ftp_log_in(user: str, reply: str) -> list[Exchange]:
    """USER, PASS and the reply to them (RFC 959 §5.4)."""
    return [
        (f"USER {user}\r\n".encode(), b"331 Password required\r\n"),
        (b"PASS secret\r\n", f"{reply}\r\n".encode()),
    ]


def log_ins(count: int, reply: str, step_ns: int = SECOND_NS) -> list[Timed]:
    """As many FTP sessions with one log-in each."""
    return [
        frame
        for number in range(count)
        for frame in talk(
            *ftp_log_in("operator", reply),
            port=21,
            at_ns=START_NS + number * step_ns,
            client_port=40000 + number,
        )
    ]


def http(
    method: str, path: str, *, status: str = "200 OK", headers: Iterable[str] = ()
) -> Exchange:
    """A request without body and its response (RFC 9112 §2)."""
    lines = [f"{method} {path} HTTP/1.1", "Host: plc", *headers]
    return (
        ("\r\n".join(lines) + "\r\n\r\n").encode(),
        f"HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n".encode(),
    )


def dns_query(name: str, number: int = 1) -> bytes:
    """A question for the address of a name (RFC 1035 §4)."""
    labels = b"".join(bytes([len(label)]) + label.encode() for label in name.split("."))
    return struct.pack(">HHHHHH", number, 0x0100, 1, 0, 0, 0) + labels + b"\0" + b"\0\x01\0\x01"


def _ber(tag: int, content: bytes) -> bytes:
    return bytes([tag, len(content)]) + content


def snmp(pdu: int, number: int = 1) -> bytes:
    """An SNMPv2c message about sysName.0 (RFC 3416 §3, RFC 3417 §8); `pdu` is the PDU's tag."""
    name = _ber(6, bytes([0x2B, 6, 1, 2, 1, 1, 5, 0])) + _ber(5, b"")
    body = _ber(2, bytes([number])) + _ber(2, b"\0") + _ber(2, b"\0") + _ber(0x30, _ber(0x30, name))
    return _ber(0x30, _ber(2, b"\x01") + _ber(4, b"public") + _ber(pdu, body))
