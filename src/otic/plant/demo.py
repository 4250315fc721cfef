"""The demo capture: a small bottling plant, twenty minutes, and one bad visitor.

In the first ten minutes an HMI polls two Modbus and one Siemens controller, a line controller reads
tags of a Rockwell one, a switch and a DHCP server say who they are, and the engineering station
looks in. Then a laptop that nobody knows gets an address, scans the network, writes to a Modbus
controller, tries functions that it refuses, and stops and reprograms the Siemens one.
"""

from __future__ import annotations

import itertools
import struct
from collections import deque
from collections.abc import Iterator
from pathlib import Path

from otic.plant import messages as m
from otic.plant.frames import (
    ACK,
    ETHERTYPE_LLDP,
    RST,
    SYN,
    Host,
    Talk,
    Wire,
    ethernet,
)

START_NS = 1_793_010_600 * 1_000_000_000
"""26 October 2026, 10:30 UTC."""

QUIET_ROUNDS = 120
"""Rounds of five seconds before the visitor comes; as many follow."""

LEARN_FRACTION = 0.45
"""The part of the capture in which nothing unusual happens."""

HMI = Host("b8:2a:72:10:20:21", "10.20.1.21")
FILLER = Host("00:80:f4:0a:31:11", "10.20.1.11")
CAPPER = Host("00:30:de:42:07:12", "10.20.1.12")
PALLETIZER = Host("28:63:36:8c:91:31", "10.20.1.31")
LABELLER = Host("00:1d:9c:c7:44:41", "10.20.1.41")
STATION = Host("00:0c:29:5e:77:51", "10.20.1.51")
SERVER = Host("00:15:5d:01:0a:05", "10.20.1.5")
SWITCH = Host("ec:74:ba:21:60:02", "10.20.1.2")
VISITOR = Host("3c:52:82:9b:1f:c3", "10.20.1.77")
ANYONE = Host("ff:ff:ff:ff:ff:ff", "255.255.255.255")
HISTORIAN = Host("00:15:5d:01:0a:06", "10.20.1.6")
SAFETY = Host("00:1d:9c:c7:44:52", "10.20.1.42")
PRINTER = Host("3c:52:82:44:90:0e", "10.20.1.90")
CAMERA = Host("00:40:8c:e1:70:93", "10.20.1.93")
OFFICE_SWITCH = Host("ec:74:ba:21:60:07", "10.20.1.3")
CONTROL_SERVER = Host("00:1b:1b:20:30:01", "192.88.99.66", hops=52)
"""Where the beacon goes, behind the plant's firewall: an address of the retired 6to4 relays
(RFC 7526), which is nobody's."""

MDNS = Host("01:00:5e:00:00:fb", "224.0.0.251")
SSDP = Host("01:00:5e:7f:ff:fa", "239.255.255.250")
NOBODY = Host("3c:52:82:9b:1f:c3", "0.0.0.0")  # noqa: S104 an address field, nothing listens

LLDP_GROUP = bytes.fromhex("0180c200000e")
CPU_ORDER = "6ES7 315-2EH14-0AB0"
BLOCK = "_0800001P"


def write(path: Path) -> None:
    """Writes the demo capture, always the same bytes, as pcapng."""
    demo().write(path)


def demo() -> Wire:
    """The frames of the demo capture."""
    plant = _Plant(Wire(START_NS))
    plant.introduce()
    for number in range(QUIET_ROUNDS):
        plant.round(number)
    plant.visit()
    for number in range(QUIET_ROUNDS, 2 * QUIET_ROUNDS):
        plant.round(number)
        if number == QUIET_ROUNDS + 30:
            plant.meddle()
        if number == QUIET_ROUNDS + 60:
            plant.reprogram()
    return plant.wire


LEARN_S = 30
"""Seconds that the live demo learns."""

VISIT_S, MEDDLE_S, REPROGRAM_S, BEACON_S = 45, 70, 85, 100
"""When in the live demo the visitor comes, writes, reprograms, and first calls home: seconds from
the start."""

BEACONS, BEACON_EVERY_S = 60, 20

LIVE_ROUND_S = 0.9


def live(start_ns: int) -> Iterator[tuple[int, bytes]]:
    """The same plant without end: quiet work, then the visitor, then quiet work again.

    Gives (time in ns, frame) in the order of time; a round's frames a second before it is over.
    """
    plant = _Plant(Wire(start_ns), LIVE_ROUND_S)
    plant.introduce()
    plant.furnish()
    incident = _incident(start_ns)
    for number in itertools.count():
        plant.round(number)
        plant.office(number)
        before = plant.wire.now_ns
        now = [incident.popleft() for _ in _until(incident, before)]
        yield from sorted([*now, *((at, frame) for at, _, _, frame in plant.wire.frames)])
        plant.wire.frames.clear()


