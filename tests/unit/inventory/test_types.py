"""Each device type is given from plausible facts, safety-rated devices are, with their reasons."""

import re

import pytest

from builders import at, batch, binding, claim, connection, endpoint, tallies
from otic import data
from otic.facts import Endpoint
from otic.inventory.devices import Device, inventory
from otic.inventory.types import levels, types
from otic.journal.fold import State
from otic.settings import Settings

NO_RULE = {
    "Multicast/Broadcast": "groups of receivers are no devices",
    "Physical Location": "only a person knows where a thing stands",
}
"""Types of the product's list that no fact of the network gives."""

SAID = {
    "ATM": ("description", "Diebold cash dispenser"),
    "Alarm Siren": ("model", "IP siren S3"),
    "Alarm System": ("description", "Intrusion alarm panel"),
    "Backup Server": ("name", "veeam-01 backup"),
    "Barcode Scanner": ("model", "DataMan 262"),
    "DB Server": ("serves", "tds"),
    "DCS Controller": ("model", "AC 800M PM866"),
    "DVR": ("model", "NVR 16 channels"),
    "Domain Controller": ("serves", "kerberos"),
    "Door Control Panel": ("description", "Door controller"),
    "Elevator": ("description", "Elevator group 2"),
    "Embedded Device": ("os", "VxWorks 6.9"),
    "Engineering Station": ("fox_application", "Workbench"),
    "External Management": ("serves", "ipmi"),
    "Fire Alarm": ("description", "Fire alarm panel"),
    "Fire Detector": ("model", "Smoke detector 12"),
    "Firewall": ("model", "FortiGate 60F"),
    "Game console": ("name", "PlayStation 5"),
    "HMI": ("model", "PanelView Plus 1000"),
    "HVAC": ("bacnet_device_instance", "111"),
    "Historian": ("name", "plant historian"),
    "Humidity Sensor": ("description", "Humidity transmitter"),
    "I/O Adapter": ("device_profile", "401"),
    "IED": ("model", "SEL-751"),
    "IP Camera": ("model", "AXIS P1455"),
    "IP Telephone": ("dhcp_vendor_class", "Cisco Systems, Inc. IP Phone CP-7911G"),
    "Industrial Packaging System": ("description", "Flow wrapper 3"),
    "Industrial Robot": ("model", "IRB 6700"),
    "Industrial Scale": ("description", "Checkweigher line 2"),
    "Intercom": ("model", "IP intercom"),
    "KVM": ("model", "KVM switch 8 ports"),
    "Marquee": ("description", "LED sign north gate"),
    "Meter": ("model", "PM5560"),
    "Motion Detector": ("model", "PIR wall"),
    "NTP Server": ("ptp_role", "grandmaster"),
    "PLC": ("model", "1756-L61/B LOGIX5561"),
    "People Counter System": ("description", "People counter"),
    "Pneumatic Device": ("device_type_id", "27"),
    "Printer": ("model", "LaserJet 400"),
    "Protocol Converter": ("model", "NPort 5110"),
    "Punch Clock": ("description", "ZKTeco terminal"),
    "RTU": ("model", "SCADAPack 334"),
    "Robot Controller": ("model", "IRC5"),
    "Router": ("capabilities", "bridge router"),
    "Server": ("serves", "syslog"),
    "Servo Drive": ("device_type_id", "37"),
    "Smart Light": ("model", "LIFX A60"),
    "Smart Phone": ("name", "android-0123456789abcdef"),
    "Smart Switch": ("model", "Shelly Plus 1"),
    "Smart TV": ("model", "Bravia"),
    "Storage": ("model", "DiskStation"),
    "Switch": ("capabilities", "bridge"),
    "Tablet": ("name", "iPad of the shift"),
    "Terminal Station": ("serves", "rdp"),
    "Thermostat": ("model", "Room thermostat"),
    "Turbine": ("model", "Mark VIe"),
    "Turnstile": ("description", "Turnstile gate 1"),
    "Uninterruptable Power Supply": ("model", "Smart-UPS 1500"),
    "VPN Gateway": ("description", "VPN gateway"),
    "Variable Frequency Drive": ("model", "PowerFlex 525"),
    "Web Guiding System": ("description", "Web guide unwinder"),
    "Wifi Pineapple": ("name", "Pineapple"),
    "Wireless Access Point": ("capabilities", "wlan"),
    "Workstation": ("user_agent", "Mozilla/5.0 (Windows NT 10.0; Win64)"),
}
"""A claim, or a protocol that it serves, by the type that follows."""

GIVEN_OTHERWISE = {"Group", "Internet", "Slot", "Unknown"}
"""Types whose facts are more than one claim: tests of their own."""


def device_of(attribute: str, value: str, *, protocol: str = "test") -> Device:
    state = State()
    here = endpoint("10.0.0.1")
    if attribute == "serves":
        on = connection("10.0.0.2", "10.0.0.1", protocol=value, port=1)
        counts = tallies([(on.id, 5, 5, 600, at(1))])
        state.apply(batch(0, here, endpoint("10.0.0.2"), on, counts=counts))
    else:
        state.apply(batch(0, here, claim(here, attribute, value, protocol=protocol)))
    return next(
        device
        for device in inventory(state, Settings()).devices.values()
        if here.id in device.endpoints
    )


