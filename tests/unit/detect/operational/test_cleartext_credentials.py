"""`cleartext-credentials`: a password crosses the network unencrypted."""

from support.alerts import Said, fired
from support.frames import HMI, PLC
from support.messages import ftp_log_in, http, talk


def test_fires_for_a_password_by_ftp() -> None:
    """User and protocol are told; the command is cited, never the password."""
    assert {
        "cleartext-credentials": Said(
            "warning",
            [HMI.ip],
            [PLC.ip],
            1,
            "10.0.0.2 sends credentials to 10.0.0.1 in clear text (ftp, user operator).",
            [b"PASS"],
        )
    } == fired(talk(*ftp_log_in("operator", "230 Logged in"), port=21))


def test_fires_for_basic_authentication() -> None:
    """HTTP's basic authentication is clear text in base 64."""
    asked = http("GET", "/", headers=["Authorization: Basic b3BlcmF0b3I6c2VjcmV0"])
    alert = fired(talk(asked, port=80))

    assert {"cleartext-credentials"} == alert.keys()
    assert "(http, user operator)" in alert["cleartext-credentials"].text


def test_stays_silent_for_anonymous_log_ins() -> None:
    """An anonymous log-in has no secret (RFC 1635)."""
    assert not fired(talk(*ftp_log_in("anonymous", "230 Logged in"), port=21))


def test_stays_silent_without_credentials() -> None:
    """A page without log-in has no secret either."""
    assert not fired(talk(http("GET", "/"), port=80))
