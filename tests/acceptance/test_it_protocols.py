"""Protocols outside of the score's table, against captures with counts taken from their bytes."""

from __future__ import annotations

from collections import Counter
from typing import Any

from support.program import SHARED, document, needs_shared

pytestmark = needs_shared


def said(capture: str, protocol: str) -> tuple[Counter[tuple[Any, ...]], dict[str, set[str]]]:
    """How often each operation (name, object, outcome) was seen, and what was claimed."""
    found = document(SHARED / "captures" / capture)
    operations: Counter[tuple[Any, ...]] = Counter()
    for row in found["operations"]:
        if row["protocol"] == protocol:
            operations[row["name"], row["object"], row["outcome"]] += row["count"]
    claims: dict[str, set[str]] = {}
    for device in found["devices"]:
        for claim in device["claims"]:
            if claim["protocol"] == protocol:
                claims.setdefault(claim["attribute"], set()).add(claim["value"])
    return operations, claims


def test_ws_discovery() -> None:
    """28 datagrams to port 3702, each a Resolve; in another capture five that probe for devices."""
    operations, _ = said("ICS-Pcaps--104deneme.pcap", "ws-discovery")
    assert operations == {("resolve", None, "none"): 28}
    operations, _ = said("ICS-Pcaps--CIPvalue.pcap", "ws-discovery")
    assert operations == {("probe", "wsdp:Device", "none"): 5}


def test_dicom() -> None:
    """One association, one C-STORE of a secondary capture image, its release."""
    operations, claims = said("ICS-Pcaps--dicom_association.pcap", "dicom")
    assert operations == {
        ("associate", "DCM4CHEE", "ok"): 1,
        ("c-store", "1.2.840.10008.5.1.4.1.1.7", "ok"): 1,
        ("release", None, "ok"): 1,
    }
    assert claims["dicom_ae_title"] == {"DCM4CHEE", "OSIRIX"}


def test_ipp() -> None:
    """Frames 7, 245, 257 and 270 ask, frames 15, 249, 267 and 274 answer."""
    operations, _ = said("nDPI--ipp.pcap", "ipp")
    assert operations == {
        ("get-printer-attributes", "ipp://10.10.10.251:631/ipp/", "ok"): 2,
        ("print-job", "ipp://10.10.10.251:631/ipp/", "ok"): 1,
        ("get-job-attributes", "job 16", "ok"): 1,
    }


def test_onc_rpc() -> None:
    """13 calls to port mappers, each asks for program 100232; five calls of that program."""
    operations, claims = said("zeek--rpc-portmap-sadmind.pcap", "onc-rpc")
    asked = {key: count for key, count in operations.items() if key[0] == "getport"}
    assert sum(asked.values()) == 13
    assert sum(operations.values()) == 18
    assert {key[1] for key in asked} == {"sadmind"}
    assert claims["name"] == {"localhost"}


def test_http_2() -> None:
    """A page and the style sheet pushed with it; a POST in a session without its handshake."""
    operations, claims = said("arkime--http2-nghttp2.pcap", "http2")
    assert operations == {("get", "/", "ok"): 1, ("get", "/stylesheets/screen.css", "ok"): 1}
    assert claims == {"user_agent": {"nghttp2/1.41.0"}, "server_banner": {"nghttpx"}}
    operations, _ = said("nDPI--http2.pcapng", "http2")
    assert operations == {("post", "/namf-comm/v1/subscriptions", "ok"): 1}


def test_quic() -> None:
    """113 flows of draft 29 from clients alone, whose hellos come in shuffled pieces and ask for 49
    names, dns.google 7 times; one flow of version 2 that is answered.
    """
    name = "nDPI--quic_frags_ch_out_of_order_same_packet_craziness.pcapng"
    operations, _ = said(name, "quic")
    assert sum(operations.values()) == 113
    assert len({key[1] for key in operations}) == 49
    assert operations["client-hello", "dns.google", "unseen"] == 7
    operations, claims = said("zeek--quicv2-http3-443.pcap", "quic")
    assert operations == {("client-hello", None, "ok"): 1}
    assert claims["tls_client_ja4"] == {"q13i0310h3_55b375c5d22e_df5b9e597968"}


def test_dtls() -> None:
    """Hellos in frames 1 and 4, each of two fragments; version 1.3 is told by an extension."""
    operations, claims = said("zeek--dtls1_2.pcap", "dtls")
    assert operations == {("client-hello", None, "ok"): 2}
    assert claims["dtls_version"] == {"1.2"}
    operations, claims = said("zeek--dtls13-wolfssl.pcap", "dtls")
    assert operations == {("client-hello", None, "ok"): 2}
    assert claims["dtls_version"] == {"1.3"}


def test_slp() -> None:
    """Frames 77, 81, 92 and 95 ask all service agents; the ICMP errors after them only quote it."""
    operations, _ = said("ICS-Pcaps--Misc_NetBIOS_Traffic.pcap", "slp")
    assert operations == {("service-request", "service:service-agent", "unseen"): 4}
