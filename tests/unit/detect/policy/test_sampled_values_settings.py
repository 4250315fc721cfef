"""`sampled-values-settings`: a stream of samples has settings that were not learned."""

from support.alerts import fired
from support.frames import PLC
from support.industrial import SAMPLED_VALUES, SAMPLES_GROUP, on_link, samples

NORMAL = on_link(SAMPLED_VALUES, (PLC, SAMPLES_GROUP, samples()))


def test_fires_for_another_revision() -> None:
    """Whoever configures a publisher counts its revision up."""
    other = on_link(SAMPLED_VALUES, (PLC, SAMPLES_GROUP, samples(revision=2)))
    alerts = fired(other, learn=NORMAL)

    assert {"sampled-values-settings"} == alerts.keys()
    alert = alerts["sampled-values-settings"]
    assert ("warning", [PLC.mac], [SAMPLES_GROUP.mac]) == (
        alert.severity,
        alert.sources,
        alert.destinations,
    )
    assert alert.text == (
        f"{PLC.mac} publishes MU01 with other settings (revision 2, application 0x4000)."
    )


def test_stays_silent_for_the_learned_stream() -> None:
    """Thousands of samples a second are one stream."""
    again = on_link(SAMPLED_VALUES, *[(PLC, SAMPLES_GROUP, samples())] * 5)

    assert not fired(again, learn=NORMAL)
