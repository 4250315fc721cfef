"""`other-device`: what answers is another product than the one that a controller expects."""

import struct

import pytest

from support.alerts import Said, fired
from support.frames import PLC, Timed
from support.messages import cip, cip_path, enip_talk

IDENTITY, CONNECTION_MANAGER = 1, 6
LOGIX = (1, 14, 55)


def key(vendor: int, kind: int, code: int, *, compatible: bool = False) -> bytes:
    """An electronic key segment for revision 20.3 (CIP Vol. 1, C-1.4.2)."""
    major = 20 | (0x80 if compatible else 0)
    return b"\x34\x04" + struct.pack("<HHHBB", vendor, kind, code, major, 3)


def plant(expected: bytes, told: tuple[int, int, int]) -> list[Timed]:
    """The device tells its identity, then a controller opens a connection to it."""
    identity = struct.pack("<HHHBBHI", *told, 20, 3, 0x30, 0x14CD8A) + b"\4Test"
    route = expected + cip_path(2, 1)
    ids = struct.pack("<BBIIHHIB3x", 7, 0xE8, 0, 0x22, 1, 1, 0x09090909, 2)
    rates = struct.pack("<IHIHB", 0, 0x43F4, 0, 0x43F4, 0xA3)
    opening = ids + rates + bytes([len(route) // 2]) + route
    opened = struct.pack("<IIHHI", 0x11, 0x22, 1, 1, 0x09090909) + bytes(10)
    return enip_talk(
        cip(0x01, cip_path(IDENTITY, 1), answer=identity),
        cip(0x54, cip_path(CONNECTION_MANAGER, 1), opening, answer=opened),
    )


def test_fires_when_another_vendor_answers() -> None:
    """Both numbers are named, and the key and the identity are cited."""
    assert {
        "other-device": Said(
            "major",
            [PLC.ip],
            [PLC.ip],
            1,
            "10.0.0.1: vendor_id is 47 (Omron), expected was 1 (Rockwell Automation).",
            [b"\1\0", b"\x2f\0"],
        )
    } == fired(plant(key(*LOGIX), (47, 14, 55)))


def test_fires_for_another_product_where_the_key_is_exact() -> None:
    """A compatible one would be another matter."""
    assert "other-device" in fired(plant(key(*LOGIX), (1, 14, 56)))


@pytest.mark.parametrize(
    ("expected", "told"),
    [
        (key(*LOGIX), LOGIX),
        (key(1, 14, 55, compatible=True), (1, 14, 56)),
        (key(0, 0, 0), LOGIX),
    ],
)
def test_stays_silent(expected: bytes, told: tuple[int, int, int]) -> None:
    """For the same product, a compatible one, and a key that takes anything."""
    assert not fired(plant(expected, told))
