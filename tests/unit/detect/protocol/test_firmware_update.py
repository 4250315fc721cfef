"""`firmware-update`: new firmware is written to a device."""

from otic.plant import messages as m
from support.alerts import Said, fired
from support.frames import HMI, PLC
from support.messages import cip, cip_path, enip_talk

STORAGE = cip_path(0xA1, 1)


def test_fires_once_for_an_update_and_the_restart_after_it() -> None:
    """Update, transfer and the restart that ends them are one piece of work; two were writes."""
    assert {
        "firmware-update": Said(
            "major",
            [HMI.ip],
            [PLC.ip],
            2,
            "10.0.0.2 writes firmware to 10.0.0.1 (cip: reset, nvs-update, nvs-transfer).",
            [
                m.cip(0x4B, STORAGE),
                m.cip(0x4D, STORAGE),
                m.cip(0x05, cip_path(1, 1)),
            ],
        )
    } == fired(
        enip_talk(cip(0x4B, STORAGE), cip(0x4D, STORAGE, b"\1\2\3"), cip(0x05, cip_path(1, 1)))
    )


def test_stays_silent_for_the_same_service_of_another_class() -> None:
    """Service 0x4B of the identity flashes its lamps."""
    assert not fired(enip_talk(cip(0x4B, cip_path(1, 1))))


def test_stays_silent_for_a_refused_update() -> None:
    """A refused update is told as refused."""
    assert {"guarded-refused"} == fired(enip_talk(cip(0x4B, STORAGE, status=0x0F))).keys()
