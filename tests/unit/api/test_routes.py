"""What the routes answer on the demo plant."""

from __future__ import annotations

import csv
import io

import pytest

from otic import _core
from otic.api.app import SECURITY_HEADERS, create_app
from otic.api.routes.devices import cell
from otic.plant import demo


def _device(console, words):
    found = console.get("/api/devices", q=words)["items"]
    assert len(found) == 1, [row["name"] for row in found]
    return found[0]


def test_devices_are_found_by_any_word(viewer):
    """Search looks at names, addresses, vendors, models, serials."""
    for words in ("palletizer", "315-2 siemens", "10.20.1.31", "28:63:36"):
        assert _device(viewer, words)["model"] == "CPU 315-2 PN/DP"
    assert viewer.get("/api/devices", q="100%")["total"] == 0
    assert viewer.get("/api/devices", q="no_such")["total"] == 0


def test_devices_are_sorted_filtered_and_paged(viewer):
    """Pages join to the whole list in the asked order."""
    whole = viewer.get("/api/devices", sort="address")["items"]
    assert [row["ips"] for row in whole[:3]] == [["10.20.1.5"], ["10.20.1.11"], ["10.20.1.12"]]
    pages = [viewer.get("/api/devices", sort="address", offset=at, limit=3) for at in (0, 3, 6)]
    assert [row["id"] for page in pages for row in page["items"]] == [row["id"] for row in whole]
    controllers = viewer.get("/api/devices", type=["PLC"])
    assert controllers["total"] == 4
    assert viewer.get("/api/devices", protocol="s7comm")["total"] == 4
    assert viewer.get("/api/devices", level=[1])["total"] == 4


def test_a_device_shows_its_claims_and_their_bytes(viewer):
    """The resolved value names the claim it comes from, and the claim's bytes give it again."""
    device = _device(viewer, "palletizer")
    detail = viewer.get(f"/api/devices/{device['id']}")
    model = next(row for row in detail["attributes"] if row["attribute"] == "order_number")
    claim = model["claims"][0]
    assert claim["standing"] == "used"
    span = claim["evidence"]["spans"][0]
    frames = viewer.get(
        "/api/frames",
        file=span["file"],
        frame=span["frame"],
        span=[f"{s['frame']}:{s['offset']}:{s['length']}" for s in claim["evidence"]["spans"]],
        decode=claim["evidence"]["decode"],
    )
    assert frames["decoded"]["value"].strip() == demo.CPU_ORDER
    assert [row["number"] for row in frames["frames"]] == list(
        range(span["frame"] - 5, span["frame"] + 6)
    )
    marked = next(row for row in frames["frames"] if row["number"] == span["frame"])
    data = bytes.fromhex(marked["data"])
    at = marked["cited"][0]
    assert data[at["offset"] : at["offset"] + at["length"]].decode().strip() == demo.CPU_ORDER


def test_a_device_shows_who_talks_to_it(viewer):
    """Connections and operations name the devices on both sides."""
    device = _device(viewer, "palletizer")
    connections = viewer.get("/api/connections", device=device["id"])
    clients = {row["client"]["address"] for row in connections["items"]}
    assert {"10.20.1.21", "10.20.1.51", "10.20.1.77"} <= clients
    row = next(row for row in connections["items"] if row["protocol"] == "s7comm")
    assert row["server"]["device"]["name"] == "PALLETIZER"
    assert row["server"]["role"] == "S7 server"
    stops = viewer.get("/api/operations", device=device["id"], action=["stop"])
    assert [row["client"]["address"] for row in stops["items"]] == ["10.20.1.77"]


def test_alerts_explain_and_prove(viewer, client):
    """An alert has its rule's words, its parties, and frames."""
    page = viewer.get("/api/alerts", severity=["critical"])
    assert {row["severity"] for row in page["items"]} == {"critical"}
    assert {row["value"] for row in page["facets"]["severities"]} >= {"critical", "major"}
    stopped = next(row for row in page["items"] if row["rule"] == "stop-then-download")
    detail = viewer.get(f"/api/alerts/{stopped['id']}")
    assert detail["explanation"]
    assert detail["false_positives"]
    assert detail["remediation"]
    assert detail["alert"]["destinations"][0]["device"]["name"] == "PALLETIZER"
    assert detail["evidence"]["spans"]
    device = stopped["destinations"][0]["device"]["id"]
    about = viewer.get("/api/alerts", device=device)
    assert stopped["id"] in {row["id"] for row in about["items"]}


