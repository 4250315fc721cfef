"""Endpoints become machines by proof only."""

import random
from typing import Any

import pytest

from builders import (
    at,
    batch,
    binding,
    claim,
    connection,
    endpoint,
    event,
    id_of,
    operation,
    sighting,
    tallies,
)
from otic.inventory.devices import Inventory, inventory
from otic.inventory.notices import notices
from otic.journal.fold import State
from otic.settings import Settings, Subnet


def devices_of(facts: list[Any], counts: Any = None, settings: Settings | None = None) -> Inventory:
    state = State()
    state.apply(batch(0, *facts, counts=counts))
    return inventory(state, settings or Settings())


def shape(found: Inventory) -> list[Any]:
    return sorted(
        (tuple(d.macs), tuple(d.ips), d.type, d.attributes.get("vendor"))
        for d in found.devices.values()
    )


SIEMENS = "28:63:36:00:00:{:02x}"


def host(mac: str, ip: str, **more: Any) -> list[Any]:
    space = {"space": more["space"]} if "space" in more else {}
    return [endpoint(mac, **space), endpoint(ip, **space), sighting(mac, ip, **more)]


def test_a_mac_with_one_ip_is_presumed_on_link() -> None:
    """Without proof, a MAC that sends exactly one IPv4 address is joined with it, and says so."""
    found = devices_of(host(SIEMENS.format(1), "10.0.0.1"))

    (device,) = found.devices.values()
    assert (["28:63:36:00:00:01"], ["10.0.0.1"]) == (device.macs, device.ips)
    assert "presumed on-link" == device.reasons["ips"]["by"]["10.0.0.1"]
    assert "Siemens" in device.attributes["vendor"]


def test_the_presumption_splits_when_the_mac_carries_more() -> None:
    """A second IPv4 address without proof makes the MAC a router's, and no address keeps it."""
    mac = SIEMENS.format(1)
    found = devices_of([*host(mac, "10.0.0.1"), *host(mac, "10.0.0.2")])

    assert [
        ((), ("10.0.0.1",), "Unknown", None),
        ((), ("10.0.0.2",), "Unknown", None),
        ((mac,), (), "Router", None),
    ] == shape(found)


def test_link_local_ipv6_stays_with_its_mac() -> None:
    """Link-local addresses are never routed, so they belong to the MAC that sends them."""
    mac = SIEMENS.format(1)
    found = devices_of([*host(mac, "10.0.0.1"), *host(mac, "fe80::1", hops=255)])

    (device,) = found.devices.values()
    assert ["10.0.0.1", "fe80::1"] == device.ips


@pytest.mark.parametrize("seed", range(5))
def test_five_hundred_hosts_behind_one_router_in_any_order(seed: int) -> None:
    """Seen from both sides, 500 hosts and a router are 501 devices, none with a wrong vendor."""
    inside, outside, server = "00:00:0c:00:00:01", "00:00:0c:00:00:02", "00:1b:1b:00:00:01"
    facts: list[Any] = [endpoint(inside), endpoint(outside), endpoint(server)]
    facts.append(binding(inside, outside, protocol="routed-copy", message="ttl"))
    facts += [
        endpoint("10.9.0.1"),
        sighting(server, "10.9.0.1"),
        sighting(inside, "10.9.0.1", hops=63),
    ]
    for n in range(499):
        mac, ip = f"28:63:36:00:{n // 256:02x}:{n % 256:02x}", f"10.1.{n // 250}.{n % 250 + 1}"
        facts += [*host(mac, ip), sighting(outside, ip, hops=63)]
    random.Random(seed).shuffle(facts)
    found = devices_of(facts)

    assert 501 == len(found.devices)
    routers = [d for d in found.devices.values() if len(d.macs) == 2]
    assert [[inside, outside]] == [d.macs for d in routers]
    for device in found.devices.values():
        if device.ips:
            assert 1 == len(device.macs)
            assert "Siemens" in device.attributes["vendor"]


def test_remote_hosts_get_no_vendor_from_the_router() -> None:
    """Behind a router whose other side is not seen, hosts have neither MAC nor vendor."""
    mac = SIEMENS.format(1)
    found = devices_of(
        [*(fact for n in range(1, 50) for fact in host(mac, f"10.1.0.{n}", hops=63))]
    )

    remote = [d for d in found.devices.values() if d.ips]
    assert 49 == len(remote)
    assert all(not d.macs and "vendor" not in d.attributes for d in remote)


