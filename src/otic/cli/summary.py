"""The summary of a replay, in the words of the plant."""

from __future__ import annotations

from collections import Counter
from typing import Any

from rich.console import Console
from rich.table import Table

from otic.detect.messages import render
from otic.inventory.protocols import ASKED_BY_CONTROLLER, is_industrial, protocol

SHOWN = 40
"""Rows shown of each table; the rest is counted."""

FILE_WIDTH = 160
"""Columns when the summary goes to a file or pipe."""

CHANGING = {
    "write",
    "control",
    "start",
    "stop",
    "reset",
    "mode",
    "program-upload",
    "program-download",
    "firmware",
    "configuration",
}

SEVERITIES = ("critical", "major", "minor", "warning")
COLOURS = {"critical": "bold red", "major": "red", "minor": "yellow", "warning": "cyan"}

Row = dict[str, Any]


def summarise(document: Row, console: Console | None = None) -> None:
    """Prints what was found: captures, devices, who changed what, alerts, what was not seen."""
    out = console or Console(highlight=False)
    if not out.is_terminal:
        out.width = FILE_WIDTH
    _captures(out, document)
    _devices(out, document)
    _talk(out, document)
    _writes(out, document)
    _alerts(out, document)
    _coverage(out, document)


def _captures(out: Console, document: Row) -> None:
    for capture in document["captures"]:
        when = f"{capture['first_seen']} to {capture['last_seen']}" if capture["frames"] else ""
        cut = f"  [red]cut off: {capture['cut_off']}[/]" if capture["cut_off"] else ""
        out.print(f"[bold]{capture['file']}[/]  {capture['frames']:,} frames  {when}{cut}")


def _devices(out: Console, document: Row) -> None:
    devices = document["devices"]
    if not devices:
        out.print("No device spoke.")
        return
    table = Table(title=f"Devices: {len(devices)}", title_justify="left", box=None, pad_edge=False)
    for column in (
        "name",
        "type",
        "level",
        "vendor",
        "model",
        "firmware",
        "addresses",
        "protocols",
    ):
        table.add_column(column, overflow="fold")
    by_id = {device["id"]: device for device in devices}
    order = sorted(devices, key=lambda device: _device_order(device, by_id))
    for device in order[:SHOWN]:
        indent = "  " if device["parent"] else ""
        table.add_row(
            indent + _safe(device["name"]),
            device["type"],
            "" if device["purdue_level"] is None else str(device["purdue_level"]),
            _safe(device["vendor"]),
            _safe(device["model"]),
            _safe(device["firmware"]),
            " ".join(device["ips"] or device["macs"]),
            " ".join(device["protocols"][:6]) + (" …" if len(device["protocols"]) > 6 else ""),
        )
    out.print(table)
    _rest(out, len(devices))


def _device_order(device: Row, by_id: dict[str, Row]) -> tuple[Any, ...]:
    top = device
    path: list[str] = []
    while top["parent"] in by_id:
        path.insert(0, top["child_address"] or "")
        top = by_id[top["parent"]]
    level = 9 if top["purdue_level"] is None else top["purdue_level"]
    return level, top["type"], top["name"], top["id"], path


def _talk(out: Console, document: Row) -> None:
    pairs: Counter[tuple[str, str, str]] = Counter()
    for row in document["connections"]:
        if is_industrial(row["protocol"]):
            pairs[row["protocol"], row["client"], row["server"]] += row["packets"]
    if not pairs:
        return
    out.print(f"\n[bold]Industrial conversations: {len(pairs)}[/]")
    for (name, client, server), packets in sorted(pairs.items())[:SHOWN]:
        row = protocol(name)
        roles = f" ({row.roles[0]} → {row.roles[1]})" if row.roles else ""
        out.print(f"  {row.title}: {client} → {server}{roles}, {packets:,} packets")
    _rest(out, len(pairs))


def _writes(out: Console, document: Row) -> None:
    found: Counter[tuple[str, str, str, str]] = Counter()
    for row in document["operations"]:
        if row["action"] in CHANGING and is_industrial(row["protocol"]):
            client, server = row["client"], row["server"]
            if row["name"] in ASKED_BY_CONTROLLER:
                client, server = server, client
            server = " ".join(filter(None, (server, row["server_child"])))
            name = row["name"] + ("" if row["outcome"] != "error" else " (refused)")
            found[client, server, row["action"], name] += row["count"] + row["unpaired"]
    if not found:
        return
    out.print("\n[bold]Who changed what[/]")
    for (client, server, action, name), count in sorted(found.items())[:SHOWN]:
        out.print(f"  {client} → {server}: {action}, {_safe(name)}, {count:,} times")
    _rest(out, len(found))


def _alerts(out: Console, document: Row) -> None:
    alerts = sorted(
        document["alerts"], key=lambda a: (SEVERITIES.index(a["severity"]), a["title"], a["id"])
    )
    out.print(f"\n[bold]Alerts: {len(alerts)}[/]")
    for alert in alerts[:SHOWN]:
        colour = COLOURS[alert["severity"]]
        text = _safe(render(alert["message"]["key"], alert["message"]["values"]))
        out.print(f"  [{colour}]{alert['severity']:8}[/] {alert['title']}: {text}")
    _rest(out, len(alerts))
    would = Counter(alert["title"] for alert in document["would_alert"])
    if would:
        out.print("\n[bold]Would alert if this were unknown[/] (learn with --learn, --learn-until)")
        for title, count in sorted(would.items()):
            out.print(f"  {count:5} of {title}")


def _coverage(out: Console, document: Row) -> None:
    coverage = document["coverage"]
    parts = [
        f"{count:,} {cause}"
        for cause, count in (
            *sorted(coverage["by_cause"].items()),
            *(
                (f"frames of link type {name}", n)
                for name, n in sorted(coverage["undecoded_link_types"].items())
            ),
            *((f"copies ({name})", n) for name, n in sorted(coverage["copies"].items())),
            ("truncated frames", coverage["truncated"]),
            ("frames out of order", coverage["out_of_order"]),
            ("TCP connections seen in one direction only", coverage["one_way"]),
            ("clock jumps", coverage["epochs"]),
            *((f"capped {name}", n) for name, n in sorted(coverage["capped"].items())),
        )
        if count
    ]
    out.print(f"\n[bold]How much the mirror shows: grade {coverage['grade']}[/]")
    for finding in coverage["findings"]:
        out.print(f"  {finding['title']}: {_safe(finding['text'])}")
    out.print("\n[bold]Not seen, or seen twice[/]")
    for part in parts or ["nothing"]:
        out.print(f"  {_safe(part)}")


def _rest(out: Console, total: int) -> None:
    if total > SHOWN:
        out.print(f"  … and {total - SHOWN:,} more (--format json shows all)")


def _safe(value: str | None) -> str:
    """Text from the wire without control characters and without markup."""
    from rich.markup import escape

    shown = "".join(letter if letter.isprintable() else "·" for letter in value or "")
    return escape(shown[:120])
