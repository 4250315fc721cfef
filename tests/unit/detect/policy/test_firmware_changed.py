"""`firmware-changed`: a device tells another firmware, model or serial number than before."""

from support.alerts import Said, fired
from support.frames import PLC
from support.messages import modbus_identification, talk


def test_fires_when_the_version_changes() -> None:
    """Old and new version are told; the new one's bytes are cited."""
    told = talk(modbus_identification("v1.0"), modbus_identification("v1.1", 5), port=502)

    assert {
        "firmware-changed": Said(
            "major",
            [PLC.ip],
            [],
            1,
            "10.0.0.1 modbus-unit 255: firmware was v1.0, is v1.1.",
            [b"v1.1"],
        )
    } == fired(told)


def test_fires_when_the_version_is_not_the_learned_one() -> None:
    """The device was updated between learning and now."""
    learn = talk(modbus_identification("v1.0"), port=502)
    alert = fired(talk(modbus_identification("v1.1"), port=502), learn=learn)

    assert {"firmware-changed"} == alert.keys()
    assert "was v1.0, is v1.1" in alert["firmware-changed"].text


def test_stays_silent_for_the_same_version_again() -> None:
    """A device that repeats itself did not change."""
    same = talk(modbus_identification("v1.0"), modbus_identification("v1.0", 5), port=502)

    assert not fired(same)
    assert not fired(same, learn=same)
