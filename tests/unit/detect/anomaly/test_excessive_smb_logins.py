"""`excessive-smb-logins`: 10 or more SMB log-ins of one client to one server in ten minutes."""

from support.alerts import Said, fired
from support.frames import HMI, PLC, SECOND_NS
from support.windows import LOGON_FAILURE, smb_log_ins, smb_set_up


def test_fires_for_ten_log_ins_in_ten_minutes() -> None:
    """The refused log-ins are told here, not once more as such."""
    alert = fired(smb_log_ins(10, LOGON_FAILURE, 30 * SECOND_NS))

    response = smb_set_up("eve", LOGON_FAILURE)[1]
    assert {
        "excessive-smb-logins": Said(
            "critical",
            [HMI.ip],
            [PLC.ip],
            10,
            "10.0.0.2 logged in to 10.0.0.1 10 times (smb, 10 within 600 s are too many).",
            [response[4:68]],
        )
    } == alert


def test_stays_silent_for_one_log_in_less() -> None:
    """Nine refused log-ins are told as refused log-ins."""
    assert {"login-failed"} == fired(smb_log_ins(9, LOGON_FAILURE, 30 * SECOND_NS)).keys()


def test_stays_silent_when_no_ten_minutes_hold_ten() -> None:
    """10 log-ins over 20 minutes are at most six in ten."""
    assert {"login-failed"} == fired(smb_log_ins(10, LOGON_FAILURE, 130 * SECOND_NS)).keys()


def test_stays_silent_where_more_is_told() -> None:
    """Twenty within a minute are told as that."""
    assert {"excessive-logins"} == fired(smb_log_ins(20, LOGON_FAILURE, SECOND_NS)).keys()
