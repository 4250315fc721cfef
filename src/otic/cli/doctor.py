"""`otic doctor`: whether this machine is fit to be a sensor, and whether a sensor can transmit."""

from __future__ import annotations

from pathlib import Path

import msgspec

from otic.cli import DEVIATIONS, DONE
from otic.errors import OticError
from otic.folder import DataFolder
from otic.sensor.doctor import Finding, examine
from otic.sensor.proof import ASKED, Proof, prove
from otic.settings import load

WORDS = {"ok": "ok     ", "warning": "warning", "problem": "PROBLEM"}


def run(*, data: Path | None, config: Path | None, proof: bool, as_json: bool) -> int:
    """Prints the findings; 1 when there are problems, or when the sensor can transmit."""
    if config is not None and not config.is_file():
        raise OticError(f"{config}: there is no such file")
    if proof:
        return _proof(data, config, as_json)
    findings = examine(data, config)
    count = {level: sum(one.level == level for one in findings) for level in WORDS}
    if as_json:
        document = {
            "problems": count["problem"],
            "warnings": count["warning"],
            "findings": findings,
        }
        print(msgspec.json.format(msgspec.json.encode(document), indent=2).decode())
    else:
        for finding in findings:
            _say(finding)
        print(f"{count['problem']} problems, {count['warning']} warnings, {count['ok']} ok")
    return DEVIATIONS if count["problem"] else DONE


def _say(finding: Finding) -> None:
    print(f"{WORDS[finding.level]}  {finding.subject}: {finding.text}")
    if finding.command:
        print(f"         -> {finding.command}")


def _proof(data: Path | None, config: Path | None, as_json: bool) -> int:
    if data is None:
        raise OticError("--proof needs --data, the folder of the running sensor")
    folder = DataFolder(data)
    proof = prove(folder, load(config or folder.settings_if_there()).interface)
    if as_json:
        print(msgspec.json.format(msgspec.json.encode(proof), indent=2).decode())
    else:
        _say_proof(proof)
    return DONE if proof.cannot_transmit == "yes" else DEVIATIONS


def _say_proof(proof: Proof) -> None:
    print(f"capture is process {proof.pid}, {len(proof.threads)} threads; /proc says now:")
    distinct = {tuple(rights.items()): rights for rights in proof.threads.values()}
    for rights in distinct.values():
        print("  " + " ".join(f"{name}={rights.get(name, 'unknown')}" for name in ASKED))
    for reason in proof.reasons:
        print(f"{reason.verdict:7}  {reason.text}")
        if reason.command:
            print(f"         -> {reason.command}")
    print(f"cannot transmit: {proof.cannot_transmit}")