def test_the_pcap_of_an_alert_holds_its_frames(admin, client, tmp_path):
    """The downloaded capture opens and holds the cited frames and those around them."""
    alert = admin.get("/api/alerts", q="stop-then-download")["items"][0]
    spans = admin.get(f"/api/alerts/{alert['id']}")["evidence"]["spans"]
    answer = client.get(f"/api/alerts/{alert['id']}/pcap")
    assert answer.status_code == 200
    path = tmp_path / "a.pcapng"
    path.write_bytes(answer.content)
    numbers = {n for s in spans for n in range(s["frame"] - 5, s["frame"] + 6)}
    frames = _core.read_frames(str(path), list(range(1, len(numbers) + 10)))
    assert len(frames) == len(numbers)
    capture = {row[0]: row[4] for row in _wire(numbers)}
    assert {row[4] for row in frames} == set(capture.values())


def _wire(numbers):
    frames = demo.demo().frames
    return [(n, *frames[n - 1][:2], "ethernet", frames[n - 1][3]) for n in sorted(numbers)]


def test_the_pcap_of_a_device_opens(admin, client, tmp_path):
    """The frames behind a device's attributes and alerts can be taken along."""
    device = _device(admin, "palletizer")
    answer = client.get(f"/api/devices/{device['id']}/pcap", params={"around": 0})
    assert answer.status_code == 200
    path = tmp_path / "d.pcapng"
    path.write_bytes(answer.content)
    assert _core.read_frames(str(path), [1])


def test_a_capture_that_is_gone_is_not_found(store, database, tmp_path):
    """Frames that were kept are still shown; others are a clear 404, never a 500."""
    from litestar.testing import TestClient

    from otic.store.queries.common import Store

    from .conftest import Console, copied

    opened = Store(copied(database, tmp_path / "demo.db"))
    with opened.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE captures SET path = '/gone/demo.pcapng'")
    with TestClient(create_app(opened)) as client:
        Console(client, "admin")
        answer = client.get("/api/frames", params={"file": "demo.pcapng", "frame": 40})
        assert answer.status_code == 404
        assert "demo.pcapng" in answer.json()["detail"]
        assert "/gone" not in answer.text
        missing = client.get("/api/frames", params={"file": "other.pcap", "frame": 1})
        assert missing.status_code == 404
    opened.close()


def test_a_frame_beyond_the_end_is_not_found(viewer, client):
    """Asking for frame one million of a small capture is a clear 404."""
    answer = client.get("/api/frames", params={"file": "demo.pcapng", "frame": 1_000_000})
    assert answer.status_code == 404
    assert "no frame 1000000" in answer.json()["detail"]


def test_the_overview_tells_who_changed_what(viewer):
    """Stops and downloads stand before writes; coverage names its causes."""
    overview = viewer.get("/api/overview")
    assert overview["devices"] == viewer.get("/api/devices")["total"]
    actions = [row["action"] for row in overview["writers"]]
    assert {"stop", "program-download", "write"} <= set(actions)
    assert actions.index("program-download") < actions.index("write")
    assert overview["captures"][0]["file"] == "demo.pcapng"
    assert overview["coverage"]["frames"] == overview["captures"][0]["frames"]
    assert sum(row["count"] for row in overview["by_severity"]) == overview["alerts"]


def test_csv_has_no_formulas(admin, client):
    """Cells from the wire cannot become formulas in a spreadsheet."""
    rows = list(csv.reader(io.StringIO(client.get("/api/devices.csv").text)))
    assert len(rows) == admin.get("/api/devices")["total"] + 1
    assert cell('=HYPERLINK("http://x")').startswith("'=")
    assert cell("@SUM(A1)").startswith("'@")
    assert cell("a\r\nb") == "a  b"
    assert cell(None) == ""


@pytest.mark.parametrize("path", ["/", "/devices", "/api/session", "/api/none", "/no.file"])
def test_security_headers_are_on_every_answer(client, path):
    """Pages, errors and data all carry the same protection."""
    answer = client.get(path)
    for name, value in SECURITY_HEADERS.items():
        assert answer.headers[name] == value, path
    assert "unsafe-inline" not in SECURITY_HEADERS["content-security-policy"].split("style-src")[0]
    if path.startswith("/api/"):
        assert answer.headers["cache-control"] == "no-store"


def test_errors_say_why(viewer, client):
    """A wrong parameter is named, an unknown route too."""
    answer = client.get("/api/devices", params={"limit": 0})
    assert answer.status_code == 400
    assert any("limit" in line for line in answer.json()["invalid"])
    assert client.get("/api/devices/zz").status_code == 400
    assert client.get("/api/devices/" + "0" * 32).status_code == 404
    assert client.get("/api/no-such").status_code == 404
