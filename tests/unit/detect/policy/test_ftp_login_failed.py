"""`ftp-login-failed`: an FTP server refuses a log-in."""

from support.alerts import Said, fired
from support.frames import HMI, PLC
from support.messages import ftp_log_in, talk


def test_fires_for_reply_530() -> None:
    """The reply is cited; the user is named."""
    alert = fired(talk(*ftp_log_in("operator", "530 Login incorrect"), port=21))

    assert {"ftp-login-failed", "cleartext-credentials"} == alert.keys()
    assert alert["ftp-login-failed"] == Said(
        "major",
        [HMI.ip],
        [PLC.ip],
        1,
        "10.0.0.1 refused the log-in of 10.0.0.2 (user operator).",
        [b"530 Login incorrect"],
    )


def test_stays_silent_for_reply_230() -> None:
    """A log-in that succeeds failed nowhere."""
    alert = fired(talk(*ftp_log_in("operator", "230 Logged in"), port=21))

    assert {"cleartext-credentials"} == alert.keys()
