"""Protocols that tshark does not know: what their captures hold, counted by hand from the bytes."""

from __future__ import annotations

from collections import Counter

from support.program import SHARED, document, needs_shared


def operations(name: str, protocol: str) -> Counter[tuple[str, str]]:
    """How many requests a capture holds, by name and outcome."""
    counts: Counter[tuple[str, str]] = Counter()
    for row in document(SHARED / "captures" / name)["operations"]:
        if row["protocol"] == protocol:
            counts[row["name"], row["outcome"]] += row["count"]
    return counts


def claims(name: str) -> set[tuple[str, str, str]]:
    """Endpoint, attribute and value of each claim."""
    return {
        (claim["endpoint"], claim["attribute"], claim["value"])
        for device in document(SHARED / "captures" / name)["devices"]
        for claim in device["claims"]
    }


@needs_shared
def test_tristation() -> None:
    """Byte 6 of messages of type 5 whose byte 4 is 0: 338 times 19, 72 times 66, 26 times 65, three
    times 1, 11 and 55, once 20; of the responses 16 have code 100, a rejection.
    """
    name = "ICS-Pcaps--malware_exec.pcap"

    assert operations(name, "tristation-command") == {
        ("get-cp-status", "ok"): 338,
        ("upload-function", "ok"): 63,
        ("upload-function", "error"): 9,
        ("upload-program", "ok"): 20,
        ("upload-program", "error"): 6,
        ("start-download-change", "ok"): 3,
        ("allocate-program", "ok"): 3,
        ("end-download-change", "ok"): 3,
        ("run-program", "error"): 1,
    }
    assert operations(name, "tristation") == {("connect", "ok"): 1, ("disconnect", "ok"): 1}
    assert ("192.168.1.2", "project_name", "NOZOMI") in claims(name)


@needs_shared
def test_niagara_fox() -> None:
    """Frames 4 and 6 are hellos, frame 9 is a challenge."""
    name = "ICS-Security-Tools--fox_info.pcap"

    assert operations(name, "niagara-fox") == {("hello", "ok"): 1, ("challenge", "none"): 1}
    assert claims(name) >= {
        ("106.68.88.119", "fox_station", "Legion_HQ_V4"),
        ("106.68.88.119", "fox_host_id", "Qnx-NPM6-0000-1490-C30C"),
        ("106.68.88.119", "firmware", "3.5.41.1"),
        ("106.68.88.119", "os", "QNX"),
        ("10.1.3.4", "name", "xpvm-0omdc01xmy"),
        ("10.1.3.4", "application_version", "3.7.44"),
    }
