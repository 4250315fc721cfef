"""How long the API's lists take with 12,000 devices, 100,000 connections and 50,000 alerts.

Run `python bench/console_lists.py`; prints the median and the worst of ten calls of each route, ms.
"""

from __future__ import annotations

import hashlib
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import msgspec
from litestar.testing import TestClient
from sqlalchemy import insert

from otic.api.app import create_app
from otic.api.auth import first_user
from otic.facts import pack_spans
from otic.journal.fold import Totals
from otic.store import tables
from otic.store.engine import migrate, open_engine
from otic.store.queries.common import Store

DEVICES, CONNECTIONS, OPERATIONS, ALERTS = 12_000, 100_000, 100_000, 50_000
SCOPE = {"tenant": "local", "site": "local", "zone": "local", "sensor": "local"}
SEVERITIES = ("critical", "major", "minor", "warning")
START_NS = 1_790_000_000_000_000_000
pack = msgspec.msgpack.Encoder().encode


def key(kind: str, number: int) -> bytes:
    """A 16-byte id."""
    return hashlib.blake2b(f"{kind} {number}".encode(), digest_size=16).digest()


def address(number: int) -> str:
    """The address of a device."""
    return f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"


def fill(path: Path) -> None:
    """Writes the plant."""
    engine = open_engine(path)
    migrate(engine, path.name)
    span = pack_spans([(0, 1, 54, 12)])
    rows: dict[Any, list[dict[str, Any]]] = {
        tables.positions: [
            {
                "stream": "facts",
                "batch": 1,
                "fingerprint": "",
                "schema": 1,
                "clock_ns": START_NS,
                "coverage": pack(Totals(frames=1)),
            }
        ],
        tables.devices: [_device(number) for number in range(DEVICES)],
        tables.endpoints: [
            {
                "id": key("endpoint", number),
                "space": "default",
                "address": address(number),
                "child": "",
                "spoke": True,
                "first_ns": START_NS,
                "spans": span,
            }
            for number in range(DEVICES)
        ],
        tables.memberships: [
            {
                "endpoint": key("endpoint", number),
                "valid_from": START_NS,
                "device": key("device", number),
                "reason": "own address",
                "valid_to": None,
            }
            for number in range(DEVICES)
        ],
        tables.connections: [_connection(number, span) for number in range(CONNECTIONS)],
        tables.operations: [_operation(number, span) for number in range(OPERATIONS)],
        tables.alerts: [_alert(number) for number in range(ALERTS)],
        tables.alert_parties: [
            {
                "address": address((number * 31) % DEVICES),
                "alert": key("alert", number),
                "role": "source",
            }
            for number in range(ALERTS)
        ],
    }
    with engine.begin() as connection:
        for table, some in rows.items():
            for start in range(0, len(some), 5000):
                connection.execute(
                    insert(table), [row | SCOPE for row in some[start : start + 5000]]
                )
        connection.exec_driver_sql("ANALYZE")
    engine.dispose()


def _device(number: int) -> dict[str, Any]:
    body = {
        "macs": [f"00:0e:8c:00:{number >> 8 & 255:02x}:{number & 255:02x}"],
        "ips": [address(number)],
        "vlans": [],
        "protocols": ["modbus", "s7comm"],
        "roles": [],
        "attributes": {"name": f"device {number}"},
        "reasons": {"name": {"rule": "address"}},
        "members": [],
        "contested": [],
    }
    return {
        "id": key("device", number),
        "space": "default",
        "parent": None,
        "child_address": "",
        "name": f"device {number}",
        "type": ("PLC", "HMI", "Workstation", "Switch")[number % 4],
        "vendor": f"Vendor {number % 40}",
        "model": f"Model {number % 300}",
        "firmware": "1.2",
        "serial": None,
        "os": None,
        "purdue_level": number % 4,
        "first_ns": START_NS + number,
        "body": pack(body),
        "search": f"device {number}\nvendor {number % 40}\n{address(number)}\n{body['macs'][0]}",
        "address": f"4{number:08x} ",
    }


def _connection(number: int, span: bytes) -> dict[str, Any]:
    client, server = (number * 7) % DEVICES, (number * 13 + 1) % DEVICES
    return {
        "id": key("connection", number),
        "client_id": key("endpoint", client),
        "server_id": key("endpoint", server),
        "space": "default",
        "client": address(client),
        "server": address(server),
        "client_child": "",
        "server_child": "",
        "transport": "tcp",
        "port": 502,
        "protocol": ("modbus", "s7comm", "cip", "http")[number % 4],
        "first_ns": START_NS,
        "spans": span,
        "forward_packets": number,
        "reverse_packets": number,
        "bytes": number * 977 % 10_000_019,
        "last_ns": START_NS + number,
    }


def _operation(number: int, span: bytes) -> dict[str, Any]:
    return {
        "id": key("operation", number),
        "connection": key("connection", number),
        "protocol": ("modbus", "s7comm", "cip", "http")[number % 4],
        "reversed": False,
        "code": 3,
        "name": "read-holding-registers",
        "action": "write" if number % 50 == 0 else "read",
        "object": "100-107",
        "outcome": "ok",
        "client_child": "",
        "server_child": "",
        "first_ns": START_NS,
        "spans": span,
        "count": number,
        "unpaired": 0,
        "last_ns": START_NS,
    }


def _alert(number: int) -> dict[str, Any]:
    source = address((number * 31) % DEVICES)
    body = {
        "attack": ["T0846"],
        "sources": [source],
        "destinations": [],
        "values": {"source": source},
        "spans": [(0, 1, 0, 4)],
    }
    return {
        "id": key("alert", number),
        "rule": "port-scan",
        "title": f"Alert kind {number % 60}",
        "engine": ("policy", "anomaly", "protocol")[number % 3],
        "severity": SEVERITIES[number % 4],
        "category": "Discovery",
        "space": "default",
        "policy": number % 10 == 0,
        "first_ns": START_NS,
        "last_ns": START_NS + number,
        "count": 1,
        "message": "port-scan",
        "body": pack(body),
        "search": f"alert kind {number % 60}\nport-scan\n{source}",
    }


def main() -> None:
    """Fills a database and asks."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "large.db"
        fill(path)
        store = Store(path)
        password = first_user(store)
        with TestClient(create_app(store)) as client:
            client.post("/api/session", json={"name": "admin", "password": password})
            device = key("device", 7).hex()
            for asked in (
                "/api/devices",
                "/api/devices?q=vendor+17&sort=model",
                "/api/devices?q=10.0.46&sort=address&offset=100",
                "/api/devices?type=PLC&level=0",
                "/api/devices?offset=11900",
                f"/api/devices/{device}",
                f"/api/connections?device={device}",
                "/api/connections",
                f"/api/operations?device={device}",
                "/api/operations?q=registers",
                "/api/alerts",
                "/api/alerts?q=kind+17&severity=critical",
                f"/api/alerts?device={device}",
                "/api/overview",
                "/api/map",
                "/api/map?open=1:HMI",
                "/api/map?q=vendor+17",
                "/api/map?protocol=s7comm",
            ):
                times = []
                for _ in range(10):
                    start = time.perf_counter()
                    answer = client.get(asked)
                    times.append((time.perf_counter() - start) * 1000)
                    assert answer.status_code == 200, answer.text
                print(f"{statistics.median(times):7.1f} {max(times):7.1f}  {asked}")
        store.close()


if __name__ == "__main__":
    main()
