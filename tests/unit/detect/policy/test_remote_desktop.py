"""`remote-desktop`: a screen session between machines that had none before."""

from support.alerts import Said, fired
from support.frames import HMI, PLC, START_NS, Conversation
from support.messages import modbus_read, talk
from support.windows import RDP_CONNECT, VNC_VERSIONS

NORMAL = talk(modbus_read(), port=502)
RDP = talk(RDP_CONNECT, port=3389)


def test_fires_for_a_new_rdp_session() -> None:
    """That the two talk in other ways already does not hide it."""
    assert {
        "remote-desktop": Said(
            "major",
            [HMI.ip],
            [PLC.ip],
            2,
            "10.0.0.2 opened a screen session on 10.0.0.1 (rdp).",
            [RDP_CONNECT[0]],
        )
    } == fired(NORMAL + RDP, learn=NORMAL)


def test_fires_for_vnc_on_any_port() -> None:
    """The server's version comes first, and who opened the connection is the viewer."""
    client, server, types = VNC_VERSIONS
    vnc = Conversation(HMI, PLC, (49152, 16000), START_NS).open()
    vnc.answer(server).ask(client, types).close()
    alert = fired(NORMAL + vnc.frames, learn=NORMAL)

    assert {"remote-desktop"} == alert.keys()
    assert ([HMI.ip], [PLC.ip]) == (
        alert["remote-desktop"].sources,
        alert["remote-desktop"].destinations,
    )


def test_fires_until_a_named_person_signs_it_off() -> None:
    """Remote access is never learned silently."""
    assert {"remote-desktop"} == fired(RDP, learn=NORMAL + RDP).keys()


def test_stays_silent_after_sign_off() -> None:
    """Who may have a session, has one."""
    assert not fired(RDP, learn=NORMAL + RDP, sign=True)


def test_stays_silent_for_something_else() -> None:
    """A session on port 3389 that is no RDP is told as new connection."""
    other = talk((b"hello", b"world"), port=3389)

    assert {"new-connection"} == fired(NORMAL + other, learn=NORMAL).keys()
