"""Messages of the demo plant's protocols.

Sources: MODBUS Application Protocol V1.1b3; RFC 1006; the public descriptions of S7comm that
`core/protocols/src/s7comm.rs` names; The CIP Networks Library Vol. 1 and 2; RFC 2131, RFC 2132;
IEEE 802.1AB-2016; RFC 1035, RFC 6762, RFC 6763; UPnP Device Architecture 1.1; RFC 9112.
"""

from __future__ import annotations

import struct

from otic.plant.frames import Host


def modbus(transaction: int, unit: int, pdu: bytes) -> bytes:
    """A Modbus TCP message (MBAP header and PDU)."""
    return struct.pack(">HHHB", transaction & 0xFFFF, 0, 1 + len(pdu), unit) + pdu


def modbus_identity(objects: dict[int, str]) -> bytes:
    """The answer to Read Device Identification (0x2B / 0x0E), basic objects, all in one."""
    listed = b"".join(
        bytes([number, len(text)]) + text.encode() for number, text in objects.items()
    )
    return bytes([0x2B, 0x0E, 0x01, 0x01, 0x00, 0x00, len(objects)]) + listed


def tpkt(payload: bytes) -> bytes:
    """A TPKT packet around an ISO transport message."""
    return struct.pack(">BBH", 3, 0, 4 + len(payload)) + payload


def iso_connect(*, confirm: bool, slot: int = 2) -> bytes:
    """Connection request or confirm between TSAP 1.0 and rack 0 and this slot."""
    kind, destination, source = (0xD0, 1, 0x44) if confirm else (0xE0, 0, 1)
    parameters = bytes([0xC0, 1, 0x0A, 0xC1, 2, 1, 0, 0xC2, 2, 1, slot])
    head = struct.pack(">BHHB", kind, destination, source, 0)
    return tpkt(bytes([len(head) + len(parameters)]) + head + parameters)


def s7(kind: int, reference: int, parameters: bytes, data: bytes = b"") -> bytes:
    """An S7comm message: 1 job, 3 acknowledge with data, 7 user data."""
    head = struct.pack(">BBHHHH", 0x32, kind, 0, reference, len(parameters), len(data))
    if kind == 3:
        head += b"\0\0"
    return tpkt(b"\x02\xf0\x80" + head + parameters + data)


S7_SETUP = bytes.fromhex("f0 00 0001 0001 01e0")
S7_STOP = b"\x29" + bytes(5) + b"\x09P_PROGRAM"
S7_START = b"\x28" + bytes(6) + b"\xfd\0\0\x09P_PROGRAM"


def s7_read_question(block: int, start: int, length: int) -> bytes:
    """Parameters of a read of bytes of a data block."""
    item = struct.pack(">BBBBHHB", 0x12, 0x0A, 0x10, 0x02, length, block, 0x84)
    return b"\x04\x01" + item + (start * 8).to_bytes(3, "big")


def s7_read_answer(data: bytes) -> tuple[bytes, bytes]:
    """Parameters and data of the answer to a read."""
    return b"\x04\x01", struct.pack(">BBH", 0xFF, 0x04, len(data) * 8) + data


def s7_status_question(list_id: int) -> tuple[bytes, bytes]:
    """Parameters and data of a read of a system status list."""
    return bytes.fromhex("000112 04 11 44 01 00"), struct.pack(">BBHHH", 0xFF, 9, 4, list_id, 0)


def s7_status_answer(list_id: int, width: int, records: list[bytes]) -> tuple[bytes, bytes]:
    """Parameters and data of the answer with these records."""
    body = struct.pack(">HHHH", list_id, 0, width, len(records)) + b"".join(records)
    parameters = bytes.fromhex("000112 08 12 84 01 01 00 00 0000")
    return parameters, struct.pack(">BBH", 0xFF, 9, len(body)) + body


def s7_module(index: int, order: str, version: tuple[int, int, int]) -> bytes:
    """A record of list 0x0011: order number and version, of the firmware where the index is 7."""
    letter = ord("V") if index == 7 else 0
    return struct.pack(">H20sHBBBB", index, order.ljust(20).encode(), 0x00C0, letter, *version)


def s7_component(index: int, text: str) -> bytes:
    """A record of list 0x001C: a name of the station."""
    return struct.pack(">H32s", index, text.encode())


def s7_download(name: str, size: int) -> bytes:
    """Parameters of the request to download a block of this size."""
    length = f"1{size:06d}{size - 60:06d}".encode()
    file = name.encode()
    return b"\x1a\0\x01\0" + bytes(4) + bytes([len(file)]) + file + bytes([len(length)]) + length


def s7_block(function: int, name: str) -> bytes:
    """Parameters of download block (0x1b) and download ended (0x1c), which the controller asks."""
    file = name.encode()
    return bytes([function, 0, 0, 0]) + bytes(4) + bytes([len(file)]) + file


def s7_insert(name: str) -> bytes:
    """Parameters of the service that makes downloaded blocks active."""
    block = b"\x01\0" + name.encode()[1:9]
    return b"\x28" + bytes(6) + b"\xfd" + struct.pack(">H", len(block)) + block + b"\x05_INSE"


