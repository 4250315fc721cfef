"""Batches in, devices and alerts out: the same for capture files and for a live sensor."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import chain
from typing import Protocol

import msgspec

from otic.baseline.baseline import Baseline
from otic.baseline.fields import FieldMaker
from otic.detect.alerts import Alert
from otic.detect.engine import Detector
from otic.detect.rules import Compiled
from otic.facts import Batch, Capture, Event
from otic.inventory.addresses import plainness
from otic.inventory.devices import Inventory
from otic.inventory.notices import notices
from otic.journal.fold import Novelty, State
from otic.journal.segments import FACTS
from otic.settings import Settings


class Changes(msgspec.Struct):
    """What looks different since the last look: devices changed or gone, alerts new or changed,
    and alerts gone, by id.
    """

    devices: set[bytes]
    alerts: list[Alert]
    gone: list[bytes]


class Result(msgspec.Struct):
    """What a run found."""

    state: State
    inventory: Inventory
    captures: list[Capture]
    alerts: list[Alert]
    notices: list[Event]
    detector: Detector


class Sink(Protocol):
    """Where the state is kept: a database, or nowhere."""

    def stored(self, stream: str = FACTS) -> int:
        """Batches already folded into what `load` gives; of a journal's stream, the sequence."""
        ...

    def load(self) -> State:
        """What was folded before."""
        ...

    def write(self, state: State, batch: Batch, new: Novelty, segment: int = 0) -> None:
        """Keeps one more batch (of this journal segment), whole or not at all."""
        ...

    def refresh(self, state: State, inventory: Inventory, changes: Changes) -> None:
        """Keeps how devices and alerts look now."""
        ...

    def finish(self, state: State, result: Result) -> None:
        """Keeps the result."""
        ...

    def close(self) -> None:
        """Ends the use of the state that `load` gave."""
        ...


class Memory:
    """Keeps nothing: the state lives as long as the run."""

    def stored(self, stream: str = FACTS) -> int:
        """Nothing was folded before."""
        return 0

    def load(self) -> State:
        """An empty state."""
        return State()

    def write(self, state: State, batch: Batch, new: Novelty, segment: int = 0) -> None:
        """Keeps nothing."""

    def refresh(self, state: State, inventory: Inventory, changes: Changes) -> None:
        """Keeps nothing."""

    def finish(self, state: State, result: Result) -> None:
        """Keeps nothing."""

    def close(self) -> None:
        """Nothing is open."""


class Analysis:
    """State, devices and alerts of one sensor, kept up to date batch by batch.

    While `learning`, facts are only collected: `learned` compares them afterwards.
    """

    def __init__(
        self,
        settings: Settings,
        rules: Iterable[Compiled],
        sink: Sink,
        *,
        baseline: Baseline | None = None,
        learned_until_ns: int | None = None,
        learning: bool = False,
    ) -> None:
        self.sink = sink
        self.fields = FieldMaker(settings)
        self.state = sink.load()
        self.detector = Detector(rules, self.fields, baseline, learned_until_ns)
        self.inventory = Inventory(settings)
        self.own: list[Event] = []
        """Events of the sensor itself, which no fact tells of."""
        self.learning = learning
        if sink.stored():
            self.inventory.note(self.state.everything())
            if not learning:
                self.detector.everything(self.state)

    def apply(self, batch: Batch, segment: int = 0) -> Novelty:
        """Folds one batch (of this journal segment) in; says what it changed."""
        new = self.state.apply(batch)
        self.inventory.note(new)
        self.inventory.read(self.state)
        if not self.learning:
            self.detector.update(self.state, new)
        self.sink.write(self.state, batch, new, segment)
        return new

    def learned(self) -> None:
        """The learning is over: compares everything."""
        self.learning = False
        self.detector.everything(self.state)

    def refresh(self) -> Changes:
        """Works out the devices and alerts that changed, and keeps them."""
        devices = self._devices()
        alerts, gone = self.detector.refresh(self.state, self._notices(), self._spoken_for)
        changes = Changes(devices, alerts, gone)
        self.sink.refresh(self.state, self.inventory, changes)
        return changes

    def result(self, captures: list[Capture]) -> Result:
        """Everything, with what would alert if it were unknown, and keeps it."""
        self._devices()
        events = self._notices()
        alerts = self.detector.alerts(self.state, events, self._spoken_for)
        found = Result(self.state, self.inventory, captures, alerts, events, self.detector)
        self.sink.finish(self.state, found)
        return found

    def _devices(self) -> set[bytes]:
        changed = self.inventory.update(self.state)
        for id_ in changed & self.inventory.devices.keys():
            for endpoint in self.inventory.devices[id_].endpoints:
                self.detector.matches.touch(endpoint)
        return changed

    def _notices(self) -> list[Event]:
        inventory = self.inventory
        found = notices(
            self.state,
            inventory.contests,
            inventory.switch_overs,
            inventory.shared(self.state),
            chain.from_iterable(inventory.mismatches[id_] for id_ in sorted(inventory.mismatches)),
        )
        return [*found, *self.own]

    def _spoken_for(self, endpoint: bytes) -> bool:
        """Whether a better address of its machine speaks for this endpoint."""
        device = self.inventory.device(endpoint)
        if device is None:
            return False
        endpoints = self.state.endpoints
        rank = plainness(endpoints[endpoint].address)
        return any(
            endpoints[other].spoke and plainness(endpoints[other].address) < rank
            for other in device.endpoints
        )
