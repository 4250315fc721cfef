"""Alerts worked out batch by batch are those worked out from everything at once."""

import random

from hypothesis import given, settings
from hypothesis import strategies as st

from otic.baseline.baseline import Baseline
from otic.baseline.fields import FieldMaker
from otic.detect.alerts import Alert
from otic.detect.engine import Detector
from otic.detect.rules import load
from otic.inventory.devices import Inventory
from otic.inventory.notices import notices
from otic.journal.fold import State
from otic.settings import Settings
from plants import shaken

RULES = load([], {})


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32))
def test_every_batch_leaves_what_a_fresh_look_would_find(seed: int) -> None:
    """Whatever comes in whatever batches: the alerts kept up to date are all alerts."""
    chance = random.Random(seed)
    fields = FieldMaker(Settings())
    detector = Detector(RULES, fields, Baseline())
    state, devices = State(), Inventory(Settings())
    kept: dict[bytes, Alert] = {}
    batches = shaken(seed)
    for batch in batches:
        new = state.apply(batch)
        devices.note(new)
        detector.update(state, new)
        if chance.random() < 0.5 and batch is not batches[-1]:
            continue
        for id_ in devices.update(state):
            if (device := devices.devices.get(id_)) is not None:
                for endpoint in device.endpoints:
                    detector.matches.touch(endpoint)
        events = notices(state, devices.contests, devices.switch_overs)

        def spoken_for(endpoint: bytes) -> bool:
            device = devices.device(endpoint)
            return device is not None and endpoint != min(device.endpoints)

        alerts, gone = detector.refresh(state, events, spoken_for)
        kept |= {alert.id: alert for alert in alerts}
        for id_ in gone:
            del kept[id_]
        kept |= {alert.id: alert for alert in detector.recount(state)}

        expected = detector.alerts(state, events, spoken_for)
        assert expected == sorted(kept.values(), key=lambda alert: alert.id)
    assert kept
