"""`asdu-type`: a station sends a type of data unit that was not learned of this pair."""

from support.alerts import Said, fired
from support.frames import HMI, PLC
from support.messages import apdu, asdu, iec104_talk, talk

INTERROGATION = asdu(100, 6, b"\x14"), asdu(100, 7, b"\x14")
COUNTERS = asdu(101, 6, b"\x05"), asdu(101, 7, b"\x05")
NORMAL = iec104_talk(INTERROGATION)


def test_fires_for_a_new_command_without_its_answer() -> None:
    """A counter interrogation is new; its confirmation is an answer, not another cause."""
    assert {
        "asdu-type": Said(
            "major",
            [HMI.ip],
            [PLC.ip],
            1,
            "10.0.0.2 → 10.0.0.1: type 101, counter-interrogation-command.",
            [apdu(COUNTERS[0])],
        )
    } == fired(iec104_talk(INTERROGATION, COUNTERS), learn=NORMAL)


def test_fires_for_a_new_kind_of_value() -> None:
    """A controlled station that begins to send measured values is the source."""
    value = asdu(13, 3, bytes(5))
    alert = fired(iec104_talk((*INTERROGATION, value)), learn=NORMAL)

    assert {"asdu-type"} == alert.keys()
    assert ([PLC.ip], [HMI.ip]) == (alert["asdu-type"].sources, alert["asdu-type"].destinations)


def test_stays_silent_for_a_learned_type() -> None:
    """The same command for another object is the same type."""
    other = asdu(100, 6, b"\x15", ioa=0), asdu(100, 7, b"\x15", ioa=0)

    assert not fired(iec104_talk(other), learn=NORMAL)


def test_stays_silent_where_the_command_is_a_first_write() -> None:
    """A single command is told as the first write it is."""
    command = asdu(45, 6, b"\x01"), asdu(45, 7, b"\x01")

    assert {"first-write"} == fired(iec104_talk(command), learn=NORMAL).keys()


def test_stays_silent_for_a_test_frame() -> None:
    """Frames that keep a connection alive carry no data unit."""
    test = talk((bytes([0x68, 4, 0x43, 0, 0, 0]), bytes([0x68, 4, 0x83, 0, 0, 0])), port=2404)

    assert not fired(test, learn=NORMAL)
