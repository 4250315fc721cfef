"""Machines behind one address are devices of their own, and what leads to them is a gateway."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from support.frames import (
    HMI,
    PLC,
    SECOND_NS,
    START_NS,
    Conversation,
    Host,
    arp,
    modbus,
    write_pcap,
)
from support.messages import dnp3_frame, reflected_crc
from support.program import SHARED, document, needs_shared

IAC, WILL, DO, SB, SE, COM_PORT = 255, 251, 253, 250, 240, 44


def crc(data: bytes) -> bytes:
    """CRC-16 of Modbus over Serial Line V1.02 §6.2.2."""
    return reflected_crc(data, 0xA001, 0xFFFF).to_bytes(2, "little")


def rtu(unit: int, pdu: bytes) -> bytes:
    """An RTU frame (§2.5.1)."""
    body = bytes([unit]) + pdu
    return body + crc(body)


def ascii_frame(unit: int, pdu: bytes) -> bytes:
    """An ASCII frame (§2.5.2)."""
    body = bytes([unit]) + pdu
    body += bytes([-sum(body) & 255])
    return b":" + body.hex().upper().encode() + b"\r\n"


READ, VALUES = b"\x03\0\x0a\0\x02", b"\x03\x04\0\x07\0\x08"
IDENTIFY = b"\x2b\x0e\x01\0"


def identity(maker: bytes) -> bytes:
    """Read Device Identification with one object, the vendor's name (V1.1b3 §6.21)."""
    return b"\x2b\x0e\x01\x01\0\0\x01\0" + bytes([len(maker)]) + maker


def machine(found: dict[str, Any]) -> Any:
    """The device at the server's address."""
    (device,) = (device for device in found["devices"] if PLC.ip in device["ips"])
    return device


def behind(found: dict[str, Any]) -> dict[str, Any]:
    """The devices behind it, by child address."""
    parent = machine(found)["id"]
    return {one["child_address"]: one for one in found["devices"] if one["parent"] == parent}


def replayed(folder: Path, talk: Conversation) -> dict[str, Any]:
    """What a conversation shows."""
    return document(write_pcap(folder / "talk.pcap", talk.close().frames))


def test_modbus_units_of_a_gateway(tmp_path: Path) -> None:
    """Identities land on the units; unit 255 is the gateway itself."""
    talk = Conversation(HMI, PLC, (40000, 502)).open()
    for number, (unit, maker) in enumerate(((3, b"Drives"), (4, b"Meters"), (255, b"Gates"))):
        ask, answer = (modbus(number, unit, pdu[0], pdu[1:]) for pdu in (IDENTIFY, identity(maker)))
        talk.ask(ask, answer)
    found = replayed(tmp_path, talk)

    assert ("Protocol Converter", "Gates") == (machine(found)["type"], machine(found)["vendor"])
    assert {"modbus-unit 3": "Drives", "modbus-unit 4": "Meters"} == {
        child: one["vendor"] for child, one in behind(found).items()
    }


def test_a_server_addressed_as_unit_0_and_1_is_one_machine(tmp_path: Path) -> None:
    """Without other units there is nothing behind it."""
    talk = Conversation(HMI, PLC, (40000, 502)).open()
    for number, unit in enumerate((0, 1, 255)):
        talk.ask(modbus(number, unit, 3, READ[1:]), modbus(number, unit, 3, VALUES[1:]))
    found = replayed(tmp_path, talk)

    assert {} == behind(found)
    assert "PLC" == machine(found)["type"]


@pytest.mark.parametrize("frame", [rtu, ascii_frame])
def test_serial_frames_of_modbus(tmp_path: Path, frame: Any) -> None:
    """Who is asked in RTU or ASCII frames over TCP stands on a line behind a terminal server."""
    talk = Conversation(HMI, PLC, (40000, 4001)).open()
    talk.ask(frame(1, READ), frame(1, VALUES)).ask(
        frame(1, IDENTIFY), frame(1, identity(b"Drives"))
    )
    found = replayed(tmp_path, talk)

    assert "Protocol Converter" == machine(found)["type"]
    assert "Drives" == behind(found)["modbus-unit 1"]["vendor"]
    assert machine(found)["vendor"] != "Drives"
    assert "PLC" == behind(found)["modbus-unit 1"]["type"]


def com_port(command: int, value: bytes) -> bytes:
    """A subnegotiation of RFC 2217."""
    return bytes([IAC, SB, COM_PORT, command]) + value + bytes([IAC, SE])


