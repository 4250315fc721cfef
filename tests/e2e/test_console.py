"""Journeys through the console, as people take them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from otic import _core
from otic.plant import demo

from .conftest import Served, log_in

AXE = Path(__file__).parents[2] / "console" / "node_modules" / "axe-core" / "axe.min.js"


def test_a_wrong_password_is_refused(page: Page, served: Served):
    """The page says so and stays where it is."""
    log_in(page, "admin", "not the password")
    expect(page.get_by_role("alert")).to_have_text("Name or password is wrong.")
    assert "/log-in" in page.url


def test_from_the_overview_to_the_bytes_of_a_model(admin: Page):
    """Log in, find a device, and see the bytes that name its model marked."""
    expect(admin.get_by_role("row", name=re.compile("program download")).first).to_be_visible()
    admin.get_by_role("link", name=re.compile("^Devices")).first.click()
    admin.get_by_role("searchbox").fill("siemens 315")
    expect(admin.get_by_role("status").filter(has_text="1 devices")).to_be_visible()
    assert "q=siemens" in admin.url
    admin.get_by_role("link", name="PALLETIZER").click()
    expect(admin.get_by_role("heading", name="PALLETIZER")).to_be_visible()
    order = admin.get_by_role("row", name=re.compile("^Order number"))
    order.get_by_role("link", name=re.compile("show bytes")).first.click()
    expect(admin.get_by_test_id("decoded-value")).to_contain_text(demo.CPU_ORDER)
    marked = "".join(admin.locator(".hex-line > span:nth-child(3) mark").all_text_contents())
    assert marked.strip() == demo.CPU_ORDER
    expect(admin.get_by_test_id("cited-text")).to_contain_text("bytes from offset")


def test_from_the_map_to_a_device(admin: Page):
    """Open the map, cut it to one protocol and one device, look at it, and go to its page."""
    admin.get_by_role("link", name="Map", exact=True).click()
    expect(admin.get_by_role("heading", name="Map")).to_be_visible()
    nodes = admin.locator(".map-node")
    expect(admin.get_by_role("link", name=re.compile("^PALLETIZER, PLC, Level 1"))).to_be_visible()
    whole = nodes.count()
    lines = admin.locator(".map-edge").count()
    admin.get_by_label("Industrial protocols only").check()
    expect(admin.locator(".map-edge:not(.map-edge-industrial)")).to_have_count(0)
    assert 0 < admin.locator(".map-edge").count() < lines
    assert 0 < nodes.count() < whole
    admin.get_by_role("searchbox").fill("palletizer")
    expect(admin.get_by_role("status").filter(has_text="1 devices")).to_be_visible()
    assert "q=palletizer" in admin.url
    palletizer = admin.get_by_role("link", name=re.compile("^PALLETIZER"))
    palletizer.focus()
    details = admin.get_by_test_id("map-details")
    expect(details).to_contain_text("10.20.1.31")
    expect(details).to_contain_text("S7")
    assert admin.locator(".map-edge-own").count() > 0
    palletizer.click()
    expect(admin.get_by_role("heading", name="PALLETIZER")).to_be_visible()
    assert "/devices/" in admin.url


def test_from_the_overview_to_what_mends_the_mirror(admin: Page, tmp_path: Path):
    """The grade leads to the mirror's page, which names what is wrong and gives a report."""
    admin.get_by_role("link", name=re.compile("^Mirror [A-D]")).click()
    expect(admin.get_by_role("heading", name="Mirror quality")).to_be_visible()
    expect(admin.get_by_role("heading", name="Findings")).to_be_visible()
    lanes = admin.get_by_role("row", name=re.compile("untagged"))
    expect(lanes.first).to_be_visible()
    with admin.expect_download() as download:
        admin.get_by_role("link", name="Report").click()
    report = tmp_path / "report.txt"
    download.value.save_as(report)
    assert report.read_text().startswith("Mirror quality report")
    assert "Modbus" in report.read_text()


def test_the_map_is_moved_by_mouse_and_keys(admin: Page):
    """Wheel and keys zoom, dragging pans and opens nothing, fit shows everything again."""
    admin.goto("/map")
    admin.get_by_role("link", name=re.compile("^PALLETIZER")).wait_for()
    canvas = admin.locator(".map-canvas > g")
    fitted = canvas.get_attribute("transform")
    card = admin.get_by_role("link", name=re.compile("^PALLETIZER")).bounding_box()
    assert card is not None
    x, y = card["x"] + card["width"] / 2, card["y"] + card["height"] / 2
    admin.mouse.move(x, y)
    admin.mouse.down()
    admin.mouse.move(x + 60, y + 30, steps=4)
    admin.mouse.up()
    dragged = canvas.get_attribute("transform")
    assert dragged != fitted
    assert admin.url.endswith("/map")
    admin.mouse.wheel(0, -300)
    expect(canvas).not_to_have_attribute("transform", dragged or "")
    admin.get_by_role("button", name="Fit").click()
    expect(canvas).to_have_attribute("transform", fitted or "")
    admin.keyboard.press("ArrowLeft")
    expect(canvas).not_to_have_attribute("transform", fitted or "")
    admin.keyboard.press("0")
    expect(canvas).to_have_attribute("transform", fitted or "")


