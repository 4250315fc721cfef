"""Events that only the whole shows: addresses of several machines, takeovers, devices that are
other than expected, interfaces without link.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from otic.facts import Event, derived_id, own_event
from otic.inventory.addresses import sort_key
from otic.inventory.devices import Shared
from otic.inventory.expectations import Mismatch
from otic.inventory.merge import Contest
from otic.inventory.moves import SwitchOver
from otic.journal.fold import State

INTERFACE_DOWN = "interface-down"

SHARED_IDENTITY = "shared-identity"

SWITCH_OVER = "switch-over"
"""Kind of the event; that of groups with a protocol of their own comes from the core."""

OTHER_DEVICE = "other-device"

SPLIT_HINT = {
    "vlan": "map the VLANs to address spaces",
    "interface": "map the interfaces to address spaces",
    "none": "no VLAN, interface or tunnel tag tells the machines apart",
}


def notices(
    state: State,
    contests: list[Contest],
    switch_overs: list[SwitchOver],
    shared: Sequence[Shared] = (),
    mismatches: Iterable[Mismatch] = (),
) -> list[Event]:
    """What the whole of a sensor's facts shows."""
    return [
        *_contests(state, contests),
        *_switch_overs(state, switch_overs),
        *_shared(state, shared),
        *_others(state, mismatches),
        *_downs(state),
    ]


def _shared(state: State, shared: Sequence[Shared]) -> list[Event]:
    """One event for each certificate, GUID or engine id that several devices tell: cloned images,
    or the maker's default.
    """
    found = []
    for one in shared:
        first, last = (state.endpoints[claim.endpoint] for claim in (one.claims[0], one.claims[1]))
        holders = {state.endpoints[claim.endpoint].address for claim in one.claims}
        values = {
            "attribute": one.attribute,
            "value": one.value,
            "holders": ", ".join(sorted(holders, key=sort_key)),
        }
        found.append(
            Event(
                derived_id("event", one.space, SHARED_IDENTITY, one.attribute, one.value),
                SHARED_IDENTITY,
                one.space,
                first.id,
                last.id,
                first.address,
                last.address,
                one.claims[0].protocol,
                values,
                one.claims[1].ts_ns,
                one.claims[0].evidence.spans + one.claims[1].evidence.spans,
            )
        )
    return found


def _others(state: State, mismatches: Iterable[Mismatch]) -> list[Event]:
    """One event for each thing that a device is other than what others expect of it."""
    found = []
    for one in mismatches:
        expected, told = one.expected, one.found
        device = state.endpoints[told.endpoint]
        found.append(
            Event(
                derived_id("event", OTHER_DEVICE, expected.id, told.id),
                OTHER_DEVICE,
                device.space,
                device.id,
                device.id,
                device.address,
                device.address,
                expected.protocol,
                one.values | {"at": f"{device.address} {device.child}".strip()},
                max(expected.ts_ns, told.ts_ns),
                expected.evidence.spans + told.evidence.spans,
            )
        )
    return found


def _switch_overs(state: State, switch_overs: list[SwitchOver]) -> list[Event]:
    """One event each time that a machine took addresses over from another of its group."""
    found = []
    for one in switch_overs:
        to, away = (state.endpoints[mac].address for mac in (one.to, one.away))
        key = (one.space, SWITCH_OVER, one.to, one.away, one.addresses, one.ts_ns)
        found.append(
            Event(
                derived_id("event", *key),
                SWITCH_OVER,
                one.space,
                one.to,
                one.away,
                to,
                away,
                "arp",
                {"addresses": ", ".join(one.addresses), "group": "", "mac": ""},
                one.ts_ns,
                one.spans,
            )
        )
    return found


def _downs(state: State) -> list[Event]:
    """One event each time that a monitored interface had no link, whether it has one again or not.

    The event's time is the last second with a link, so it stays the same event when the link is
    back.
    """
    times = {
        (blind.interface, blind.start_ns)
        for blind in state.blinds.values()
        if blind.cause == "link-down"
    }
    for name, interface in state.interfaces.items():
        if not interface.last.up:
            since_ns = interface.first_ns if interface.up_ns is None else interface.up_ns
            times.add((name, since_ns))
    return [
        own_event(INTERFACE_DOWN, (name, since_ns), {"interface": name}, since_ns)
        for name, since_ns in sorted(times)
    ]


def _contests(state: State, contests: list[Contest]) -> list[Event]:
    """One event an address held by several on-link MACs.

    `at_once` is "yes" where an earlier holder spoke after the last one took the address; else
    "unknown": the address may have moved from one machine to the next.
    """
    found = []
    for contest in contests:
        ip = state.endpoints[contest.ip]
        macs = [state.endpoints[mac] for mac in contest.macs]
        values = {
            "address": ip.address,
            "holders": ", ".join(mac.address for mac in macs),
            "split_by": contest.split_by,
            "at_once": "yes" if contest.at_once else "unknown",
            "advice": SPLIT_HINT[contest.split_by],
        }
        kind = "address-conflict"
        found.append(
            Event(
                derived_id("event", ip.space, kind, *contest.macs, contest.ip),
                kind,
                ip.space,
                macs[0].id,
                macs[-1].id,
                macs[0].address,
                macs[-1].address,
                "arp",
                values,
                contest.ts_ns,
                contest.spans,
            )
        )
    return found
