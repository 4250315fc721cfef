"""A protocol is not seen where it is not spoken."""

from __future__ import annotations

import json
import os
import tomllib
from collections import Counter, defaultdict

import pytest

from otic import _core
from support.frames import write_pcap
from support.noise import Flow, flows, frames
from support.program import ROOT, SHARED, document, needs_shared, sample

NOISE_VARIANTS = range(9)
"""Of each kind on each port: more than 20,000 flows in all."""

ODD_PORTS = [1031, 3210, 4999, 7777, 9601, 12345, 20001, 25000, 31337, 44819, 47900, 48000]
"""Where no protocol is at home."""

LARGEST = 60_000_000
"""Bytes of a capture that is replayed here; the larger ones are measured with the score."""

Pair = frozenset[str]

BELIEVED = {
    "telnet": "on port 23 whatever can be read is a terminal's, a single letter too",
    "syslog": "RFC 3164 §4.3.3: on port 514 text without a priority is a message, too",
    "ge-srtp": "a session starts with 56 zeros, and zeros are one of the kinds",
}
"""What takes nearly anything of a kind on its own port, and why."""

CHANCE = 0.02
"""Share of the flows on its ports that another protocol may take for its own by chance."""

CHANCE_IN_ALL = 0.001
"""The same of all flows."""


def usual_ports() -> dict[str, dict[str, set[int]]]:
    """By transport and protocol, the ports where it is at home."""
    ports: dict[str, dict[str, set[int]]] = {"tcp": {}, "udp": {}}
    for name, carriers in _core.carriers():
        for transport, *numbers in map(str.split, carriers):
            if transport in ("TCP", "UDP"):
                ports[transport.lower()][name] = set(map(int, numbers))
    for file in (ROOT / "src" / "otic" / "protocols").glob("*.toml"):
        definition = tomllib.loads(file.read_text())
        for transport in ports:
            numbers = definition["carriers"].get(transport, [])
            ports[transport][definition["name"]] = set(numbers)
    return ports


@pytest.fixture(scope="module")
def noise(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[Flow], list[tuple[str, Flow]]]:
    """All flows of noise, and each that was taken for a protocol."""
    ports = {
        transport: sorted(set().union(*homes.values()) | set(ODD_PORTS))
        for transport, homes in usual_ports().items()
    }
    made = flows(ports, NOISE_VARIANTS)
    capture = write_pcap(tmp_path_factory.mktemp("noise") / "noise.pcap", frames(made))
    # A connection row has one port, the server's: of a flow whose sides were mixed up the other.
    by_end = {(end, flow.transport): flow for flow in made for end in ends(flow)}
    taken = []
    for row in document(capture)["connections"]:
        if row["protocol"] != "unknown":
            end = (row["client"], row["server"], row["port"])
            taken.append((row["protocol"], by_end[end, row["transport"]]))
    return made, taken


def ends(flow: Flow) -> list[tuple[str, str, int]]:
    """Client, server and the server's port, either way round."""
    there = flow.client.ip, flow.server.ip, flow.port
    back = flow.server.ip, flow.client.ip, flow.source
    return [there, back]


Noise = tuple[list[Flow], list[tuple[str, Flow]]]


def test_noise_is_no_protocol_away_from_its_port(noise: Noise) -> None:
    """Where only structure could tell, none is told."""
    homes = usual_ports()
    away = [
        (protocol, flow)
        for protocol, flow in noise[1]
        if flow.port not in homes[flow.transport][protocol]
    ]
    assert away == []


def test_noise_is_rarely_a_protocol_on_its_port(noise: Noise) -> None:
    """Few bits are fixed in some protocols; what they take by chance is counted."""
    made, taken = noise
    homes = usual_ports()
    many = Counter((flow.transport, flow.port) for flow in made)
    hits = Counter(protocol for protocol, _ in set(taken))
    for protocol, count in hits.items():
        offered = sum(
            number
            for (transport, port), number in many.items()
            if port in homes[transport].get(protocol, ())
        )
        limit = 1.0 if protocol in BELIEVED else CHANCE
        assert count <= max(1, limit * offered), (protocol, count, offered)
    by_chance = sum(count for protocol, count in hits.items() if protocol not in BELIEVED)
    assert len(made) > 20_000
    assert by_chance <= CHANCE_IN_ALL * len(made), hits


CONTRADICTED = {
    ("nDPI--netbios_wildcard_dns_query.pcap", "dns", "nbns"): "a name service's query to port 53",
    ("zeek--http-single-conn-22.pcap", "ssh", "http"): "HTTP on port 22",
    ("zeek--mapi.pcap", "ansi-c12.22", "dcerpc"): "DCE/RPC on a port that C12.22 has",
    ("zeek--mysql-on-port-5432.pcap", "postgresql", "mysql"): "MySQL on port 5432",
    ("zeek--pop3-starttls.pcap", "tls", "pop3"): "POP3 that goes on in TLS, which is not followed",
    ("zeek--ssh-on-port-80.pcap", "http", "ssh"): "SSH on port 80",
}
"""Where tshark and Otic name one pair's conversations differently, and what the bytes are."""


@needs_shared
def test_captures_are_no_other_protocol() -> None:
    """Where tshark knows what two addresses speak and Otic does not, Otic names nothing else.

    A tenth of the captures, all of them with OTIC_FULL.
    """
    wrong = set()
    looked_at = 0
    for path in sample(tenth=not os.environ.get("OTIC_FULL")):
        truth = SHARED / "captures" / "truth" / f"{path.name}.json"
        if not truth.exists() or path.stat().st_size > LARGEST:
            continue
        looked_at += 1
        spoken: defaultdict[Pair, set[str]] = defaultdict(set)
        for protocol, entry in json.loads(truth.read_text())["protocols"].items():
            for pair in entry["pairs"]:
                spoken[frozenset(address.lower() for address in pair)].add(protocol)
        named: defaultdict[Pair, set[str]] = defaultdict(set)
        for row in document(path)["connections"]:
            named[frozenset((row["client"].lower(), row["server"].lower()))].add(row["protocol"])
        for pair, protocols in spoken.items():
            others = named[pair] - protocols - {"unknown"}
            missed = protocols - named[pair]
            wrong |= {(path.name, miss, other) for miss in missed for other in others}
    assert looked_at > 50
    assert wrong <= set(CONTRADICTED)
