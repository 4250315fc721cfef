"""`controller-reset`: a device is told to restart or to forget its state."""

from otic.plant import messages as m
from support.alerts import Said, fired
from support.frames import HMI, PLC
from support.industrial import RESET_TO_FACTORY, between, dcp_set
from support.messages import cip, cip_path, dnp3, dnp3_talk, enip_talk

IDENTITY = cip_path(1, 1)


def test_fires_for_a_cip_reset() -> None:
    """The reset of a CIP device is told with its request."""
    assert {
        "controller-reset": Said(
            "major",
            [HMI.ip],
            [PLC.ip],
            1,
            "10.0.0.2 told 10.0.0.1 to reset (cip: reset).",
            [m.cip(0x05, IDENTITY)],
        )
    } == fired(enip_talk(cip(0x05, IDENTITY)))


def test_fires_for_a_dnp3_restart() -> None:
    """A cold restart of an outstation is one, too."""
    alert = fired(dnp3_talk(dnp3(13)))

    assert {"controller-reset"} == alert.keys()
    assert alert["controller-reset"].text.endswith("(dnp3: cold-restart).")


def test_fires_for_a_profinet_device_that_is_reset_to_factory_settings() -> None:
    """A set of DCP's reset block makes a device forget its name and its address."""
    alert = fired(between(dcp_set(RESET_TO_FACTORY, b"")))

    assert {"controller-reset"} == alert.keys()
    assert [PLC.mac] == alert["controller-reset"].destinations


def test_stays_silent_for_a_refused_reset() -> None:
    """What the device refused did not happen; that somebody tried is told elsewhere."""
    assert {"guarded-refused"} == fired(enip_talk(cip(0x05, IDENTITY, status=8))).keys()


def test_stays_silent_for_a_read_of_the_same_object() -> None:
    """Reading the identity resets nothing."""
    assert not fired(enip_talk(cip(0x0E, IDENTITY + b"\x30\x07", answer=b"\x01A")))