def test_from_an_alert_to_its_frames_and_their_capture(admin: Page, tmp_path: Path):
    """An alert explains itself, its frames can be read, and the download holds them."""
    admin.get_by_role("link", name=re.compile("^Alerts")).first.click()
    admin.get_by_text("Critical", exact=False).first.wait_for()
    admin.get_by_role("link", name="Controller Stopped and Reprogrammed").click()
    expect(admin.get_by_role("heading", name="What it means")).to_be_visible()
    expect(admin.get_by_text("When it is harmless")).to_be_visible()
    with admin.expect_download() as waiting:
        admin.get_by_role("link", name="Download frames").click()
    saved = tmp_path / "alert.pcapng"
    waiting.value.save_as(saved)
    frames = _core.read_frames(str(saved), list(range(1, 200)))
    original = {frame[3] for frame in demo.demo().frames}
    assert len(frames) > 10
    assert {frame[4] for frame in frames} <= original
    admin.get_by_role("link", name=re.compile("show bytes")).first.click()
    expect(admin.locator(".hex mark").first).to_be_visible()
    expect(admin.get_by_role("heading", name="Frames around it")).to_be_visible()


def test_a_viewer_sees_but_cannot_change(admin: Page, served: Served):
    """The viewer's pages have no people, no packets; the API refuses as well."""
    admin.get_by_role("link", name="People").click()
    admin.get_by_label("Name").fill("vera")
    admin.get_by_label("First password").fill("a long enough one")
    admin.get_by_role("button", name="Add someone").click()
    expect(admin.get_by_role("cell", name="vera", exact=True).first).to_be_visible()
    admin.get_by_role("button", name=re.compile("admin")).click()
    admin.get_by_role("menuitem", name="Log out").click()
    admin.get_by_role("button", name="Log in").wait_for()
    log_in(admin, "vera", "a long enough one")
    expect(admin.get_by_role("heading", name="Overview")).to_be_visible()
    expect(admin.get_by_role("link", name="People")).to_have_count(0)
    admin.get_by_role("link", name=re.compile("^Devices")).first.click()
    admin.get_by_role("link", name="PALLETIZER").click()
    expect(admin.get_by_role("heading", name="PALLETIZER")).to_be_visible()
    expect(admin.get_by_role("link", name=re.compile("Download"))).to_have_count(0)
    refused = admin.evaluate(
        """async () => {
          const session = await (await fetch('/api/session')).json();
          const answer = await fetch('/api/users', {
            method: 'POST',
            headers: {'Content-Type': 'application/json', 'X-CSRF-Token': session.csrf},
            body: JSON.stringify({name: 'eve', role: 'admin', password: 'a long enough one'}),
          });
          return answer.status;
        }"""
    )
    assert refused == 403


def test_a_link_leads_back_after_log_in(page: Page, served: Served):
    """Who opens a link without a session lands on its page after log-in."""
    page.goto("/alerts?severity=%5B%22critical%22%5D")
    page.get_by_label("Name").fill("admin")
    page.get_by_label(re.compile("^Password")).fill(served.password)
    page.get_by_role("button", name="Log in").click()
    expect(page.get_by_role("heading", name="Alerts")).to_be_visible()
    assert "critical" in page.url


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(
    "path",
    [
        "/overview",
        "/devices",
        "/map",
        "/mirror",
        "/alerts",
        "/people",
        "device",
        "alert",
        "evidence",
    ],
)
def test_pages_are_accessible(admin: Page, path: str, scheme: str):
    """The checker axe finds nothing to complain about, in both themes."""
    if not AXE.is_file():
        pytest.skip("axe-core is not installed; `npm ci` in console/ installs it")
    admin.emulate_media(color_scheme=scheme, reduced_motion="reduce")
    if path == "device":
        admin.goto("/devices?q=palletizer")
        admin.get_by_role("link", name="PALLETIZER").click()
    elif path == "alert":
        admin.goto("/alerts")
        admin.get_by_role("link", name="Controller Stopped").click()
    elif path == "evidence":
        admin.goto("/evidence?file=demo.pcapng&frame=60&spans=%2260:0:6%22&decode=mac")
    else:
        admin.goto(path)
    admin.get_by_role("heading", level=1).wait_for()
    admin.wait_for_load_state("networkidle")
    admin.evaluate(AXE.read_text(encoding="utf-8"))
    found = admin.evaluate("axe.run()")
    assert [
        (entry["id"], node["target"], node["failureSummary"])
        for entry in found["violations"]
        for node in entry["nodes"]
    ] == []
