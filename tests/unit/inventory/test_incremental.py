"""Devices worked out batch by batch are those worked out from everything at once."""

import random
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from builders import (
    at,
    batch,
    binding,
    claim,
    connection,
    endpoint,
    event,
    operation,
    sighting,
    tallies,
)
from otic.facts import Correction, Observation
from otic.inventory.devices import Inventory, inventory
from otic.journal.fold import State
from otic.settings import Settings

MACS = ["28:63:36:00:00:01", "28:63:36:00:00:02", "00:0e:8c:00:00:03", "00:00:5e:00:01:07"]
IPS = ["10.0.0.1", "10.0.0.2", "10.0.1.9", "8.8.8.8", "fe80::1", "2001:db8::2a63:36ff:fe00:1"]
CHILDREN = ["modbus-unit 1", "modbus-unit 7", "cip-slot 1/0", "cip-slot 1/0/1/2"]


def shape(state: State, found: Inventory) -> Any:
    return (
        sorted(found.devices.items()),
        sorted(found.device_of.items()),
        found.contests,
        found.switch_overs,
        found.shared(state),
    )


def universe(rng: random.Random) -> tuple[list[Any], list[Any]]:
    """Facts about a few addresses that meet in many ways, and counts of their connections."""
    facts: list[Any] = [endpoint(a, spoke=rng.random() < 0.8) for a in (*MACS, *IPS)]
    facts += [endpoint(rng.choice(IPS), child=c, spoke=rng.random() < 0.5) for c in CHILDREN]
    for _ in range(rng.randrange(12)):
        facts.append(
            sighting(
                rng.choice(MACS),
                rng.choice(IPS),
                hops=rng.choice((64, 63, 128, 255, 0)),
                s=rng.randrange(9),
                vlans=rng.choice(((), (10,), (20,))),
            )
        )
    for _ in range(rng.randrange(6)):
        protocol, message = rng.choice((("arp", "reply"), ("dhcp", "ack"), ("icmpv6", "na")))
        facts.append(
            binding(
                rng.choice(MACS),
                rng.choice(IPS),
                protocol=protocol,
                message=message,
                s=rng.randrange(9),
            )
        )
    for _ in range(rng.randrange(4)):
        away, to = rng.sample(MACS, 2)
        values = {
            "address": rng.choice(IPS[:3]),
            "message": rng.choice(("announcement", "request")),
        }
        facts.append(
            event(
                "address-moved", to, away, protocol="arp", values=values, s=rng.choice((5, 9, 200))
            )
        )
    if rng.random() < 0.3:
        facts.append(binding(MACS[3], rng.choice(IPS), protocol="vrrp", message="member"))
    if rng.random() < 0.3:
        facts.append(binding(MACS[0], MACS[1], protocol="routed-copy", message="ttl"))
    for _ in range(rng.randrange(8)):
        about = endpoint(rng.choice(IPS), child=rng.choice(("", "", *CHILDREN)))
        attributes = ("serial", "vendor", "model", "name", "vendor_id", "smb_server_guid")
        attribute = rng.choice(attributes)
        facts.append(claim(about, attribute, rng.choice(("7", "8")), s=rng.randrange(9)))
    counts: list[Any] = []
    for _ in range(rng.randrange(8)):
        client, server = rng.sample([*IPS, MACS[0]], 2)
        protocol, port = rng.choice((("modbus", 502), ("s7comm", 102), ("http", 80)))
        child = rng.choice(("", "", *CHILDREN))
        on = connection(client, server, protocol=protocol, port=port, server_child=child)
        facts.append(on)
        counts.append((on.id, rng.randrange(3), rng.randrange(2), 60, at(rng.randrange(9))))
        for action in rng.sample(("read", "write", "stop", "identify"), rng.randrange(3)):
            outcome = rng.choice(("ok", "error", "unseen"))
            turned = rng.random() < 0.2
            facts.append(operation(on, action=action, outcome=outcome, reversed=turned))
        if rng.random() < 0.3:
            facts.append(Observation(on.id, [rng.choice((10, 30))], ""))
        if rng.random() < 0.3:
            right = connection(server, client, protocol=protocol, port=port, client_child=child)
            facts += [right, Correction(on.id, right.id, at(5))]
    return facts, counts


@settings(max_examples=300, deadline=None)
@given(st.integers(0, 2**48))
def test_every_batch_leaves_what_a_fresh_look_would_find(seed: int) -> None:
    """Facts in any order and any batches: devices, members and contests equal a whole rebuild."""
    rng = random.Random(seed)
    facts, counts = universe(rng)
    rng.shuffle(facts)
    state, found = State(), Inventory(Settings())
    number = 0
    while facts or counts:
        size = rng.randrange(1, 8)
        part, facts = facts[:size], facts[size:]
        counted, counts = counts[:2], counts[2:]
        found.note(state.apply(batch(number, *part, counts=tallies(counted))))
        number += 1
        if rng.random() < 0.7 or not (facts or counts):
            found.update(state)

            assert shape(state, inventory(state, Settings())) == shape(state, found)


def test_only_what_changed_is_told() -> None:
    """A claim about one machine changes that machine alone."""
    first, second = "10.0.0.1", "10.0.0.2"
    facts: list[Any] = [endpoint(first), endpoint(second)]
    state, found = State(), Inventory(Settings())
    found.note(state.apply(batch(0, *facts)))
    assert {fact.id for fact in facts} == found.update(state)

    found.note(state.apply(batch(1, claim(facts[0], "model", "CPU 315"))))

    assert {facts[0].id} == found.update(state)
    assert "CPU 315" == found.devices[facts[0].id].attributes["model"]
    assert set() == found.update(state)
