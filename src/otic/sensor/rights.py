"""Gives up the rights that only capture needs: analysis and console have no business on the wire.

Source: capabilities(7), capset(2), prctl(2), `linux/capability.h`.
"""

from __future__ import annotations

import ctypes
import os

from otic.errors import OticError

CAP_NET_ADMIN = 12
CAP_NET_RAW = 13
"""To configure interfaces, and to open packet sockets."""

VERSION_3 = 0x2008_0522
"""`_LINUX_CAPABILITY_VERSION_3`: two words of 32 bits each."""

PR_CAP_AMBIENT = 47
PR_CAP_AMBIENT_CLEAR_ALL = 4
"""Rights that a program started from here would inherit."""


class Header(ctypes.Structure):
    """`struct __user_cap_header_struct`; process 0 is the caller."""

    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


class Sets(ctypes.Structure):
    """`struct __user_cap_data_struct`: 32 capabilities of each set."""

    _fields_ = (
        ("effective", ctypes.c_uint32),
        ("permitted", ctypes.c_uint32),
        ("inheritable", ctypes.c_uint32),
    )


def leave_the_wire() -> None:
    """Gives up, for this thread and those it makes, to open packet sockets or change interfaces.

    Raises:
        OticError: the kernel does not let it go.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    header, sets = Header(version=VERSION_3, pid=0), (Sets * 2)()
    if libc.capget(ctypes.byref(header), sets):
        raise _refused("capget")
    gone = ~(1 << CAP_NET_ADMIN | 1 << CAP_NET_RAW) & 0xFFFF_FFFF
    for name in ("effective", "permitted", "inheritable"):
        setattr(sets[0], name, getattr(sets[0], name) & gone)
    if libc.prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0):
        raise _refused("prctl")
    if libc.capset(ctypes.byref(header), sets):
        raise _refused("capset")


def _refused(call: str) -> OticError:
    return OticError(f"rights cannot be given up: {call}: {os.strerror(ctypes.get_errno())}")
