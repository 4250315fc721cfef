"""Whether detection works: a rule of its own must fire on each canary.

The rule, its state and its alerts are apart from those of the sensor, so nothing of it is ever seen
as an alert; the code that evaluates it is the same.
"""

from __future__ import annotations

from otic.baseline.fields import FieldMaker
from otic.detect.engine import Detector
from otic.detect.rules import Proof, Rule, Trigger, compile_rule
from otic.facts import own_event
from otic.journal.fold import State

CANARY = "canary"

RULE = Rule(
    id=CANARY,
    title="Canary",
    engine="operational",
    severity="warning",
    category="Operational Issues",
    attack=[],
    proof=Proof(kind="real stack", source="tests/unit/sensor/test_canary.py"),
    explanation="A frame that Otic made came all the way to detection.",
    false_positives="None.",
    remediation="Nothing is to be done.",
    source="Otic",
    trigger=Trigger(kind="occurs", fact="event", where=[["kind", "==", CANARY]]),
    show=["values.canary"],
    group_by=["values.canary"],
)


class Probe:
    """Looks whether a canary alerts."""

    def __init__(self, fields: FieldMaker) -> None:
        self._detector = Detector([compile_rule(RULE)], fields)

    def alerts(self, canary: tuple[int, int]) -> bool:
        """Whether detection makes an alert of this canary, given as (run, number)."""
        name = "{} {}".format(*canary)
        event = own_event(CANARY, canary, {CANARY: name}, canary[0])
        alerts, _ = self._detector.refresh(State(), [event], lambda _: False)
        return [name] == [alert.values.get(f"values.{CANARY}") for alert in alerts]
