"""Decoding cited bytes gives the value again."""

import re
from pathlib import Path

import pytest

from otic.errors import EvidenceError
from otic.evidence import DECODERS, Place, decode, find, parse, part
from otic.facts import unpack_spans

OUT = Path(__file__).parents[2] / "core" / "protocols" / "src" / "out.rs"


@pytest.mark.parametrize(
    ("name", "data", "value"),
    [
        ("ascii", b"PLC-7", "PLC-7"),
        ("utf-8", "Prüfstand".encode(), "Prüfstand"),
        ("utf-16le", "HMI".encode("utf-16-le"), "HMI"),
        ("utf-16be", "HMI".encode("utf-16-be"), "HMI"),
        ("unsigned-be", b"\x01\x00", "256"),
        ("unsigned-le", b"\x01\x00", "1"),
        ("hex32be", b"\x00\x01\x02\x03", "0x00010203"),
        ("hex32le", b"\x00\x01\x02\x03", "0x03020100"),
        ("hex", b"\xde\xad", "dead"),
        ("dotted", b"\x14\x0b", "20.11"),
        ("bcd", b"\x20\x24", "2024"),
        ("mac", bytes(6), "00:00:00:00:00:00"),
        ("ip", bytes([10, 0, 0, 1]), "10.0.0.1"),
        ("ip", bytes(15) + b"\x01", "::1"),
        ("dns-name", b"\x03plc\x05plant\x00", "plc.plant"),
        ("nbns-name", b"\x20" + b"EIENEJ" + b"CA" * 13 + b"\x00", "HMI"),
        ("oid", bytes([0x2B, 6, 1, 4, 1, 0x82, 0x37]), "1.3.6.1.4.1.311"),
    ],
)
def test_each_decoding_gives_the_value(name: str, data: bytes, value: str) -> None:
    """The named decoding of the joined bytes is the value."""
    assert value == decode(name, data)


def test_every_decoding_of_the_core_is_there() -> None:
    """No dissector can cite evidence that cannot be read back."""
    names = re.findall(r'Self::\w+ => "([a-z0-9-]+)",', OUT.read_text().partition("enum Action")[0])

    assert set(names) <= DECODERS.keys()


def test_a_part_of_spans_keeps_frames_and_offsets() -> None:
    """Citing inside joined spans names the right frame bytes."""
    spans = [(0, 1, 10, 4), (0, 2, 20, 4)]

    assert [(0, 1, 13, 1), (0, 2, 20, 2)] == part(spans, 3, 3)


def test_a_value_is_cited_where_it_stands() -> None:
    """Text found in a payload is cited exactly, other values cite all of it."""
    spans = [(0, 1, 100, 8)]

    assert [(0, 1, 102, 3)] == unpack_spans(find(spans, b"xxPLCxxx", "PLC").spans)
    assert "derived" == find(spans, b"xxPLCxxx", "DCS").decode


def test_places_are_parsed_and_the_file_may_be_left_out() -> None:
    """FILE:FRAME:OFFSET:LENGTH, later parts of the same file may leave it out."""
    assert [Place("a.pcap", 7, 54, 4), Place("a.pcap", 8, 0, 2)] == parse("a.pcap:7:54:4,8:0:2")

    with pytest.raises(EvidenceError, match="FILE:FRAME"):
        parse("a.pcap:7")
