"""Machines behind a translated address: told by several signs, never by one."""

from __future__ import annotations

from typing import Any

from builders import batch, binding, claim, endpoint, sighting
from otic.inventory.devices import Inventory, inventory
from otic.journal.fold import State
from otic.settings import Settings

MAC, IP = "28:63:36:00:00:01", "10.0.0.1"
WINDOWS = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) Firefox/128.0"
PHONE = "Mozilla/5.0 (iPhone; CPU iPhone OS 17_0 like Mac OS X) Safari/604.1"


def seen(
    hops: tuple[int, ...], *told: tuple[str, str, str], more: tuple[Any, ...] = ()
) -> Inventory:
    """One machine that proves its address and sent it with these hop limits."""
    facts: list[Any] = [endpoint(MAC), endpoint(IP), binding(MAC, IP), *more]
    facts += [sighting(MAC, IP, hops=one, s=number) for number, one in enumerate(hops)]
    facts += [
        claim(endpoint(IP), attribute, value, message=message) for attribute, value, message in told
    ]
    state = State()
    state.apply(batch(0, *facts))
    return inventory(state, Settings())


def hidden(found: Inventory) -> list[tuple[str, str]]:
    """The hidden machines and how sure they are."""
    return sorted(
        (device.child_address, device.reasons["parent"]["certainty"])
        for device in found.devices.values()
        if device.parent is not None
    )


BROWSERS = (("user_agent", WINDOWS, "request"), ("user_agent", PHONE, "request"))
NAMES = (("name", "PC-A", "ntlm-authenticate"), ("name", "PC-B", "ntlm-authenticate"))


def test_two_signs_show_the_machines_behind() -> None:
    """Hop limits that were counted down and two machines' names: children with their claims."""
    found = seen((64, 127), *NAMES)

    assert [("hidden pc-a", "medium"), ("hidden pc-b", "medium")] == hidden(found)
    (gateway,) = (device for device in found.devices.values() if device.parent is None)
    assert "Router" == gateway.type
    assert IP == gateway.name, "what the hidden machines are called is not its name"
    assert {"PC-A", "PC-B"} == {
        device.name for device in found.devices.values() if device.parent is not None
    }


def test_more_signs_are_surer() -> None:
    """Names, browsers and hop limits of several systems agree."""
    found = seen((64, 63, 127), *NAMES, *BROWSERS)

    assert [("hidden pc-a", "high"), ("hidden pc-b", "high")] == hidden(found)
    reasons = [device.reasons["parent"]["by"] for device in found.devices.values() if device.parent]
    assert all("hop limit counted down" in reason for reason in reasons)


def test_one_weak_sign_is_none() -> None:
    """An odd hop limit, a proxy's clients, a machine with two systems: nothing is hidden."""
    assert [] == hidden(seen((63,)))
    assert [] == hidden(seen((64,), *BROWSERS))
    assert [] == hidden(seen((64, 128), *BROWSERS, *NAMES))
    assert [] == hidden(seen((63,), NAMES[0], BROWSERS[0]))


def test_a_router_is_no_translator() -> None:
    """Many addresses behind one MAC, with counted down hop limits and many browsers, are routed."""
    more: list[Any] = []
    for number in range(2, 40):
        ip = f"10.1.0.{number}"
        more += [endpoint(ip), sighting(MAC, ip, hops=(63, 127)[number % 2])]
        more.append(claim(endpoint(ip), "user_agent", (WINDOWS, PHONE)[number % 2]))
    found = seen((64, 255), more=tuple(more))

    assert [] == hidden(found)
    assert 39 == len(found.devices)


def test_without_proof_of_the_address_nothing_is_hidden() -> None:
    """Frames of a far host come through its router: their hop limits are the way's."""
    facts: list[Any] = [endpoint(MAC), endpoint(IP), sighting(MAC, IP, hops=63)]
    facts += [sighting(MAC, IP, hops=127, s=1)]
    state = State()
    state.apply(batch(0, *facts))

    assert [] == hidden(inventory(state, Settings()))
