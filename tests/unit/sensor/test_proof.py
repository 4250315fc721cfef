"""A sensor is believed to be unable to transmit only when nothing speaks against it."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec
import pytest

from otic.sensor import proof
from otic.sensor.nic import NicFacts
from otic.sensor.proof import Reason

GIVEN_UP = dict.fromkeys(("CapEff", "CapPrm", "CapInh", "CapAmb"), "0" * 16) | {
    "NoNewPrivs": "1",
    "Seccomp": "2",
    "Seccomp_filters": "2",
}
PORT = NicFacts(interface="eth1", exists=True, has_address=False, arp=False)


def verdicts(reasons: list[Reason]) -> set[str]:
    return {reason.verdict for reason in reasons}


def test_threads_without_rights_prove_it() -> None:
    """All of them, whatever the bounding set is."""
    threads = {"1": GIVEN_UP, "2": GIVEN_UP | {"CapBnd": "000001ffffffffff"}}

    assert {"yes"} == verdicts(proof.thread_reasons(threads))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *[(name, "0000000000002000") for name in ("CapEff", "CapPrm", "CapInh", "CapAmb")],
        ("NoNewPrivs", "0"),
        ("Seccomp", "0"),
        ("Seccomp", "1"),
    ],
)
def test_one_thread_with_one_right_is_enough(name: str, value: str) -> None:
    """Rights are a thread's: the others do not outweigh it."""
    reasons = proof.thread_reasons({"1": GIVEN_UP, "2": GIVEN_UP | {name: value}})

    assert {"no"} == verdicts(reasons)
    assert "thread 2" in reasons[0].text


@pytest.mark.parametrize("name", ["CapEff", "NoNewPrivs", "Seccomp"])
def test_what_the_kernel_does_not_say_is_unknown(name: str) -> None:
    """Nor when it says nothing at all."""
    rights = {key: value for key, value in GIVEN_UP.items() if key != name}

    assert {"unknown"} == verdicts(proof.thread_reasons({"1": rights}))
    assert {"unknown"} == verdicts(proof.thread_reasons({}))


def test_a_port_is_judged_by_its_counter_and_by_what_the_kernel_may_answer() -> None:
    """Never sent, sent nothing meanwhile, sent something; each way for the kernel to speak."""
    assert {"yes"} == verdicts(proof.port_reasons(PORT, 0, 0))
    assert {"yes"} == verdicts(proof.port_reasons(PORT, 7, 7))
    assert "no" in verdicts(proof.port_reasons(PORT, 7, 8))
    assert {"unknown"} == verdicts(proof.port_reasons(PORT, None, None))
    for fact in ("has_address", "has_link_local", "arp"):
        speaks = msgspec.structs.replace(PORT, **{fact: True})
        assert "no" in verdicts(proof.port_reasons(speaks, 0, 0)), fact
    for fact in ("has_address", "arp"):
        silent = msgspec.structs.replace(PORT, **{fact: None})
        assert "unknown" in verdicts(proof.port_reasons(silent, 0, 0)), fact


def test_an_attempt_that_was_allowed_speaks_against_it() -> None:
    """And silence is no proof."""
    refused = {"act": "open a raw socket", "refused": True, "outcome": "EPERM"}
    allowed = refused | {"refused": False}

    assert "yes" == proof.said_reason({"attempts": [refused]}).verdict
    assert "no" == proof.said_reason({"attempts": [refused, allowed]}).verdict
    for said in (None, {}, {"attempts": []}):
        assert "unknown" == proof.said_reason(said).verdict


def test_the_worst_reason_is_the_verdict() -> None:
    """No before unknown before yes; nothing is unknown."""

    def of(*words: str) -> str:
        return proof.verdict_of(
            [msgspec.convert({"verdict": w, "text": ""}, Reason) for w in words]
        )

    assert ["no", "unknown", "yes", "unknown"] == [
        of("yes", "no", "unknown"),
        of("yes", "unknown"),
        of("yes"),
        of(),
    ]


def test_this_process_is_seen_as_the_kernel_shows_it() -> None:
    """Its threads with their sets, its interfaces with their counters."""
    threads = proof.threads_of(os.getpid())
    own = Path("/proc/self/status").read_text()

    assert str(os.getpid()) in threads
    for name in ("CapEff", "Seccomp"):
        assert f"{name}:\t{threads[str(os.getpid())][name]}\n" in own
    assert "lo" in proof.transmitted(os.getpid())