def cell(number: int, vlans: tuple[int, ...], space: str = "default") -> list[Any]:
    facts: list[Any] = []
    for n in (1, 2):
        mac = f"28:63:36:00:{number:02x}:{n:02x}"
        facts += host(mac, f"192.168.0.{n}", vlans=vlans, space=space, s=number)
        facts.append(binding(mac, f"192.168.0.{n}", s=number, space=space))
        facts.append(
            connection(
                mac,
                "ff:ff:ff:ff:ff:ff",
                protocol="arp",
                transport="ethernet",
                port=None,
                space=space,
            )
        )
    return facts


def arp_counts(cells: int) -> Any:
    ids = [
        connection(
            f"28:63:36:00:{c:02x}:{n:02x}",
            "ff:ff:ff:ff:ff:ff",
            protocol="arp",
            transport="ethernet",
            port=None,
        ).id
        for c in range(cells)
        for n in (1, 2)
    ]
    return tallies(connections=[(id_, 5, 0, 300, at(100)) for id_ in ids])


def test_twenty_equal_cells_on_vlans_stay_twenty_with_a_space_map() -> None:
    """With VLANs mapped to spaces, twenty cells of equal addresses are forty devices."""
    found = devices_of([f for n in range(20) for f in cell(n, (100 + n,), space=f"vlan {100 + n}")])

    assert 40 == len(found.devices)
    assert all(len(d.macs) == 1 and len(d.ips) == 1 for d in found.devices.values())
    assert not found.contests


def test_twenty_equal_cells_on_vlans_ask_for_a_split() -> None:
    """Without the map they stay apart by MAC, and Otic says that VLANs tell them apart."""
    found = devices_of([f for n in range(20) for f in cell(n, (100 + n,))], arp_counts(20))

    assert 40 == len(found.devices)
    assert {("192.168.0.1",), ("192.168.0.2",)} == {tuple(d.ips) for d in found.devices.values()}
    assert {"vlan"} == {contest.split_by for contest in found.contests}


def test_twenty_equal_cells_without_tags_are_said_to_be_inseparable() -> None:
    """Without tags they stay apart by MAC, and Otic says that nothing tells them apart."""
    state = State()
    state.apply(batch(0, *(f for n in range(20) for f in cell(n, ())), counts=arp_counts(20)))
    found = inventory(state, Settings())
    told = notices(state, found.contests, found.switch_overs)

    assert 40 == len(found.devices)
    assert ["address-conflict"] * 2 == [event.kind for event in told]
    assert {"none"} == {event.values["split_by"] for event in told}
    assert all(event.values["holders"].count(",") == 19 for event in told)


def test_claims_of_a_contested_address_are_shown_but_not_believed() -> None:
    """Two machines are never averaged: a contested address's claims give neither an attribute."""
    address = endpoint("192.168.0.1")
    found = devices_of([*cell(0, ()), *cell(1, ()), claim(address, "model", "X-1")], arp_counts(2))
    holders = [d for d in found.devices.values() if d.ips == ["192.168.0.1"]]

    assert 2 == len(holders)
    assert all("model" not in d.attributes and len(d.claims) == 1 for d in holders)


def test_a_name_that_nobody_gave_names_no_device() -> None:
    """`localhost` is what every machine calls itself: shown as a claim, but never the name."""
    address = endpoint("192.168.0.1")
    named = claim(address, "name", "press7", protocol="dhcp", confidence="medium")
    for facts, name in (([], "192.168.0.1"), ([named], "press7")):
        found = devices_of([address, claim(address, "name", "localhost"), *facts])
        (device,) = found.devices.values()

        assert name == device.name
        assert "localhost" in {told.value for told in device.claims}


def test_an_answering_machine_for_others_is_no_machine_with_all_their_addresses() -> None:
    """A MAC that answers ARP for many addresses answers for others (proxy ARP)."""
    mac = "00:00:0c:00:00:01"
    facts: list[Any] = [endpoint(mac)]
    for n in range(1, 20):
        facts += [endpoint(f"10.0.0.{n}"), binding(mac, f"10.0.0.{n}", message="reply")]
    found = devices_of(facts)

    assert 20 == len(found.devices)


def test_the_same_serial_number_joins_two_addresses() -> None:
    """One machine that tells maker, model and serial number at two addresses is one device."""
    one, two = endpoint("10.0.0.1"), endpoint("10.0.1.1")
    told = [
        claim(about, attribute, value, protocol="cip", message="identity")
        for about in (one, two)
        for attribute, value in (
            ("serial", "0x00c0ffee"),
            ("vendor_id", "1"),
            ("model", "1756-EN2T"),
        )
    ]
    found = devices_of([one, two, *told])

    (device,) = found.devices.values()
    assert ["10.0.0.1", "10.0.1.1"] == device.ips
    assert "Rockwell Automation" in device.attributes["vendor"]


