"""Addresses that moved from one MAC to another, and which of them float in a redundancy group.

The core tells each time that another MAC claims an IP than before (`address-moved`). That is how
redundant controllers, hosts and network cards take over from each other, and how ARP spoofing
looks:

* ControlLogix: the partner modules of both chassis swap their addresses, the secondary's being the
  primary's plus 1 (Rockwell 1756-UM523F-EN-P, "Worksheet for IP swapping").
* Modicon hot standby: the new primary takes the configured address, the standby that plus 1
  (Schneider Electric 33002479, "IP address assignment", "IP address transparency"; M580 systems are
  described by the same rule in NHA58880).
* Linux bonds with `fail_over_mac=active`: the bond's address goes to the other card's MAC, which
  announces it by gratuitous ARP (Linux `Documentation/networking/bonding.rst`).
* Hosts that get their addresses by DHCP (RFC 2131 §1.6): one that is not used any more is given to
  another host later. Such an address is held in turn, which is no takeover and no conflict.
* Systems with an address of their own beside those of their machines (SIMATIC S7-1500R/H and
  others): the machine that leads answers for it. What their frames look like beyond that is not
  public, and nothing more is assumed.

A takeover is clean: one machine announces, the other says nothing of the address any more. Spoofing
is not: the owner goes on claiming what is its own, so the address goes back and forth.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from itertools import pairwise

import msgspec

from otic.facts import Event, Spans
from otic.inventory.addresses import sort_key
from otic.inventory.vendors import of_mac
from otic.journal.fold import BUCKET_NS, FIRST_NS, Novelty, State

ADDRESS_MOVED = "address-moved"

ALTERNATION_NS = 60_000_000_000
"""An address that comes back within this time was taken from a machine that still claims it."""

SWAP_NS = 60_000_000_000
"""Addresses that go both ways between two machines within this time were swapped."""

KNOWN_NS = 1_000_000_000
"""A MAC was known before it took an address when it spoke at least this long before."""

CARD = 8
"""MACs of one maker this near to each other are ports of one card or machine."""

MANY = 64
"""Addresses that may float between one MAC and others; one with more is no member of a group."""

ANNOUNCING = frozenset(("announcement", "reply", "neighbour-advertisement"))
"""Messages in which a machine tells others, unasked or asked, that it has the address now."""

Place = tuple[str, str]
"""Space and IP address."""

Turn = tuple[int, bytes]
"""Since when a MAC had an address, in ns."""


class Move(msgspec.Struct, frozen=True):
    """Once that an address went from one MAC to another."""

    ts_ns: int
    address: str
    to: bytes
    away: bytes
    message: str
    spans: Spans


class SwitchOver(msgspec.Struct, frozen=True):
    """Once that one machine of a redundancy group took over from another."""

    ts_ns: int
    space: str
    addresses: tuple[str, ...]
    to: bytes
    away: bytes
    spans: Spans


class Moves:
    """All moves of a state, by address and by MAC; the same for the same facts in any order."""

    def __init__(self) -> None:
        self._events: dict[Place, dict[bytes, Event]] = defaultdict(dict)
        self._of: dict[Place, list[Move]] = {}
        self._places: dict[bytes, Place] = {}
        self._by_mac: dict[bytes, set[Place]] = defaultdict(set)
        self._several: dict[tuple[str, bytes], bool] = {}

    def update(self, state: State, new: Novelty) -> set[Place]:
        """Takes in what changed; gives the addresses that are to be judged anew."""
        changed: set[Place] = set()
        before: dict[bytes, int] = {}
        for id_ in state.in_turn("events", new.events):
            event = state.events[id_]
            if event.kind == ADDRESS_MOVED:
                place = event.space, event.values["address"]
                self._events[place][id_] = event
                self._places[id_] = place
                for mac in (event.client_id, event.server_id):
                    before.setdefault(mac, len(self._by_mac[mac]))
                    self._by_mac[mac].add(place)
                changed.add(place)
        if self._places:
            changed |= {self._places[id_] for id_, _ in new.buckets if id_ in self._places}
        for place in changed:
            self._of[place] = sorted(
                (move for event in self._events[place].values() for move in _times(state, event)),
                key=lambda move: (move.ts_ns, move.to, move.away),
            )
        macs = {
            mac for place in changed for move in self._of[place] for mac in (move.to, move.away)
        }
        for mac in macs:
            for space in {place[0] for place in changed}:
                self._several.pop((space, mac), None)
        return changed | {
            other
            for mac in macs
            if before.get(mac, len(self._by_mac[mac])) <= MANY
            for other in self._by_mac[mac]
        }

    def of(self, place: Place) -> list[Move]:
        """The moves of one address, in time order."""
        return self._of.get(place, [])

    def of_mac(self, mac: bytes) -> set[Place]:
        """The addresses that went to or from this MAC."""
        return self._by_mac.get(mac, set())

    def alternates(self, place: Place) -> bool:
        """Whether the address came back to a MAC while that one had hardly lost it."""
        moves = self.of(place)
        return any(
            later.ts_ns - earlier.ts_ns < ALTERNATION_NS for earlier, later in pairwise(moves)
        )

    def took_from_several(self, space: str, mac: bytes) -> bool:
        """Whether the MAC took addresses of several others within a short time."""
        known = self._several.get((space, mac))
        if known is None:
            known = self._several[space, mac] = self._takes_from_several(space, mac)
        return known

    def _takes_from_several(self, space: str, mac: bytes) -> bool:
        taken = sorted(
            (move.ts_ns, move.away, move.address)
            for place in self.of_mac(mac)
            if place[0] == space
            for move in self.of(place)
            if move.to == mac
        )
        last: dict[bytes, tuple[int, str]] = {}
        for ts_ns, away, address in taken:
            for other, (then_ns, earlier) in list(last.items()):
                if ts_ns - then_ns >= ALTERNATION_NS:
                    del last[other]
                elif other != away and earlier != address:
                    return True
            last[away] = ts_ns, address
        return False

    def in_turn(self, place: Place, macs: Iterable[bytes]) -> tuple[Turn, ...]:
        """Who had the address from when on, where it went cleanly from one of these MACs to the
        next; nothing where it did not.
        """
        moves = self.of(place)
        parts = {move.to for move in moves} | {move.away for move in moves}
        if not moves or not parts.issuperset(macs) or self.alternates(place):
            return ()
        if any(self.took_from_several(place[0], move.to) for move in moves):
            return ()
        return ((FIRST_NS, moves[0].away), *((move.ts_ns, move.to) for move in moves))

    def floats(
        self,
        place: Place,
        macs: Iterable[bytes],
        text_of: Callable[[bytes], str],
        known_since: Callable[[bytes], int],
        has_own: Callable[[bytes], bool],
    ) -> bool:
        """Whether the address went cleanly between these MACs, and all of them are machines that
        may take over from each other.

        `text_of` a MAC is its text, `known_since` the time it first spoke, `has_own` whether it has
        an address that never moved.
        """
        moves = self.of(place)
        parts = {move.to for move in moves} | {move.away for move in moves}
        if not moves or not parts.issuperset(macs):
            return False
        if any(len(self._by_mac[mac]) > MANY for mac in parts):
            return False
        # Who does not let go of one address is believed about none.
        if any(self.alternates(other) for mac in parts for other in self._by_mac[mac]):
            return False
        if not any(move.message in ANNOUNCING for move in moves):
            return False
        first_to: dict[bytes, int] = {}
        for move in moves:
            first_to.setdefault(move.to, move.ts_ns)
        for mac, ts_ns in first_to.items():
            if known_since(mac) + KNOWN_NS > ts_ns or self.took_from_several(place[0], mac):
                return False
        return all(
            self._swapped(place, move)
            or _neighbours(text_of(move.to), text_of(move.away))
            or (
                _same_maker(text_of(move.to), text_of(move.away))
                and has_own(move.to)
                and has_own(move.away)
            )
            for move in moves
        )

    def _swapped(self, place: Place, move: Move) -> bool:
        """Whether another address went the other way at the same time."""
        return any(
            back.to == move.away
            and back.away == move.to
            and abs(back.ts_ns - move.ts_ns) <= SWAP_NS
            for other in self._by_mac[move.to]
            if other[0] == place[0] and other != place
            for back in self.of(other)
        )

    def switch_overs(self, space: str, addresses: Iterable[str]) -> list[SwitchOver]:
        """The takeovers of one group's addresses; those that moved together are one."""
        moves = sorted(
            (move for address in addresses for move in self.of((space, address))),
            key=lambda move: (move.ts_ns, move.address),
        )
        together: list[list[Move]] = []
        for move in moves:
            if together and move.ts_ns - together[-1][0].ts_ns <= SWAP_NS:
                together[-1].append(move)
            else:
                together.append([move])
        found = []
        for some in together:
            # Of two swapped addresses the lower one is the primary's.
            first = min(some, key=lambda move: (sort_key(move.address), move.ts_ns))
            found.append(
                SwitchOver(
                    some[0].ts_ns,
                    space,
                    tuple(sorted({move.address for move in some}, key=sort_key)),
                    first.to,
                    first.away,
                    first.spans,
                )
            )
        return found


def _times(state: State, event: Event) -> list[Move]:
    """One move each time that the event happened; later times are known to 10 s."""
    first = event.ts_ns // BUCKET_NS * BUCKET_NS
    counts = dict(state.buckets.get(event.id, {}))
    counts[first] = max(counts.get(first, 0), 1)
    return [
        Move(
            event.ts_ns if start == first else start,
            event.values["address"],
            event.client_id,
            event.server_id,
            event.values["message"],
            event.spans,
        )
        for start, count in sorted(counts.items())
        for _ in range(min(count, 2))
    ]


def _same_maker(one: str, other: str) -> bool:
    maker = of_mac(one) if one and other else None  # one of them may not be told yet
    return maker is not None and maker == of_mac(other)


def _neighbours(one: str, other: str) -> bool:
    if one[:9] != other[:9] or not _same_maker(one, other):
        return False
    first, second = (int(mac.replace(":", ""), 16) for mac in (one, other))
    return abs(first - second) < CARD