@pytest.mark.parametrize("kind", sorted(SAID))
def test_the_type_follows_with_its_reason(kind: str) -> None:
    """One claim or service is enough; the reason names the rule, and the claim where there is
    one.
    """
    attribute, value = SAID[kind]
    protocol = "dhcp" if attribute == "dhcp_vendor_class" else "test"
    device = device_of(attribute, value, protocol=protocol)
    why = device.reasons["type"]

    assert kind == device.type, why
    assert "nothing-known" != why["rule"]
    assert levels().get(kind) == device.level
    if attribute not in ("serves", "os", "dhcp_vendor_class"):
        assert (attribute, value) == (why["attribute"], why["value"])


def test_every_type_has_a_way() -> None:
    """Of the seventy types all are given by some rule, but those that the network cannot tell."""
    assert 70 == len(SAID.keys() | GIVEN_OTHERWISE | NO_RULE.keys())
    assert types() | {"Unknown"} == SAID.keys() | GIVEN_OTHERWISE


def test_a_slot_is_a_module_of_a_rack() -> None:
    """A communication module behind a CIP path."""
    state = State()
    here, slot = endpoint("10.0.0.1"), endpoint("10.0.0.1", child="cip-slot 1/3")
    state.apply(batch(0, here, slot, claim(slot, "model", "1756-EN2T/D", protocol="cip")))
    found = inventory(state, Settings()).devices[slot.id]

    assert ("Slot", "module-of-a-rack") == (found.type, found.reasons["type"]["rule"])


def test_public_and_floating_addresses() -> None:
    """A public address is Internet; a virtual MAC is a group."""
    assert "Internet" == _only(endpoint("8.8.8.8")).type
    mac, ip = endpoint("00:00:5e:00:01:0a"), endpoint("10.0.0.9")
    state = State()
    state.apply(batch(0, mac, ip, binding("00:00:5e:00:01:0a", "10.0.0.9")))
    found = inventory(state, Settings()).devices.values()

    assert ["Group"] == [device.type for device in found if device.macs]


def test_nothing_told_is_unknown() -> None:
    """And the reason says so."""
    device = _only(endpoint("10.0.0.1"))

    assert ("Unknown", "nothing-known") == (device.type, device.reasons["type"]["rule"])


def _only(fact: Endpoint) -> Device:
    state = State()
    state.apply(batch(0, fact))
    (device,) = inventory(state, Settings()).devices.values()
    return device


@pytest.mark.parametrize(
    ("attribute", "value", "rule"),
    [
        ("order_number", "6ES7 317-2FK14-0AB0", "fail-safe-product"),
        ("order_number", "6ES7 214-1AF40-0XB0", "fail-safe-product"),
        ("order_number", "6ES7 136-6BA00-0CA0", "fail-safe-product"),
        ("model", "CPU 1516F-3 PN/DP", "fail-safe-product"),
        ("model", "1756-L72S", "fail-safe-product"),
        ("model", "1756-L81ES", "fail-safe-product"),
        ("model", "5069-L306ERMS2", "fail-safe-product"),
        ("model", "1734-IB8S", "fail-safe-product"),
        ("model", "EL6900", "safety-product"),
        ("device_type_id", "42", "cip-safety-device-type"),
        ("serves", "tristation", "safety-protocol"),
    ],
)
def test_safety_rated_devices(attribute: str, value: str, rule: str) -> None:
    """By product, by order number, by CIP device type and by what they serve."""
    device = device_of(attribute, value)

    assert "safety-rated" == device.attributes["safety_class"]
    assert rule == device.reasons["safety_class"]["rule"]


@pytest.mark.parametrize(
    ("attribute", "value"),
    [
        ("order_number", "6ES7 315-2EH14-0AB0"),
        ("order_number", "6ES7 321-1FH00-0AA0"),
        ("order_number", "6AG1 308-2FL10-4AA3"),
        ("model", "1756-L61/B LOGIX5561"),
        ("model", "CPU 1516-3 PN/DP"),
        ("model", "EL3104"),
        ("device_type_id", "14"),
        ("serves", "modbus"),
    ],
)
def test_standard_devices_are_not(attribute: str, value: str) -> None:
    """Neighbours in the catalogue are not safety-rated."""
    assert "safety_class" not in device_of(attribute, value).attributes


def test_order_numbers_and_names_agree() -> None:
    """Of all Siemens products known by number and name, both tell the same CPUs."""
    fail_safe_name = re.compile(r"(CPU (S7-)?\d+|IM15\d-8)(SPT?|PRO)? ?H?T?F[CX]?\b", re.I)
    for number, name, *_ in data.table("siemens_orders.tsv"):
        fail_safe = bool(fail_safe_name.search(name))
        told = "safety_class" in device_of("order_number", number).attributes

        assert fail_safe == told, (number, name)


@pytest.mark.parametrize(
    ("text", "kind"),
    [("firewall", "Firewall"), ("Unified IP Phone 7911G", "IP Telephone")],
)
def test_words_within_words_mislead_nobody(text: str, kind: str) -> None:
    """A firewall is no fire alarm, and a unified telephone no UniFi access point."""
    assert kind == device_of("model", text).type
