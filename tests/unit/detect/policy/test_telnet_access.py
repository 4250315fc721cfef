"""`telnet-access`: a Telnet session between machines that had none before."""

from support.alerts import Said, fired
from support.frames import HMI, PLC
from support.messages import modbus_read, talk

NORMAL = talk(modbus_read(), port=502)
SESSION = talk((b"\xff\xfd\x18", b"\xff\xfb\x18"), port=23)


def test_fires_for_a_new_session() -> None:
    """That the two talk in other ways already does not hide it."""
    assert {
        "telnet-access": Said(
            "major",
            [HMI.ip],
            [PLC.ip],
            2,
            "10.0.0.2 opened a Telnet session on 10.0.0.1.",
            [b"\xff\xfd\x18"],
        )
    } == fired(NORMAL + SESSION, learn=NORMAL)


def test_fires_until_a_named_person_signs_it_off() -> None:
    """Remote access is never learned silently."""
    assert {"telnet-access"} == fired(SESSION, learn=NORMAL + SESSION).keys()


def test_stays_silent_after_sign_off() -> None:
    """Who may have a session, has one."""
    assert not fired(SESSION, learn=NORMAL + SESSION, sign=True)


def test_stays_silent_for_something_else() -> None:
    """The same on another port that is no Telnet is told as new connection."""
    other = talk((b"hello", b"world"), port=2323)

    assert {"new-connection"} == fired(NORMAL + other, learn=NORMAL).keys()