def test_units_are_children_only_where_there_are_several() -> None:
    """One Modbus unit is the server itself; several are children of it."""
    for units, children in (([1], 0), ([1, 2, 3], 3), ([5], 1)):
        facts: list[Any] = [endpoint("10.0.0.1"), endpoint("10.0.0.2")]
        for unit in units:
            child = f"modbus-unit {unit}"
            on = connection("10.0.0.2", "10.0.0.1", server_child=child)
            facts += [endpoint("10.0.0.1", child=child, spoke=False), on, operation(on)]
        found = devices_of(facts)
        named = [d.name for d in found.devices.values() if d.parent]

        assert children == len(named)
        assert all(name.startswith("10.0.0.1 modbus-unit ") for name in named)


def test_silent_and_group_addresses_are_no_devices() -> None:
    """Only endpoints that spoke are devices; groups never are."""
    found = devices_of(
        [endpoint("10.0.0.9", spoke=False), endpoint("224.0.0.1"), endpoint("01:80:c2:00:00:0e")]
    )

    assert not found.devices


def test_public_addresses_are_the_internet_unless_named() -> None:
    """A public address is of type Internet, but not inside a subnet that people named theirs."""
    facts = [endpoint("8.8.8.8")]
    settings = Settings(subnet=[Subnet(cidr="8.8.8.0/24")])

    assert ["Internet"] == [d.type for d in devices_of(facts).devices.values()]
    assert ["Unknown"] == [d.type for d in devices_of(facts, settings=settings).devices.values()]


def test_routers_that_share_an_address_are_a_group() -> None:
    """A VRRP MAC with its address is a group whose members are the routers."""
    virtual, real = "00:00:5e:00:01:01", "00:00:0c:00:00:01"
    found = devices_of(
        [
            *host(real, "10.0.0.2"),
            endpoint(virtual),
            endpoint("10.0.0.1"),
            binding(virtual, "10.0.0.1"),
            binding(real, "10.0.0.2"),
            sighting(virtual, "10.0.0.2"),
        ]
    )
    group = found.devices[found.device_of[id_of("endpoint", "default", virtual, "")]]

    assert ("Group", ["10.0.0.1"]) == (group.type, group.ips)
    assert [found.device_of[id_of("endpoint", "default", real, "")]] == group.members


def test_a_lease_seen_nowhere_is_its_client_s() -> None:
    """A DHCP client that sends another address, not counted down, had it for a time; with very many
    it forwards others'.
    """
    mac = SIEMENS.format(1)
    client = [*host(mac, "10.0.0.1"), binding(mac, "10.0.0.1", protocol="dhcp", message="ack")]
    few = [fact for n in (2, 3) for fact in host(mac, f"10.0.0.{n}", s=n)]
    many = [fact for n in range(2, 40) for fact in host(mac, f"10.0.0.{n}", s=n)]

    assert 1 == len(devices_of([*client, *few]).devices)
    assert 39 == len(devices_of([*client, *many]).devices)


def test_a_lease_goes_from_one_client_to_the_next() -> None:
    """The address is the last holder's; what was told at it is its holder's of that time."""
    first, second, ip = SIEMENS.format(1), SIEMENS.format(2), "10.0.0.1"
    facts = [endpoint(first), endpoint(second), endpoint(ip)]
    for mac, s in ((first, 1), (second, 5000)):
        facts.append(sighting(mac, ip, s=s))
        facts += [
            binding(mac, ip, protocol=protocol, message=message, s=s)
            for protocol, message in (("dhcp", "ack"), ("arp", "announcement"))
        ]
    values = {"address": ip, "message": "announcement"}
    facts.append(event("address-moved", second, first, protocol="arp", values=values, s=5000))
    facts += [claim(endpoint(ip), "os", os, s=s) for os, s in (("old", 2), ("new", 5001))]
    found = devices_of(facts)
    of_mac = {device.macs[0]: device for device in found.devices.values()}

    assert ([], [ip]) == (of_mac[first].ips, of_mac[second].ips)
    assert ("old", "new") == tuple(of_mac[mac].attributes["os"] for mac in (first, second))
    assert [] == found.contests
    assert of_mac[first].reasons["ips"]["by"][ip].startswith("held until")