def encapsulated(command: int, session: int, data: bytes, context: int = 0) -> bytes:
    """An EtherNet/IP encapsulation message."""
    head = struct.pack("<HHII8sI", command, len(data), session, 0, context.to_bytes(8, "big"), 0)
    return head + data


def list_identity_answer(
    host: Host,
    *,
    vendor: int,
    kind: int,
    product: int,
    revision: tuple[int, int],
    serial: int,
    name: str,
) -> bytes:
    """The answer to ListIdentity (0x63)."""
    socket = struct.pack(">HH4s8s", 2, 44818, host.ip_bytes, b"")
    item = struct.pack("<H", 1) + socket
    item += struct.pack("<HHHBBHI", vendor, kind, product, *revision, 0x0060, serial)
    item += bytes([len(name)]) + name.encode() + b"\x03"
    return encapsulated(0x63, 0, struct.pack("<HHH", 1, 0x0C, len(item)) + item)


def unconnected(session: int, message: bytes, context: int) -> bytes:
    """SendRRData (0x6F) with one unconnected CIP message."""
    items = struct.pack("<HHHHH", 2, 0, 0, 0xB2, len(message)) + message
    return encapsulated(0x6F, session, struct.pack("<IH", 0, 10) + items, context)


def cip(service: int, path: bytes, data: bytes = b"") -> bytes:
    """A CIP request."""
    return bytes([service, len(path) // 2]) + path + data


def cip_tag(name: str) -> bytes:
    """The path to a tag of this name."""
    text = name.encode()
    return bytes([0x91, len(text)]) + text + (b"\0" if len(text) % 2 else b"")


def cip_answer(service: int, data: bytes = b"", status: int = 0) -> bytes:
    """A CIP reply."""
    return bytes([service | 0x80, 0, status, 0]) + data


def dhcp(
    operation: int,
    kind: int,
    mac: bytes,
    transaction: int,
    *,
    yours: bytes = bytes(4),
    options: bytes = b"",
) -> bytes:
    """A DHCP message of this kind: 1 discover, 2 offer, 3 request, 5 acknowledge."""
    head = struct.pack(">BBBBIHH", operation, 1, 6, 0, transaction, 0, 0)
    head += bytes(4) + yours + bytes(8) + mac.ljust(16, b"\0") + bytes(192)
    return head + b"\x63\x82\x53\x63" + bytes([53, 1, kind]) + options + b"\xff"


def dhcp_option(number: int, data: bytes) -> bytes:
    """One DHCP option."""
    return bytes([number, len(data)]) + data


def lldp(mac: bytes, port: str, name: str, description: str, address: bytes) -> bytes:
    """An LLDP data unit of a bridge."""

    def field(kind: int, value: bytes) -> bytes:
        return struct.pack(">H", kind << 9 | len(value)) + value

    return (
        field(1, b"\x04" + mac)
        + field(2, b"\x05" + port.encode())
        + field(3, struct.pack(">H", 120))
        + field(4, f"Port {port}".encode())
        + field(5, name.encode())
        + field(6, description.encode())
        + field(7, struct.pack(">HH", 0x0004, 0x0004))
        + field(8, b"\x05\x01" + address + b"\x02" + struct.pack(">I", 1) + b"\0")
        + field(0, b"")
    )


def dns_name(name: str) -> bytes:
    """A name in labels (RFC 1035 §3.1)."""
    return b"".join(bytes([len(part)]) + part.encode() for part in name.split(".")) + b"\0"


def mdns_service(kind: str, instance: str, host: str, port: int, words: list[str]) -> bytes:
    """An announcement of a service (RFC 6763): its pointer, place and description."""
    # A label may hold dots and blanks: the instance's name is one label.
    named = bytes([len(instance)]) + instance.encode() + dns_name(f"{kind}.local")
    text = b"".join(bytes([len(word)]) + word.encode() for word in words)
    place = struct.pack(">HHH", 0, 0, port) + dns_name(f"{host}.local")
    records = (
        (dns_name(f"{kind}.local"), 12, 1, named),
        (named, 16, 0x8001, text),
        (named, 33, 0x8001, place),
    )
    return struct.pack(">HHHHHH", 0, 0x8400, 0, len(records), 0, 0) + b"".join(
        name + struct.pack(">HHIH", type_, class_, 120, len(data)) + data
        for name, type_, class_, data in records
    )


def ssdp_notify(location: str, kind: str, server: str, uuid: str) -> bytes:
    """A device that says that it is there (UPnP Device Architecture 1.1 §1.2.2)."""
    lines = (
        "NOTIFY * HTTP/1.1",
        "HOST: 239.255.255.250:1900",
        "CACHE-CONTROL: max-age=1800",
        f"LOCATION: {location}",
        f"NT: {kind}",
        "NTS: ssdp:alive",
        f"SERVER: {server}",
        f"USN: uuid:{uuid}::{kind}",
    )
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def http_get(path: str, host: str, agent: str) -> bytes:
    """A request for a page (RFC 9112 §3)."""
    return f"GET {path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: {agent}\r\n\r\n".encode()


def http_answer(server: str, body: str) -> bytes:
    """A page (RFC 9112 §4)."""
    head = f"HTTP/1.1 200 OK\r\nServer: {server}\r\nContent-Type: text/html\r\n"
    return f"{head}Content-Length: {len(body)}\r\n\r\n{body}".encode()
