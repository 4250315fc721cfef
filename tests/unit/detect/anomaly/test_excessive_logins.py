"""`excessive-logins`: 20 or more log-ins of one client to one server within a minute."""

from support.alerts import Said, fired
from support.frames import HMI, PLC, SECOND_NS
from support.messages import log_ins


def test_fires_for_twenty_log_ins_in_a_minute() -> None:
    """The refused log-ins are told here, not once more as such."""
    alert = fired(log_ins(20, "530 Login incorrect"))

    assert {"excessive-logins", "cleartext-credentials"} == alert.keys()
    assert alert["excessive-logins"] == Said(
        "critical",
        [HMI.ip],
        [PLC.ip],
        20,
        "10.0.0.2 logged in to 10.0.0.1 20 times (ftp, 20 within 60 s are too many).",
        [b"530 Login incorrect"],
    )


def test_stays_silent_for_one_log_in_less() -> None:
    """19 refused log-ins are told as refused log-ins."""
    alert = fired(log_ins(19, "530 Login incorrect"))

    assert {"ftp-login-failed", "cleartext-credentials"} == alert.keys()


def test_stays_silent_when_no_minute_holds_twenty() -> None:
    """20 log-ins over 80 seconds are at most 16 a minute."""
    alert = fired(log_ins(20, "530 Login incorrect", step_ns=4 * SECOND_NS))

    assert {"ftp-login-failed", "cleartext-credentials"} == alert.keys()
