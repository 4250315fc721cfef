"""`password-guessing`: 100 or more log-ins of one client to one server within a minute."""

from support.alerts import Said, fired
from support.frames import HMI, PLC, SECOND_NS
from support.messages import log_ins


def test_fires_for_a_hundred_log_ins_in_a_minute() -> None:
    """A hundred log-ins are guessing; that they are also more than twenty is not told again."""
    alert = fired(log_ins(100, "530 Login incorrect", step_ns=SECOND_NS // 2))

    assert {"password-guessing", "cleartext-credentials"} == alert.keys()
    assert alert["password-guessing"] == Said(
        "critical",
        [HMI.ip],
        [PLC.ip],
        100,
        "10.0.0.2 logged in to 10.0.0.1 100 times (ftp, 100 within 60 s are too many).",
        [b"530 Login incorrect"],
    )


def test_stays_silent_for_one_log_in_less() -> None:
    """99 log-ins are too many, and no guessing yet."""
    alert = fired(log_ins(99, "530 Login incorrect", step_ns=SECOND_NS // 2))

    assert {"excessive-logins", "cleartext-credentials"} == alert.keys()
