"""Capture filters: texts in libpcap's language, compiled into programs of classic BPF.

libpcap compiles (a package of the system, loaded when the first text comes); the kernel or the
core runs the program. The same text means the same live and over files: a text that does not ask
for VLAN tags looks at frames without their outer tag, so `tcp port 502` finds tagged frames too;
one that asks (`vlan 7`, `ether proto 0x8100`) sees the tags in place. libpcap's words keep their
own meaning behind that: after `vlan`, the rest of the text counts from behind the tag.
Bare offsets (`ether[16:2]`) count in the frame without its outer tag.
"""

from __future__ import annotations

import ctypes
from functools import cache

import msgspec

from otic.errors import SettingsError

LIBRARY = "libpcap.so.0.8"
PACKAGE = "libpcap0.8"

SNAP_LENGTH = 262_144
"""Bytes of a frame that a program asks for: more than any frame has."""

ETHERNET = 1
"""The link type (LINKTYPE_ETHERNET) of most interfaces."""

LONGEST = 4096
"""Most instructions of a program, the kernel's limit."""

LONGEST_TEXT = 2000
"""Most letters of a filter: libpcap's time grows with the cube of what it is told (400 ports took
half a minute), its memory with the square."""

DLT_OF_LINKTYPE = {101: 12}
"""libpcap's own number (DLT_) where it is not the one of capture files (LINKTYPE_): raw IP."""

NETMASK_UNKNOWN = 0xFFFF_FFFF


class FilterError(SettingsError):
    """A filter text that libpcap does not understand, or no libpcap."""


class FilterInstruction(msgspec.Struct, frozen=True, array_like=True):
    """One instruction of a program, as the kernel's `sock_filter`."""

    code: int
    jt: int
    jf: int
    k: int


class Instruction(ctypes.Structure):
    """libpcap's `struct bpf_insn`."""

    _fields_ = (
        ("code", ctypes.c_ushort),
        ("jt", ctypes.c_ubyte),
        ("jf", ctypes.c_ubyte),
        ("k", ctypes.c_uint32),
    )


class Program(ctypes.Structure):
    """libpcap's `struct bpf_program`."""

    _fields_ = (("length", ctypes.c_uint), ("instructions", ctypes.POINTER(Instruction)))


@cache
def libpcap() -> ctypes.CDLL:
    """The library with the functions used here declared.

    Raises:
        FilterError: it is not installed.
    """
    try:
        library = ctypes.CDLL(LIBRARY)
    except OSError as error:
        raise FilterError(
            f"capture filters need {LIBRARY} (Debian's package {PACKAGE}): {error}"
        ) from error
    library.pcap_open_dead.argtypes = [ctypes.c_int, ctypes.c_int]
    library.pcap_open_dead.restype = ctypes.c_void_p
    library.pcap_compile.argtypes = [
        ctypes.c_void_p,
        ctypes.POINTER(Program),
        ctypes.c_char_p,
        ctypes.c_int,
        ctypes.c_uint32,
    ]
    library.pcap_compile.restype = ctypes.c_int
    library.pcap_geterr.argtypes = [ctypes.c_void_p]
    library.pcap_geterr.restype = ctypes.c_char_p
    library.pcap_freecode.argtypes = [ctypes.POINTER(Program)]
    library.pcap_freecode.restype = None
    library.pcap_close.argtypes = [ctypes.c_void_p]
    library.pcap_close.restype = None
    return library


def compile_filter(
    text: str, *, link_type: int = ETHERNET, snap_length: int = SNAP_LENGTH
) -> list[FilterInstruction]:
    """The program of a filter text for frames of this link type (a LINKTYPE_ number).

    An empty text accepts every frame. A host's name in the text is looked up here, once.

    Raises:
        FilterError: the text means nothing to libpcap, or libpcap is missing.
    """
    if "\0" in text:
        raise FilterError("filter: it holds a zero byte")
    if len(text) > LONGEST_TEXT:
        raise FilterError(
            f"filter: {len(text)} letters are too long for libpcap, {LONGEST_TEXT} are allowed;"
            " name networks (net 10.0.0.0/24) and ranges of ports (portrange 1-100)"
        )
    library = libpcap()
    handle = library.pcap_open_dead(DLT_OF_LINKTYPE.get(link_type, link_type), snap_length)
    if not handle:
        raise FilterError("filter: libpcap gives no handle, memory is short")
    try:
        program = Program()
        wanted = text.encode(errors="surrogateescape")
        if library.pcap_compile(handle, ctypes.byref(program), wanted, 1, NETMASK_UNKNOWN):
            why = (library.pcap_geterr(handle) or b"").decode(errors="replace")
            raise FilterError(f"filter {text!r}: {' '.join(why.split())}")
        try:
            if program.length > LONGEST:
                raise FilterError(
                    f"filter {text!r}: it needs {program.length} instructions, the kernel takes"
                    f" {LONGEST}"
                )
            return [
                FilterInstruction(step.code, step.jt, step.jf, step.k)
                for step in program.instructions[: program.length]
            ]
        finally:
            library.pcap_freecode(ctypes.byref(program))
    finally:
        library.pcap_close(handle)
