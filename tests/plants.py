"""A small plant's facts with counts, as batches; used where a whole run is needed."""

from __future__ import annotations

import random
from typing import Any

import msgspec

from builders import (
    at,
    batch,
    binding,
    claim,
    connection,
    endpoint,
    event,
    operation,
    sighting,
    tallies,
)
from otic.facts import (
    Attempts,
    Batch,
    Change,
    Correction,
    Coverage,
    Epoch,
    Evidence,
    Tallies,
    Violation,
    pack_spans,
    unpack_ids,
    unpack_numbers,
)

PLC, HMI, STATION = "10.0.0.1", "10.0.0.2", "10.0.0.3"
MACS = {PLC: "28:63:36:00:00:01", HMI: "28:63:36:00:00:02", STATION: "28:63:36:00:00:03"}


def plant() -> list[Batch]:
    """Ten batches, one a second: polling, a write, a stop, a scan, failed log-ins, a correction."""
    poll = connection(HMI, PLC, server_child="modbus-unit 1")
    wrong = connection(PLC, STATION, protocol="s7comm", port=102)
    right = connection(STATION, PLC, protocol="s7comm", port=102)
    read = operation(poll, s=0)
    write = operation(
        poll, code=6, name="write-single-register", action="write", object="holding-register 7", s=2
    )
    stop = operation(right, code=0x29, name="plc-stop", action="stop", object="", s=5)
    load = operation(
        right, code=0x1A, name="request-download", action="program-download", object="OB 1", s=6
    )
    turned = operation(wrong, code=4, name="read-var", reversed=True, object="DB 1: 0", s=3)
    refused = event("exception", HMI, PLC, values={"code": "1", "function": "90"}, s=4)
    failed = event("login-failed", STATION, PLC, protocol="ftp", values={"user": "root"}, s=4)
    broken = Violation(
        b"v" * 16, poll.id, False, "modbus-length", "modbus", {}, at(3), pack_spans([(0, 9, 60, 2)])
    )
    machines: list[Any] = []
    for ip, mac in MACS.items():
        machines += [endpoint(mac), endpoint(ip), sighting(mac, ip), binding(mac, ip)]
    unit = endpoint(PLC, child="modbus-unit 1", spoke=True)
    batches = [
        batch(0, *machines, unit, poll, read, s=0),
        batch(1, claim(endpoint(PLC), "firmware", "V4.1", s=1), s=1),
        batch(
            2,
            write,
            Change(
                b"c" * 16,
                poll.id,
                "modbus",
                False,
                "holding-register 7",
                1,
                2,
                2.0,
                2.0,
                1,
                at(2),
                Evidence(pack_spans([(0, 3, 64, 2)]), "unsigned-be"),
            ),
            s=2,
        ),
        batch(3, wrong, turned, broken, s=3),
        batch(4, refused, failed, right, s=4),
        batch(5, Correction(wrong.id, right.id, at(5)), stop, s=5),
        batch(6, load, claim(endpoint(PLC), "firmware", "V4.2", s=6), s=6),
        batch(
            7,
            Attempts(
                endpoint(STATION).id,
                "tcp",
                at(0),
                60,
                60,
                1,
                60,
                60,
                False,
                [(f"10.0.1.{n}", 102) for n in range(1, 17)],
                [f"10.0.1.{n}" for n in range(1, 61)],
                pack_spans([(0, 70, 0, 20)]),
            ),
            s=7,
        ),
        batch(8, Epoch(at(8), at(9000), "gap", pack_spans([(0, 80, 0, 1)])), s=8),
        batch(9, s=9),
    ]
    counted = []
    for number, one in enumerate(batches):
        connections = [(poll.id, 2, 2, 300, at(number + 0.5))]
        operations = [(read.id, 10, 0, at(number + 0.5))]
        occurrences = []
        if number >= 2:
            operations.append((write.id, 1, 0, at(number + 0.6)))
        if number >= 3:
            connections.append((wrong.id, 3, 4, 500, at(number + 0.4)))
            operations.append((turned.id, 1, 1, at(number + 0.4)))
            occurrences.append((broken.id, 1, at(number + 0.3)))
        if number >= 5:
            connections.append((right.id, 5, 5, 700, at(number + 0.7)))
            operations.append((stop.id, 1, 0, at(5.5)))
        if number >= 4:
            occurrences += [(refused.id, 1, at(4.5)), (failed.id, 9, at(number + 0.2))]
        counted.append(_with(one, tallies(connections, operations, occurrences)))
    return counted


def _with(one: Batch, counts: Any) -> Batch:
    return msgspec.structs.replace(one, tallies=counts)


REPEATABLE = ("endpoints", "sightings", "bindings", "connections", "operations", "claims")
REPEATABLE += ("events", "violations", "payloads", "attempts", "corrections", "epochs")


def split(one: Batch, chance: random.Random) -> list[Batch]:
    """The same batch as two: facts and counts fall into either half."""
    halves: list[dict[str, list[Any]]] = [{}, {}]
    for field in msgspec.structs.fields(Batch):
        facts = getattr(one, field.name)
        if isinstance(facts, list):
            for fact in facts:
                halves[chance.randrange(2)].setdefault(field.name, []).append(fact)
    counts: list[list[list[tuple[Any, ...]]]] = [[[], [], []], [[], [], []]]
    for kind, rows in enumerate(_rows(one.tallies)):
        for row in rows:
            counts[chance.randrange(2)][kind].append(row)
    return [
        msgspec.structs.replace(
            Batch(one.schema, 0, one.start_ns, one.end_ns),
            **halves[at],
            tallies=tallies(*counts[at]),
            coverage=one.coverage if at == 0 else Coverage(),
        )
        for at in (0, 1)
    ]


def _rows(counts: Tallies) -> list[list[tuple[Any, ...]]]:
    columns = [
        (
            "connection_ids",
            "forward_packets",
            "reverse_packets",
            "connection_bytes",
            "connection_last",
        ),
        ("operation_ids", "operation_counts", "operation_unpaired", "operation_last"),
        ("occurrence_ids", "occurrence_counts", "occurrence_last"),
    ]
    return [
        list(
            zip(
                unpack_ids(getattr(counts, names[0])),
                *(unpack_numbers(getattr(counts, name), signed=True) for name in names[1:]),
                strict=True,
            )
        )
        for names in columns
    ]


def shaken(seed: int) -> list[Batch]:
    """The plant's batches cut anew, with facts in any order and some told again."""
    chance = random.Random(seed)
    sent: dict[str, list[Any]] = {name: [] for name in REPEATABLE}
    batches: list[Batch] = []
    for one in plant():
        for half in split(one, chance) if chance.random() < 0.6 else [one]:
            again = {}
            for name in REPEATABLE:
                fresh = list(getattr(half, name))
                sent[name] += fresh
                known = sent[name]
                again[name] = fresh + chance.sample(known, min(len(known), chance.randrange(3)))
                chance.shuffle(again[name])
            batches.append(msgspec.structs.replace(half, **again, number=len(batches)))
    return batches
