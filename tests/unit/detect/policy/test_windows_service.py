"""`windows-service`: a machine installs a service on another that was not installed before."""

from support.alerts import Said, fired
from support.frames import HMI, PLC
from support.windows import START_SERVICE, create_service, rpc_call, rpc_talk

NORMAL = rpc_talk(create_service("backup"), rpc_call(START_SERVICE, call=3))


def test_fires_for_another_service() -> None:
    """The method is known, the service is not; its name is cited."""
    alert = fired(rpc_talk(create_service("updater")), learn=NORMAL)

    assert {"remote-service-management", "windows-service"} == alert.keys()
    assert alert["windows-service"] == Said(
        "major",
        [HMI.ip],
        [PLC.ip],
        1,
        "10.0.0.2 installed the service updater on 10.0.0.1.",
        ["updater".encode("utf-16-le")],
    )


def test_stays_silent_for_a_known_service() -> None:
    """The same service again is known."""
    alert = fired(rpc_talk(create_service("backup")), learn=NORMAL)

    assert {"remote-service-management"} == alert.keys()


def test_stays_silent_where_more_is_told() -> None:
    """The service of PsExec is told as that."""
    alert = fired(rpc_talk(create_service("PSEXESVC")), learn=NORMAL)

    assert {"psexec", "remote-service-management"} == alert.keys()
