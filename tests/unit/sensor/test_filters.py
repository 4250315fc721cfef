"""Filter texts become programs that choose the frames they say, and bad texts one clear line."""

import ctypes
import struct

import pytest

from otic.sensor import filters
from otic.sensor.filters import FilterError, FilterInstruction, compile_filter
from support import frames

PLC, HMI = "02:00:00:00:00:01", "02:00:00:00:00:02"


def segment(source: int, destination: int, vlans: tuple[int, ...] = ()) -> bytes:
    """A TCP segment, under VLAN tags."""
    packet = frames.ipv4(
        "10.0.0.1",
        "10.0.0.2",
        6,
        struct.pack("!HHIIHHHH", source, destination, 1, 1, 0x5018, 0, 0, 0),
    )
    return frames.ethernet(HMI, PLC, 0x0800, packet, vlans)


def runs(program: list[FilterInstruction], frame: bytes) -> bool:
    """Whether libpcap's own interpreter accepts a frame."""
    instructions = (filters.Instruction * len(program))(
        *((step.code, step.jt, step.jf, step.k) for step in program)
    )
    length = len(frame)
    return bool(filters.libpcap().bpf_filter(instructions, frame, length, length))


@pytest.mark.parametrize(
    ("text", "accepted", "refused"),
    [
        ("tcp port 502", segment(40_000, 502), segment(40_000, 102)),
        ("host 10.0.0.2 and not port 22", segment(40_000, 502), segment(40_000, 22)),
        ("arp", frames.arp(HMI, "10.0.0.2", "10.0.0.1"), segment(40_000, 502)),
        ("vlan 7", segment(40_000, 502, vlans=(7,)), segment(40_000, 502, vlans=(8,))),
        (
            "vlan 7 and tcp port 502",
            segment(40_000, 502, vlans=(7,)),
            segment(40_000, 502),
        ),
        ("not vlan", segment(40_000, 502), segment(40_000, 502, vlans=(7,))),
        ("ether proto 0x88b8", frames.ethernet(HMI, PLC, 0x88B8, b"goose"), segment(1, 2)),
    ],
)
def test_a_text_chooses_the_frames_it_says(text: str, accepted: bytes, refused: bytes) -> None:
    """The program accepts one frame and refuses the other."""
    program = compile_filter(text)

    assert (True, False) == (runs(program, accepted), runs(program, refused))


def test_an_empty_text_accepts_everything() -> None:
    """One instruction that wants the whole frame."""
    assert [FilterInstruction(0x06, 0, 0, 96)] == compile_filter("", snap_length=96)


def test_raw_ip_has_no_link_layer() -> None:
    """The same text counts from the IP header where there is no Ethernet one."""
    packet = segment(40_000, 502)[14:]

    assert runs(compile_filter("tcp port 502", link_type=frames.RAW_IP), packet)
    assert not runs(compile_filter("tcp port 502"), packet)


def test_tags_are_asked_for_by_their_ethertypes() -> None:
    """The core tells by these comparisons which programs need the tags in place."""

    def compared(text: str) -> set[int]:
        return {step.k for step in compile_filter(text) if step.code == 0x15}

    for text in ("vlan", "not vlan 7", "tcp or (vlan and tcp)", "ether proto 0x8100"):
        assert 0x8100 in compared(text), text
    for text in ("tcp port 502", "ip6", "arp or icmp", "ether host 02:00:00:00:00:01"):
        assert not {0x8100, 0x88A8, 0x9100} & compared(text), text


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("tcp prot 502", "syntax error"),
        ("port 99999", "99999"),
        ("tcp and udp", "expression rejects all packets"),
        ("ip\0x", "zero byte"),
        ("vlan 5000", "5000"),
    ],
)
def test_a_bad_text_is_one_clear_line(text: str, words: str) -> None:
    """The line has libpcap's reason and no line break."""
    with pytest.raises(FilterError, match=words) as caught:
        compile_filter(text)

    assert "\n" not in str(caught.value)


def test_a_text_that_takes_libpcap_too_long_is_refused() -> None:
    """At once, with what to write instead."""
    text = " or ".join(f"port {port}" for port in range(1, 401))

    with pytest.raises(FilterError, match=r"4688 letters are too long .*portrange"):
        compile_filter(text)
    assert compile_filter("portrange 1-400")


def test_a_program_that_is_too_long_for_the_kernel_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The kernel would take no more than 4096 instructions."""
    monkeypatch.setattr(filters, "LONGEST", 4)

    with pytest.raises(FilterError, match="instructions, the kernel takes 4"):
        compile_filter("tcp port 502")


def test_a_missing_library_is_named_with_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    """What to install stands in the line."""

    def absent(name: str) -> ctypes.CDLL:
        raise OSError(f"{name}: cannot open shared object file")

    filters.libpcap.cache_clear()
    monkeypatch.setattr(ctypes, "CDLL", absent)
    with pytest.raises(FilterError, match=r"libpcap\.so\.0\.8 \(Debian's package libpcap0\.8\)"):
        compile_filter("tcp")
