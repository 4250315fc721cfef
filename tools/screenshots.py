"""Takes the pictures under docs/screenshots: every page, both themes, two widths.

Run `python tools/screenshots.py` after `make console`; needs Debian's chromium.
"""

from __future__ import annotations

import signal
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from playwright.sync_api import Page, sync_playwright  # noqa: E402
from tests.e2e.conftest import ARGUMENTS, CHROMIUM, log_in, serve  # noqa: E402

WIDTHS = ((1280, 800), (1920, 1080))


def visit(page: Page, name: str) -> None:
    """Opens one page by its name."""
    if name == "log-in":
        page.context.clear_cookies()
        page.goto("/log-in")
        page.get_by_role("button", name="Log in").wait_for()
        return
    if name in ("overview", "devices", "map", "mirror", "alerts", "people"):
        page.goto(f"/{name}")
    elif name.startswith("device"):
        page.goto("/devices?q=palletizer")
        page.get_by_role("link", name="PALLETIZER").click()
        if name != "device":
            page.get_by_role("tab", name=name.partition("-")[2].capitalize()).click()
    elif name == "alert":
        page.goto("/alerts")
        page.get_by_role("link", name="Controller Stopped and Reprogrammed").click()
    elif name == "evidence":
        page.goto("/devices?q=palletizer")
        page.get_by_role("link", name="PALLETIZER").click()
        page.get_by_role("row", name="Order number").get_by_role("link").first.click()
    page.get_by_role("heading", level=1).wait_for()
    page.wait_for_load_state("networkidle")


PAGES = (
    "overview",
    "devices",
    "device",
    "device-connections",
    "device-operations",
    "device-alerts",
    "map",
    "mirror",
    "alerts",
    "alert",
    "evidence",
    "people",
    "log-in",
)


def main() -> None:
    """Writes all pictures."""
    folder = ROOT / "docs" / "screenshots"
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as data, sync_playwright() as playwright:
        process, served = serve(Path(data))
        browser = playwright.chromium.launch(
            executable_path=str(CHROMIUM), headless=True, args=ARGUMENTS
        )
        try:
            for scheme in ("light", "dark"):
                for width, height in WIDTHS:
                    context = browser.new_context(
                        base_url=served.url,
                        ignore_https_errors=True,
                        viewport={"width": width, "height": height},
                        color_scheme="dark" if scheme == "dark" else "light",
                        reduced_motion="reduce",
                    )
                    page = context.new_page()
                    log_in(page, "admin", served.password)
                    page.get_by_role("heading", name="Overview").wait_for()
                    for name in PAGES:
                        visit(page, name)
                        page.screenshot(path=str(folder / f"{name}-{scheme}-{width}.png"))
                    context.close()
        finally:
            browser.close()
            process.send_signal(signal.SIGINT)
            process.wait(timeout=30)


if __name__ == "__main__":
    main()