def _incident(start_ns: int) -> deque[tuple[int, bytes]]:
    guest = _Plant(Wire(start_ns))
    for seconds, act in (
        (VISIT_S, guest.visit),
        (MEDDLE_S, guest.meddle),
        (REPROGRAM_S, guest.reprogram),
    ):
        guest.wire.now_ns = max(guest.wire.now_ns, start_ns + seconds * 1_000_000_000)
        act()
    guest.wire.now_ns = start_ns + BEACON_S * 1_000_000_000
    for number in range(BEACONS):
        guest.beacon(number)
    return deque((at, frame) for at, _, _, frame in guest.wire.frames)


def _until(frames: deque[tuple[int, bytes]], end_ns: int) -> list[tuple[int, bytes]]:
    return list(itertools.takewhile(lambda frame: frame[0] < end_ns, frames))


class _Plant:
    def __init__(self, wire: Wire, round_s: float = 4.9) -> None:
        self.wire = wire
        self.round_s = round_s

    def introduce(self) -> None:
        """Who is who: ARP, LLDP, identity requests, and the lasting conversations."""
        wire = self.wire
        for controller in (FILLER, CAPPER, PALLETIZER):
            wire.arp(HMI, controller)
        wire.arp(SERVER, LABELLER)
        wire.arp(STATION, PALLETIZER)
        wire.arp(HMI, SERVER)
        self._lldp()
        self.filler = Talk(wire, HMI, 49501, FILLER, 502)
        self.capper = Talk(wire, HMI, 49502, CAPPER, 502)
        self.palletizer = Talk(wire, HMI, 49503, PALLETIZER, 102)
        self.labeller = Talk(wire, SERVER, 51001, LABELLER, 44818)
        for talk, words in (
            (self.filler, {0: "Schneider Electric", 1: "BMX P34 2020", 2: "v2.70"}),
            (self.capper, {0: "WAGO Kontakttechnik", 1: "750-881", 2: "01.09.22"}),
        ):
            question = m.modbus(1, 255, bytes([0x2B, 0x0E, 0x01, 0x00]))
            talk.ask(question, m.modbus(1, 255, m.modbus_identity(words)))
        self._s7_open(self.palletizer)
        self._identify_s7()
        self._identify_cip()

    def round(self, number: int) -> None:
        """One round of normal work; five seconds in the capture."""
        wire = self.wire
        reading = number * 7 % 400
        registers = struct.pack(">8H", *(reading + at for at in range(8)))
        for talk, unit in ((self.filler, 255), (self.capper, 255)):
            talk.ask(
                m.modbus(number + 2, unit, struct.pack(">BHH", 3, 100, 8)),
                m.modbus(number + 2, unit, bytes([3, 16]) + registers),
            )
            wire.wait(0.02)
        if number % 12 == 3:
            setpoint = struct.pack(">BHH", 6, 200, 60 + number % 5)
            self.filler.ask(
                m.modbus(900 + number, 255, setpoint), m.modbus(900 + number, 255, setpoint)
            )
        reference = 100 + number
        parameters, data = m.s7_read_answer(struct.pack(">8H", *range(number, number + 8)))
        self.palletizer.ask(
            m.s7(1, reference, m.s7_read_question(10, 0, 16)), m.s7(3, reference, parameters, data)
        )
        tag = m.cip_tag("Line1.Speed")
        value = struct.pack("<Hf", 0xCA, 118.5 + number % 3)
        self.labeller.ask(
            m.unconnected(7, m.cip(0x4C, tag, b"\x01\0"), number),
            m.unconnected(7, m.cip_answer(0x4C, value), number),
        )
        if number % 6 == 0:
            self._lldp()
        if number % 24 == 5:
            wire.arp(HMI, FILLER)
            wire.arp(SERVER, LABELLER)
        wire.wait(self.round_s)

    def furnish(self) -> None:
        """More machines of the plant, which the live demo shows: they say who they are."""
        wire = self.wire
        for client, server in ((HISTORIAN, FILLER), (HISTORIAN, CAPPER), (SERVER, SAFETY)):
            wire.arp(client, server)
        wire.arp(PRINTER, SERVER)
        wire.arp(CAMERA, HMI)
        self.history = [
            Talk(wire, HISTORIAN, 52001 + at, server, 502)
            for at, server in enumerate((FILLER, CAPPER))
        ]
        self._list_identity(SAFETY, 51100, 0x0C2, (32, 14), 0x60C5D8E1, "1756-L72S/B LOGIX5572S")
        self.safety = Talk(wire, SERVER, 51101, SAFETY, 44818)
        self._register(self.safety, 9)
        page = Talk(wire, HMI, 49700, CAMERA, 80)
        page.ask(
            m.http_get("/view", CAMERA.ip, "Mozilla/5.0 (Windows NT 10.0; Win64; x64)"),
            m.http_answer("Boa/0.94.14rc21", "<title>Palletizer camera</title>"),
        )
        page.close()

    def office(self, number: int) -> None:
        """What historian, safety controller, printer, camera and second switch do in a round."""
        wire = self.wire
        for talk in self.history:
            talk.ask(
                m.modbus(number + 7, 255, struct.pack(">BHH", 4, 0, 4)),
                m.modbus(number + 7, 255, struct.pack(">BB4H", 4, 8, 1, 2, 3, number & 0xFFFF)),
            )
        value = struct.pack("<HB", 0xC1, 1)
        self.safety.ask(
            m.unconnected(9, m.cip(0x4C, m.cip_tag("SafetyOK"), b"\x01\0"), number),
            m.unconnected(9, m.cip_answer(0x4C, value), number),
        )
        if number % 15 == 0:
            words = ["txtvers=1", "ty=HP LaserJet Pro M404dn", "product=(HP LaserJet Pro M404dn)"]
            service = m.mdns_service("_ipp._tcp", "Line office printer", "NPI44900E", 631, words)
            wire.udp(PRINTER, 5353, MDNS, 5353, service)
            notify = m.ssdp_notify(
                f"http://{CAMERA.ip}:49152/rootdesc1.xml",
                "urn:axis-com:service:BasicService:1",
                "Linux/4.14, UPnP/1.0, Portable SDK for UPnP devices/1.6.18",
                "Upnp-BasicDevice-1_0-00408CE17093",
            )
            wire.udp(CAMERA, 39000, SSDP, 1900, notify)
        if number % 10 == 0:
            self._say(OFFICE_SWITCH, "1/2", "sw-office", "Hirschmann RSP20 HiOS-2A-08.7.02")

    def beacon(self, number: int) -> None:
        """The visitor calls a server in the internet, again and again."""
        talk = Talk(self.wire, VISITOR, 55000 + number, CONTROL_SERVER, 80)
        talk.ask(
            m.http_get("/status", "status.example", "curl/8.4.0"), m.http_answer("nginx", "ok")
        )
        talk.close()
        self.wire.wait(BEACON_EVERY_S)

    def visit(self) -> None:
        """An unknown laptop asks for an address and scans."""
        wire = self.wire
        mac = VISITOR.mac_bytes
        name = m.dhcp_option(12, b"LAPTOP-7Q2") + m.dhcp_option(60, b"MSFT 5.0")
        wanted = m.dhcp_option(50, VISITOR.ip_bytes) + m.dhcp_option(54, SERVER.ip_bytes)
        given = (
            m.dhcp_option(54, SERVER.ip_bytes)
            + m.dhcp_option(51, struct.pack(">I", 3600))
            + m.dhcp_option(1, bytes([255, 255, 255, 0]))
        )
        wire.udp(NOBODY, 68, ANYONE, 67, m.dhcp(1, 1, mac, 0x5EED, options=name))
        wire.udp(
            SERVER, 67, ANYONE, 68, m.dhcp(2, 2, mac, 0x5EED, yours=VISITOR.ip_bytes, options=given)
        )
        wire.udp(NOBODY, 68, ANYONE, 67, m.dhcp(1, 3, mac, 0x5EED, options=wanted + name))
        wire.udp(
            SERVER, 67, ANYONE, 68, m.dhcp(2, 5, mac, 0x5EED, yours=VISITOR.ip_bytes, options=given)
        )
        wire.wait(20)
        for last in range(1, 120):
            wire.ask(VISITOR, f"10.20.1.{last}")
            wire.wait(0.05)
        known = (FILLER, CAPPER, PALLETIZER, LABELLER, SERVER)
        for target in known:
            wire.arp(VISITOR, target)
        for port in range(1, 60):
            self._refused(PALLETIZER, 52000 + port, port)
        for at, target in enumerate(known):
            for port in (21, 22, 23, 80, 443, 3389):
                self._refused(target, 53000 + 10 * at + port % 10, port)

    def meddle(self) -> None:
        """The visitor writes to a Modbus controller and tries functions that it refuses."""
        talk = Talk(self.wire, VISITOR, 54001, FILLER, 502)
        question = m.modbus(1, 255, bytes([0x2B, 0x0E, 0x01, 0x00]))
        words = {0: "Schneider Electric", 1: "BMX P34 2020", 2: "v2.70"}
        talk.ask(question, m.modbus(1, 255, m.modbus_identity(words)))
        for at, address in enumerate((200, 201, 202)):
            write = struct.pack(">BHH", 6, address, 999)
            talk.ask(m.modbus(10 + at, 255, write), m.modbus(10 + at, 255, write))
            self.wire.wait(0.5)
        for at in range(24):
            function = 0x41 + at % 8
            talk.ask(
                m.modbus(40 + at, 255, bytes([function, 0, 0])),
                m.modbus(40 + at, 255, bytes([function | 0x80, 1])),
            )
            self.wire.wait(0.1)
        talk.close()

    def reprogram(self) -> None:
        """The visitor stops the Siemens controller, gives it another block, and starts it."""
        talk = Talk(self.wire, VISITOR, 54002, PALLETIZER, 102)
        self._s7_open(talk)
        talk.ask(m.s7(1, 2, m.S7_STOP), m.s7(3, 2, b"\x29"))
        self.wire.wait(1.5)
        talk.ask(m.s7(1, 3, m.s7_download(BLOCK, 264)), m.s7(3, 3, b"\x1a"))
        code = bytes(at * 37 % 251 for at in range(190))
        for reference, part in ((0x300, code[:100]), (0x301, code[100:])):
            talk.hear(m.s7(1, reference, m.s7_block(0x1B, BLOCK)))
            more = b"\x1b\x01" if reference == 0x300 else b"\x1b\0"
            talk.say(m.s7(3, reference, more, struct.pack(">HH", len(part), 0xFB) + part))
            self.wire.wait(0.05)
        talk.hear(m.s7(1, 0x302, m.s7_block(0x1C, BLOCK)))
        talk.say(m.s7(3, 0x302, b"\x1c"))
        talk.ask(m.s7(1, 4, m.s7_insert(BLOCK)), m.s7(3, 4, b"\x28"))
        self.wire.wait(2)
        talk.ask(m.s7(1, 5, m.S7_START), m.s7(3, 5, b"\x28"))
        talk.close()

    def _s7_open(self, talk: Talk) -> None:
        talk.ask(m.iso_connect(confirm=False), m.iso_connect(confirm=True))
        talk.ask(m.s7(1, 1, m.S7_SETUP), m.s7(3, 1, m.S7_SETUP))

    def _identify_s7(self) -> None:
        """The engineering station reads who the Siemens controller is."""
        talk = Talk(self.wire, STATION, 50102, PALLETIZER, 102)
        self._s7_open(talk)
        modules = [
            m.s7_module(1, CPU_ORDER, (0, 0, 5)),
            m.s7_module(6, CPU_ORDER, (0, 0, 5)),
            m.s7_module(7, "Boot Loader", (3, 2, 6)),
        ]
        names = [
            m.s7_component(1, "PALLETIZER"),
            m.s7_component(2, "CPU 315-2 PN/DP"),
            m.s7_component(5, "S C-OTICDEMO0031"),
            m.s7_component(7, "CPU 315-2 PN/DP"),
        ]
        for reference, list_id, width, records in (
            (11, 0x0011, 28, modules),
            (12, 0x001C, 34, names),
        ):
            talk.ask(
                m.s7(7, reference, *m.s7_status_question(list_id)),
                m.s7(7, reference, *m.s7_status_answer(list_id, width, records)),
            )
        talk.close()

    def _identify_cip(self) -> None:
        """The server asks the Rockwell controller who it is, and registers a session."""
        name = "1769-L33ER/A LOGIX5333ER"
        self._list_identity(LABELLER, 51000, 0x0A7, (32, 11), 0x60B3C9D2, name)
        self._register(self.labeller, 7)

    def _list_identity(
        self,
        target: Host,
        port: int,
        product: int,
        revision: tuple[int, int],
        serial: int,
        name: str,
    ) -> None:
        """The server asks a Rockwell controller who it is."""
        self.wire.udp(SERVER, port, target, 44818, m.encapsulated(0x63, 0, b""))
        told = m.list_identity_answer(
            target,
            vendor=1,
            kind=0x0E,
            product=product,
            revision=revision,
            serial=serial,
            name=name,
        )
        self.wire.udp(target, 44818, SERVER, port, told)

    def _register(self, talk: Talk, session: int) -> None:
        """Registers an EtherNet/IP session."""
        register = struct.pack("<HH", 1, 0)
        talk.ask(m.encapsulated(0x65, 0, register), m.encapsulated(0x65, session, register))

    def _lldp(self) -> None:
        self._say(SWITCH, "1/7", "sw-bottling", "Hirschmann RSP35 HiOS-2A-08.7.02")

    def _say(self, switch: Host, port: str, name: str, description: str) -> None:
        """A switch says by LLDP who it is."""
        unit = m.lldp(switch.mac_bytes, port, name, description, switch.ip_bytes)
        self.wire.send(ethernet(switch.mac_bytes, LLDP_GROUP, ETHERTYPE_LLDP, unit))

    def _refused(self, target: Host, port: int, wanted: int) -> None:
        wire = self.wire
        wire.tcp((VISITOR, port), (target, wanted), 0x4000 + port, 0, SYN)
        wire.tcp((target, wanted), (VISITOR, port), 0, 0x4001 + port, RST | ACK)
        wire.wait(0.03)
