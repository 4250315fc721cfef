"""A real `otic replay --serve` on the demo capture, and a real browser."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

pytest.importorskip("playwright", reason="playwright is not installed")
pytest.importorskip("otic._core", reason="the packet core is not built")

from playwright.sync_api import Browser, Page, Playwright, sync_playwright

from otic.api.files import built
from otic.plant import demo

CHROMIUM = Path("/usr/bin/chromium")
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
START_S = 60


class Served(msgspec.Struct, frozen=True):
    """A console that runs."""

    url: str
    password: str
    database: Path
    capture: Path


def serve(folder: Path, *more: str) -> tuple[subprocess.Popen[str], Served]:
    """Starts Otic on the demo capture and reads its address and first password."""
    capture, database = folder / "demo.pcapng", folder / "demo.db"
    demo.write(capture)
    command = [sys.executable, "-m", "otic", "replay", str(capture), "--database", str(database)]
    command += ["--learn-fraction", str(demo.LEARN_FRACTION), "--serve", "--port", "0", *more]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    url = password = ""
    for line in process.stdout:
        if found := re.match(r"Console: (https?://\S+)/", line):
            url = found[1]
        if found := re.match(r"First log-in: name admin, password (\S+)", line):
            password = found[1]
            break
    assert url, "Otic did not start"
    assert password, "Otic printed no first password"
    return process, Served(url, password, database, capture)


@pytest.fixture(scope="session")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    if not built():
        pytest.skip("the console is not built; `make console` builds it")
    process, console = serve(tmp_path_factory.mktemp("e2e"))
    yield console
    process.send_signal(signal.SIGINT)
    process.wait(timeout=START_S)


@pytest.fixture(scope="session")
def driver() -> Iterator[Playwright]:
    """Starts browsers; there can only be one of it."""
    if not CHROMIUM.is_file():
        pytest.skip(f"no browser: {CHROMIUM} is missing")
    with sync_playwright() as playwright:
        yield playwright


@pytest.fixture(scope="session")
def browser(driver: Playwright) -> Iterator[Browser]:
    opened = driver.chromium.launch(executable_path=str(CHROMIUM), headless=True, args=ARGUMENTS)
    yield opened
    opened.close()


@pytest.fixture
def page(browser: Browser, served: Served) -> Iterator[Page]:
    context = browser.new_context(
        base_url=served.url, ignore_https_errors=True, viewport={"width": 1280, "height": 800}
    )
    opened = context.new_page()
    problems: list[str] = []
    opened.on("pageerror", lambda error: problems.append(str(error)))
    outside: list[str] = []
    opened.on(
        "request",
        lambda request: (
            outside.append(request.url)
            if not request.url.startswith((served.url, "data:", "blob:"))
            else None
        ),
    )
    yield opened
    context.close()
    assert problems == [], "the page reported errors"
    assert outside == [], "the console asked somebody else"


def log_in(page: Page, name: str, password: str) -> None:
    """Logs in on the log-in page."""
    page.goto("/")
    page.get_by_label("Name").fill(name)
    page.get_by_label(re.compile("^Password")).fill(password)
    page.get_by_role("button", name="Log in").click()


@pytest.fixture
def admin(page: Page, served: Served) -> Any:
    log_in(page, "admin", served.password)
    page.get_by_role("heading", name="Overview").wait_for()
    return page
