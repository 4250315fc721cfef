"""What the nodes of the map said to each other, in columns: a large plant has hundred thousands."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from itertools import pairwise
from typing import NamedTuple

import msgspec

NODES = 1 << 32
"""More nodes than there can be: numbers of two of them make one number."""


class Layer(NamedTuple):
    """In which protocol two nodes talk, over what."""

    protocol: str
    transport: str
    port: int | None


class Said(NamedTuple):
    """What two nodes said to each other on one layer; the last time in ns."""

    first: str
    second: str
    layer: Layer
    packets: int
    last_ns: int


class Line(msgspec.Struct):
    """What two nodes (or two groups of them) said to each other.

    `packets` sums their connections; of several protocols on one port, which are layers of the same
    frames, the largest counts.
    """

    layers: set[int] = msgspec.field(default_factory=set)
    packets: int = 0
    last_ns: int = 0


class Talks:
    """All talks, by pair of nodes; `layers` are those that their numbers mean."""

    def __init__(self, said: Iterable[Said] = ()) -> None:
        """Reads them once; roles do not matter, nodes that talk to themselves are left out."""
        nodes: dict[str, int] = {}
        layers: dict[Layer, int] = {}
        pairs, rows = array("Q"), array("Q")
        packets, last = array("Q"), array("q")
        for one in said:
            if one.first == one.second:
                continue
            first, second = sorted((one.first, one.second))
            first_number = nodes.setdefault(first, len(nodes))
            second_number = nodes.setdefault(second, len(nodes))
            pairs.append(first_number * NODES + second_number)
            rows.append(layers.setdefault(one.layer, len(layers)))
            packets.append(one.packets)
            last.append(one.last_ns)
        keys = [pair << 32 | layer for pair, layer in zip(pairs, rows, strict=True)]
        order = array("I", sorted(range(len(keys)), key=keys.__getitem__))
        self.layers = list(layers)
        self._nodes = list(nodes)
        self._layer = array("I", (rows[at] for at in order))
        self._packets = array("Q", (packets[at] for at in order))
        self._last = array("q", (last[at] for at in order))
        self._pairs, self._starts = array("Q"), array("I")
        for place, at in enumerate(order):
            if not self._pairs or self._pairs[-1] != pairs[at]:
                self._pairs.append(pairs[at])
                self._starts.append(place)
        self._starts.append(len(order))

    def numbers(self, fits: Callable[[str], bool]) -> set[int]:
        """The layers whose protocol fits."""
        return {number for number, layer in enumerate(self.layers) if fits(layer.protocol)}

    def pairs(self, layers: Collection[int]) -> Iterator[tuple[str, str]]:
        """The pairs that talk on one of these layers."""
        for pair, start, end in self._ranges():
            if any(layer in layers for layer in self._layer[start:end]):
                first, second = divmod(pair, NODES)
                yield self._nodes[first], self._nodes[second]

    def lines(
        self, layers: Collection[int], into: Mapping[str, str], peers: Collection[str]
    ) -> dict[tuple[str, str], Line]:
        """What is said on these layers between the nodes' groups, by both in order.

        Nodes of no group are left out, and so is what two `peers` say.
        """
        groups = [into.get(node) for node in self._nodes]
        is_peer = [node in peers for node in self._nodes]
        found: dict[tuple[str, str], Line] = {}
        for pair, start, end in self._ranges():
            one, other = divmod(pair, NODES)
            first, second = groups[one], groups[other]
            if first is None or second is None or first == second:
                continue
            if is_peer[one] and is_peer[other]:
                continue
            asked = [at for at in range(start, end) if self._layer[at] in layers]
            if not asked:
                continue
            key = (first, second) if first < second else (second, first)
            line = found.get(key)
            if line is None:
                line = found[key] = Line()
            line.layers.update(map(self._layer.__getitem__, asked))
            line.packets += self._together(asked)
            line.last_ns = max(line.last_ns, *map(self._last.__getitem__, asked))
        return found

    def _ranges(self) -> Iterator[tuple[int, int, int]]:
        """Each pair, and where its rows begin and end."""
        for pair, (start, end) in zip(self._pairs, pairwise(self._starts), strict=True):
            yield pair, start, end

    def _together(self, rows: list[int]) -> int:
        """Packets of the rows of one pair."""
        if len(rows) == 1:
            return self._packets[rows[0]]
        by_layer: dict[int, int] = {}
        for at in rows:
            number = self._layer[at]
            by_layer[number] = by_layer.get(number, 0) + self._packets[at]
        largest: dict[tuple[str, int | None], int] = {}
        for number, count in by_layer.items():
            layer = self.layers[number]
            port = layer.transport, layer.port
            largest[port] = max(largest.get(port, 0), count)
        return sum(largest.values())
