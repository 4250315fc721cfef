"""Machines with several interfaces are one; cloned ones are not, and that is said."""

from __future__ import annotations

from typing import Any

import pytest

from builders import batch, binding, claim, endpoint, sighting
from otic.inventory.devices import Inventory, inventory
from otic.inventory.notices import notices
from otic.journal.fold import State
from otic.settings import Settings

GUID = "8d3f5a0e1c2b4d69a7b8c9d0e1f2a3b4"
ENGINE = "80001f8803001b1b000001"


def nic(number: int) -> list[Any]:
    """A network card with an address that it proves to have."""
    mac, ip = f"28:63:36:00:00:{number:02x}", f"10.{number}.0.1"
    return [endpoint(mac), endpoint(ip), sighting(mac, ip), binding(mac, ip)]


def told(number: int, attribute: str, value: str, protocol: str = "smb") -> Any:
    """What is said at the card's IP."""
    return claim(endpoint(f"10.{number}.0.1"), attribute, value, protocol=protocol)


def seen(*facts: Any) -> tuple[State, Inventory]:
    """The devices that these facts show."""
    state = State()
    state.apply(batch(0, *facts))
    return state, inventory(state, Settings())


def machines(found: Inventory) -> list[list[str]]:
    """The IPs of each device."""
    return sorted(device.ips for device in found.devices.values())


@pytest.mark.parametrize(
    ("attribute", "value"), [("smb_server_guid", GUID), ("snmp_engine_id", ENGINE)]
)
def test_two_cards_with_one_guid_are_one_machine(attribute: str, value: str) -> None:
    """A GUID that a machine made for itself joins its addresses, and says so."""
    state, found = seen(*nic(1), *nic(2), told(1, attribute, value), told(2, attribute, value))

    (device,) = found.devices.values()
    assert (["10.1.0.1", "10.2.0.1"], 2) == (device.ips, len(device.macs))
    assert any("same" in reason for reason in device.basis.values())
    assert [] == notices(state, found.contests, found.switch_overs, found.shared(state))


def test_the_same_name_alone_joins_nothing() -> None:
    """Names are no proof."""
    _, found = seen(*nic(1), *nic(2), told(1, "name", "SRV"), told(2, "name", "SRV"))

    assert [["10.1.0.1"], ["10.2.0.1"]] == machines(found)


def test_clones_stay_apart_and_are_said() -> None:
    """One GUID under two names is a cloned image."""
    state, found = seen(
        *nic(1),
        *nic(2),
        *(told(n, "smb_server_guid", GUID) for n in (1, 2)),
        told(1, "name", "VM-A"),
        told(2, "name", "VM-B"),
    )

    assert [["10.1.0.1"], ["10.2.0.1"]] == machines(found)
    (event,) = notices(state, found.contests, found.switch_overs, found.shared(state))
    assert ("shared-identity", "10.1.0.1, 10.2.0.1") == (event.kind, event.values["holders"])


def test_a_default_certificate_joins_nothing() -> None:
    """Makers ship one certificate on many devices: they stay apart, and it is said once."""
    facts = [fact for n in range(1, 13) for fact in nic(n)]
    facts += [told(n, "certificate_sha256", "ab" * 32, protocol="tls") for n in range(1, 13)]
    state, found = seen(*facts)

    assert 12 == len(found.devices)
    assert 1 == len(notices(state, found.contests, found.switch_overs, found.shared(state)))


def test_an_engine_id_that_is_no_mac_joins_nothing() -> None:
    """Engine ids of other formats may be the maker's default."""
    _, found = seen(
        *nic(1), *nic(2), *(told(n, "snmp_engine_id", "80001f8804706c63", "snmp") for n in (1, 2))
    )

    assert 2 == len(found.devices)


def test_a_value_of_many_machines_joins_none() -> None:
    """A GUID at more addresses than a machine has comes from an image."""
    facts = [fact for n in range(1, 13) for fact in nic(n)]
    _, found = seen(*facts, *(told(n, "smb_server_guid", GUID) for n in range(1, 13)))

    assert 12 == len(found.devices)


def test_privacy_addresses_belong_to_their_mac() -> None:
    """Neighbour discovery folds link-local and temporary IPv6 addresses into their host."""
    mac, facts = "28:63:36:00:00:01", nic(1)
    for number, ip in enumerate(("fe80::1c2d", "2001:db8::a1", "2001:db8::b2", "2001:db8::c3")):
        facts += [endpoint(ip), sighting(mac, ip, s=number)]
        facts.append(binding(mac, ip, protocol="icmpv6", message="neighbour-solicitation"))
    _, found = seen(*facts)

    (device,) = found.devices.values()
    assert 5 == len(device.ips)
