"""`login-failed`: a server refuses a log-in (FTP has a rule of its own)."""

from support.alerts import Said, fired
from support.frames import HMI, PLC
from support.messages import ftp_log_in, http, talk

SECRET = "Authorization: Basic b3BlcmF0b3I6c2VjcmV0"


def test_fires_when_a_password_is_refused() -> None:
    """The status line is cited; the user is named."""
    asked = http("GET", "/", status="401 Unauthorized", headers=[SECRET])
    alert = fired(talk(asked, port=80))

    assert {"login-failed", "cleartext-credentials"} == alert.keys()
    assert alert["login-failed"] == Said(
        "minor",
        [HMI.ip],
        [PLC.ip],
        1,
        "10.0.0.1 refused the log-in of 10.0.0.2 (http, user operator).",
        [b"HTTP/1.1 401 Unauthorized"],
    )


def test_stays_silent_when_a_server_asks_for_a_password() -> None:
    """The first answer without a password is a question, not a refusal."""
    assert not fired(talk(http("GET", "/", status="401 Unauthorized"), port=80))


def test_stays_silent_for_ftp() -> None:
    """A refused FTP log-in is told once."""
    alert = fired(talk(*ftp_log_in("operator", "530 no"), port=21))

    assert {"ftp-login-failed", "cleartext-credentials"} == alert.keys()
