"""A new sensor is set up in the browser: from the password on the terminal to frames on a page."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from playwright.sync_api import Page, Playwright, expect

from otic.api.files import built
from otic.folder import DataFolder
from otic.plant import demo
from otic.settings import Interface, Subnet, load
from support.cable import MONITOR, PLANT, SENDER, Cable
from support.frames import write_pcap
from support.program import COMMAND

from .conftest import ARGUMENTS, CHROMIUM, START_S, log_in
from .test_console import AXE

OWN = "a password of my own"
URL = "https://127.0.0.1:8443"
RATE, TIMES = 200, 1000
"""Frames a second, and how often the plant's frames are sent: longer than the journey takes."""


class New(msgspec.Struct, frozen=True):
    """A sensor that nobody has set up."""

    folder: DataFolder
    password: str
    said: str


@pytest.fixture
def cable() -> Iterator[Cable]:
    made = Cable()
    yield made
    made.close()


@pytest.fixture
def plant(cable: Cable, tmp_path: Path) -> Iterator[None]:
    """The demo plant's frames on the other end of the cable."""
    frames = ((ts_ns, frame) for ts_ns, _, _, frame in demo.demo().frames)
    path = write_pcap(tmp_path / "plant.pcap", frames)
    words = [sys.executable, "-c", SENDER, str(path), PLANT, str(RATE), str(TIMES)]
    sender = subprocess.Popen(cable.enter(cable.plant, *words), stdout=subprocess.DEVNULL)
    yield
    sender.kill()
    sender.wait()


@pytest.fixture
def new(cable: Cable, tmp_path: Path) -> Iterator[New]:
    """`otic sensor` on a folder that is not there yet."""
    if not built():
        pytest.skip("the console is not built; `make console` builds it")
    folder = DataFolder(tmp_path / "data")
    words = [*COMMAND, "sensor", "--data", str(folder.path)]
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(
            cable.enter(cable.sensor, *words), stdout=subprocess.PIPE, stderr=log, text=True
        )
        assert process.stdout is not None
        said, password = "", None
        for line in process.stdout:
            said += line
            if password := re.match(r"First log-in: name admin, password (\S+)", line):
                break
        assert password is not None, said
        yield New(folder, password[1], said)
        process.terminate()
        assert process.wait(START_S) == 0


@pytest.fixture
def page(cable: Cable, driver: Playwright, new: New, tmp_path: Path) -> Iterator[Page]:
    """A browser on the sensor's machine."""
    there = tmp_path / "browser"
    there.write_text(f'#!/bin/sh\nexec ip netns exec {cable.sensor} {CHROMIUM} "$@"\n')
    there.chmod(0o755)
    browser = driver.chromium.launch(executable_path=str(there), headless=True, args=ARGUMENTS)
    context = browser.new_context(
        base_url=URL, ignore_https_errors=True, viewport={"width": 1280, "height": 1000}
    )
    opened = context.new_page()
    problems: list[str] = []
    opened.on("pageerror", lambda error: problems.append(str(error)))
    yield opened
    browser.close()
    assert problems == [], "the page reported errors"


def accessible(page: Page) -> None:
    """The checker axe finds nothing to complain about."""
    if not AXE.is_file():
        pytest.skip("axe-core is not installed; `npm ci` in console/ installs it")
    page.evaluate(AXE.read_text(encoding="utf-8"))
    found = page.evaluate("axe.run()")
    assert [
        (entry["id"], node["target"], node["failureSummary"])
        for entry in found["violations"]
        for node in entry["nodes"]
    ] == []


def test_a_new_sensor_is_set_up_in_the_browser(
    page: Page, new: New, plant: None, tmp_path: Path
) -> None:
    """Own password, the port that the frames come in on, a subnet, a time; then it captures."""
    assert "nothing is monitored yet" in new.said
    log_in(page, "admin", new.password)
    expect(page.get_by_role("heading", name="Set up this sensor")).to_be_visible()
    apply = page.get_by_role("button", name="Set up", exact=True)
    expect(apply).to_be_disabled()

    page.get_by_label("Password you logged in with").fill(new.password)
    page.get_by_label(re.compile("^New password")).fill("short")
    expect(page.get_by_text("At least 12 characters.", exact=True)).to_be_visible()
    expect(page.get_by_role("button", name="Set password")).to_be_disabled()
    page.get_by_label(re.compile("^New password")).fill(OWN)
    page.get_by_label(re.compile("^The same once more")).fill(OWN)
    page.get_by_role("button", name="Set password").click()
    expect(page.get_by_text("You have a password of your own.")).to_be_visible()

    port = page.get_by_role("row", name=re.compile(MONITOR))
    expect(port).to_contain_text("This may be the mirror port.")
    expect(page.get_by_role("row", name=re.compile("^lo"))).to_contain_text("IP address")
    apply.click()
    expect(page.get_by_text("Choose at least one interface.")).to_be_visible()
    port.get_by_role("checkbox").focus()
    page.keyboard.press("Space")

    page.get_by_role("button", name="Add another").click()
    page.get_by_label("Subnet", exact=True).fill("10.20.1.5/24")
    page.get_by_label("Learn what is normal for").fill("0")
    apply.click()
    expect(page.get_by_text("10.20.1.5/24 is no subnet; 10.20.1.0/24 is one.")).to_be_visible()
    expect(page.get_by_text("Learning takes from one minute to 366 days.")).to_be_visible()
    assert not new.folder.settings.exists()
    accessible(page)
    page.screenshot(path=tmp_path / "refused.png", full_page=True)

    page.get_by_label("Subnet", exact=True).fill("10.20.1.0/24")
    page.get_by_label("Name").fill("Cell 1")
    page.get_by_label("Learn what is normal for").fill("2")
    page.keyboard.press("Enter")
    expect(page.get_by_text(re.compile("otic.toml is written"))).to_be_visible()
    settings = load(new.folder.settings)
    assert settings.interface == [Interface(name=MONITOR)]
    assert settings.subnet == [Subnet(cidr="10.20.1.0/24", name="Cell 1")]
    assert settings.learning_s == 2 * 86_400
    accessible(page)
    page.screenshot(path=tmp_path / "written.png", full_page=True)

    page.get_by_role("link", name="See what it captures").click()
    captured = page.get_by_role("row", name=re.compile(f"^{MONITOR} reads"))
    expect(captured).to_be_visible(timeout=START_S * 1000)
    page.get_by_role("link", name="Overview").click()
    expect(page.get_by_role("heading", name="Overview")).to_be_visible()
    page.get_by_role("link", name="People").click()
    expect(page.get_by_role("row", name=re.compile("set the sensor up"))).to_contain_text(MONITOR)

    page.get_by_role("link", name="Capture").click()
    page.get_by_role("link", name="Set up").click()
    expect(port.get_by_role("checkbox")).to_be_checked()
    expect(port).to_contain_text("Monitored now")
