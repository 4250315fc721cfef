"""`smb-login`: an account logs in to a file server from a machine from which it never did."""

from support.alerts import Said, fired
from support.frames import HMI, PLC, STATION
from support.messages import talk
from support.windows import LOGON_FAILURE, smb_set_up

NORMAL = talk(smb_set_up("operator"), port=445)


def test_fires_for_another_user() -> None:
    """The connection is known, the user is not; the response is cited."""
    session = smb_set_up("eve")

    assert {
        "smb-login": Said(
            "major",
            [HMI.ip],
            [PLC.ip],
            1,
            "eve logged in from 10.0.0.2 to 10.0.0.1 (SMB).",
            [session[1][4:68]],
        )
    } == fired(talk(session, port=445), learn=NORMAL)


def test_fires_for_another_machine() -> None:
    """That the connection is new is not told once more."""
    alert = fired(NORMAL + talk(smb_set_up("operator"), client=STATION, port=445), learn=NORMAL)

    assert {"new-device", "smb-login"} == alert.keys()


def test_stays_silent_for_a_known_user() -> None:
    """Logging in again is normal."""
    assert not fired(talk(smb_set_up("operator", number=4), port=445), learn=NORMAL)


def test_fires_for_a_user_whose_log_in_was_only_refused_before() -> None:
    """A refusal that was learned lets nobody in; a blank in a name hides no other user."""
    refused = talk(smb_set_up("eve", LOGON_FAILURE), smb_set_up("x user=eve", number=2), port=445)

    assert {"smb-login"} == fired(talk(smb_set_up("eve"), port=445), learn=refused).keys()


def test_stays_silent_for_a_refused_log_in() -> None:
    """Nobody was let in; the refusal is told as such."""
    alert = fired(talk(smb_set_up("eve", LOGON_FAILURE), port=445), learn=NORMAL)

    assert {"login-failed"} == alert.keys()