def com_port_talk() -> Conversation:
    """A com port is opened and set."""
    talk = Conversation(HMI, PLC, (40000, 4001)).open()
    talk.ask(bytes([IAC, WILL, COM_PORT, IAC, WILL, 0]), bytes([IAC, DO, COM_PORT, IAC, DO, 0]))
    talk.ask(com_port(1, (19200).to_bytes(4)), com_port(101, (19200).to_bytes(4)))
    return talk.ask(com_port(3, b"\x03"), com_port(103, b"\x03"))


def test_a_com_port_with_modbus(tmp_path: Path) -> None:
    """RFC 2217: settings are the terminal server's facts, operations are the station's."""
    talk = com_port_talk().ask(rtu(7, READ), rtu(7, VALUES))
    found = replayed(tmp_path, talk)

    told = {(claim["attribute"], claim["value"]) for claim in machine(found)["claims"]}
    assert {("baud_rate", "19200"), ("parity", "even")} <= told
    assert "Protocol Converter" == machine(found)["type"]
    assert ["modbus-unit 7"] == list(behind(found))
    (read,) = (row for row in found["operations"] if row["protocol"] == "modbus")
    assert ("modbus-unit 7", "ok", 4001) == (read["server_child"], read["outcome"], read["port"])


def test_a_com_port_with_dnp3(tmp_path: Path) -> None:
    """An outstation on the line is a device, although it is the only one."""
    read = dnp3_frame(0xC4, 10, 1, b"\xc0\xc0\x01\x3c\x02\x06")
    answer = dnp3_frame(0x44, 1, 10, b"\xc0\xc0\x81\0\0")
    escaped = [part.replace(b"\xff", b"\xff\xff") for part in (read, answer)]
    found = replayed(tmp_path, com_port_talk().ask(*escaped))

    assert "Protocol Converter" == machine(found)["type"]
    assert "RTU" == behind(found)["dnp3 10"]["type"]


def test_machines_behind_a_translated_address(tmp_path: Path) -> None:
    """Two systems one hop behind an address that is its machine's own; the same from a store."""
    gateway = Host(mac="02:00:00:00:00:09", ip="10.0.0.9")
    frames = [(START_NS, arp(gateway.mac, gateway.ip, PLC.ip))]
    systems = ((63, "X11; Linux x86_64"), (127, "Windows NT 10.0; Win64"))
    for number, (ttl, system) in enumerate(systems):
        client = Host(mac=gateway.mac, ip=gateway.ip, ttl=ttl)
        request = f"GET / HTTP/1.1\r\nHost: plc\r\nUser-Agent: Mozilla/5.0 ({system})\r\n\r\n"
        at_ns = START_NS + (1 + number) * SECOND_NS
        talk = Conversation(client, PLC, (41000 + number, 80), at_ns=at_ns).open()
        talk.ask(request.encode(), b"HTTP/1.1 204 No Content\r\n\r\n")
        frames += talk.close().frames
    capture = write_pcap(tmp_path / "nat.pcap", frames)
    found = document(capture)

    (router,) = (device for device in found["devices"] if gateway.ip in device["ips"])
    children = [device for device in found["devices"] if device["parent"] == router["id"]]
    assert "Router" == router["type"]
    assert ["hidden Linux", "hidden Windows"] == sorted(one["child_address"] for one in children)
    assert {"high"} == {one["reasons"]["parent"]["certainty"] for one in children}
    stored = document(capture, options=("--database", tmp_path / "nat.db"))
    assert stored["devices"] == found["devices"]


CAPTURED = [
    ("ICS-Pcaps--BACnet-BBMD-on-same-subnet.pcap", "bacnet 4:0x56", "Protocol Converter"),
    ("ICS-Pcaps--ControlLogix_FactoryTalk_HMI.pcap", "cip-slot 1/0", "PLC"),
    ("ICS-Pcaps--ethercat.pcap", "ethercat 4097", "PLC"),
    ("arkime--synchrophasor_synthetic.pcap", "pmu 101", "IED"),
    ("icsnpp-roc-plus--all_opcodes_udp.pcap", "roc 4.3", "RTU"),
    ("ICS-Pcaps--modbus_test_data_part1.pcap", "modbus-unit 10", "PLC"),
]


@needs_shared
@pytest.mark.parametrize(("name", "child", "kind"), CAPTURED)
def test_children_of_captures(name: str, child: str, kind: str) -> None:
    """Kinds of child addresses that the sample captures show, and what stands in front of them."""
    found = document(SHARED / "captures" / name)
    by_id = {device["id"]: device for device in found["devices"]}
    parents = {
        by_id[device["parent"]]["type"]
        for device in found["devices"]
        if device["child_address"] == child
    }
    assert kind in parents
