"""Messages of Windows networks, byte by byte, each with the clause it follows."""

from __future__ import annotations

import struct

from support.frames import HMI, PLC, START_NS, Timed
from support.messages import Exchange, talk

LOGON_FAILURE = 0xC000006D
MORE_PROCESSING_REQUIRED = 0xC0000016
"""Status codes ([MS-ERREF] §2.3.1)."""

SVCCTL = bytes.fromhex("81bb7a364498f135ad3298f038001003")
"""The interface 367abb81-9844-35f1-ad32-98f038001003 as it is sent ([MS-SCMR] §1.9)."""
CREATE_SERVICE, OPEN_MANAGER, START_SERVICE = 12, 15, 19
"""Methods of svcctl ([MS-SCMR] §3.1.4)."""
FAULT_ACCESS_DENIED = bytes(8) + struct.pack("<LL", 5, 0)
"""What follows the header of a fault ([MS-RPCE] §2.2.2.6)."""


def framed(message: bytes) -> bytes:
    """A message with its length in front ([MS-SMB2] §2.1)."""
    return struct.pack("!L", len(message)) + message


# -- SMB 2 and NTLM -------------------------------------------------------------------------------


def smb2(command: int, number: int, body: bytes, status: int | None = None) -> bytes:
    """A request, or with a status a response ([MS-SMB2] §2.2.1.2), in tree 5."""
    head = struct.pack(
        "<4sHHLHHLLQLLQ16s",
        b"\xfeSMB",
        64,
        0,
        status or 0,
        command,
        1,
        status is not None,
        0,
        number,
        0,
        5,
        1,
        bytes(16),
    )
    return framed(head + body)


def with_part(fixed: bytes, at: int, part: bytes) -> bytes:
    """A body in which (offset, length) at `at` point to a part behind it."""
    pointer = struct.pack("<HH", 64 + len(fixed), len(part))
    return fixed[:at] + pointer + fixed[at + 4 :] + part


def ntlm_authenticate(user: str, domain: str = "PLANT", workstation: str = "HMI7") -> bytes:
    """AUTHENTICATE_MESSAGE ([MS-NLMP] §2.2.1.3) with a response of zeroes."""
    texts = [text.encode("utf-16-le") for text in (domain, user, workstation)]
    head, tail = b"NTLMSSP\0" + struct.pack("<L", 3), b""
    for part in (bytes(24), bytes(24), *texts, b""):
        head += struct.pack("<HHL", len(part), len(part), 64 + len(tail))
        tail += part
    return head + struct.pack("<L", 1) + tail


def smb_set_up(user: str, status: int = 0, number: int = 1) -> Exchange:
    """The last SESSION_SETUP of a log-in and its response ([MS-SMB2] §2.2.5, §2.2.6)."""
    return (
        smb2(1, number, with_part(bytes(24), 12, ntlm_authenticate(user))),
        smb2(1, number, with_part(bytes(8), 4, b""), status),
    )


def smb_log_ins(count: int, status: int, step_ns: int) -> list[Timed]:
    """As many sessions with one log-in each."""
    return [
        frame
        for number in range(count)
        for frame in talk(
            smb_set_up("eve", status),
            port=445,
            at_ns=START_NS + number * step_ns,
            client_port=40000 + number,
        )
    ]


def pipe(request: bytes, response: bytes, number: int) -> Exchange:
    """FSCTL_PIPE_TRANSCEIVE on an open pipe ([MS-SMB2] §2.2.31, §2.2.32)."""
    file = struct.pack("<QQ", 9, 7)
    head = struct.pack("<HHL", 57, 0, 0x11C017) + file
    ask = head + struct.pack("<LLLLLLL", 120, len(request), 0, 0, 0, 1024, 1) + bytes(4)
    answer = head + struct.pack("<LLLLL", 0, 0, 112, len(response), 0) + bytes(4)
    return smb2(11, number, ask + request), smb2(11, number, answer + response, 0)


# -- SMB 1 ----------------------------------------------------------------------------------------


def smb1_reserved_transaction(answered_as: int) -> Exchange:
    """TRANS2_SESSION_SETUP with multiplex id 0x41 and an answer ([MS-CIFS] §2.2.6.15)."""
    words = bytes(26) + struct.pack("<BBH", 1, 0, 0x0E)
    return (
        framed(_smb1_head(0x32, 0, 0x41) + bytes([15]) + words + bytes(2)),
        framed(_smb1_head(0x32, 0x80, answered_as) + bytes(3)),
    )


def _smb1_head(command: int, flags: int, number: int) -> bytes:
    """A header ([MS-CIFS] §2.2.3.1)."""
    head = struct.pack("<4sBLBH", b"\xffSMB", command, 0, flags, 0xC000)
    return head + bytes(12) + struct.pack("<HHHH", 5, 1, 6, number)


# -- DCE/RPC --------------------------------------------------------------------------------------


def rpc(kind: int, call: int, body: bytes) -> bytes:
    """A fragment, first and last, little-endian (C706 §12.6.3.1)."""
    return struct.pack("<BBBBLHHL", 5, 0, kind, 3, 0x10, 16 + len(body), 0, call) + body


def rpc_bind(call: int = 1, interface: bytes = SVCCTL) -> Exchange:
    """A bind of one interface as context 0, and its acceptance (C706 §12.6.4.3, §12.6.4.4)."""
    context = struct.pack("<HBB16sL", 0, 1, 0, interface, 2) + bytes(20)
    accepted = struct.pack("<HHLH4sH", 4280, 4280, 1, 4, b"135\0", 0)
    accepted += struct.pack("<LHH", 1, 0, 0) + bytes(20)
    bind = struct.pack("<HHLL", 4280, 4280, 0, 1) + context
    return rpc(11, call, bind), rpc(12, call, accepted)


def rpc_call(method: int, call: int = 2, stub: bytes = b"") -> Exchange:
    """A request and its response (C706 §12.6.4.9, §12.6.4.10)."""
    return rpc(0, call, struct.pack("<LHH", 0, 0, method) + stub), rpc(2, call, bytes(8))


def rpc_refused(method: int, call: int = 2) -> Exchange:
    """A request and a fault (C706 §12.6.4.7)."""
    return rpc_call(method, call)[0], rpc(3, call, FAULT_ACCESS_DENIED)


def create_service(name: str, call: int = 2) -> Exchange:
    """RCreateServiceW as far as the service's name ([MS-SCMR] §3.1.4.12; NDR, C706 §14.3.4)."""
    letters = len(name) + 1
    text = (name + "\0").encode("utf-16-le")
    return rpc_call(
        CREATE_SERVICE, call, bytes(20) + struct.pack("<LLL", letters, 0, letters) + text
    )


def rpc_talk(*exchanges: Exchange) -> list[Timed]:
    """A connection on which svcctl is bound and called."""
    return talk(rpc_bind(), *exchanges, client=HMI, server=PLC, port=49700)


# -- remote screens -------------------------------------------------------------------------------

RDP_CONNECT: Exchange = (
    b"\x03\0\0\x29\x24\xe0\0\0\0\0\0Cookie: mstshash=eve\r\n\x01\0\x08\0\x03\0\0\0",
    b"\x03\0\0\x13\x0e\xd0\0\0\x12\x34\0\x02\x1f\x08\0\x02\0\0\0",
)
"""Connection request with the user's cookie, and its confirmation ([MS-RDPBCGR] §2.2.1.1)."""

VNC_VERSIONS: Exchange = (b"RFB 003.008\n", b"RFB 003.008\n", b"\x01\x01")
"""The viewer's version, the server's, which comes first, and its security types (RFC 6143 §7.1)."""
