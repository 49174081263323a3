"""The built site in a real browser: no error on the console, nothing wider than a phone, and a search that finds.

Skipped where the site is not built (`make docs`), or playwright or Chromium is not installed.
"""

from __future__ import annotations

import functools
import http.server
import shutil
import threading
from pathlib import Path

import pytest

import zeldo

SITE = Path(__file__).parents[1] / "build" / "docs" / "html"
sync_api = pytest.importorskip("playwright.sync_api")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
if CHROMIUM is None or not (SITE / "index.html").exists():
    pytest.skip("no Chromium, or the site is not built", allow_module_level=True)
PAGES = sorted(str(path.relative_to(SITE)) for path in SITE.rglob("*.html") if "_static" not in path.parts)
PHONE = {"width": 390, "height": 844}


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture(scope="module")
def site():
    handler = functools.partial(Quiet, directory=str(SITE))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


def failure(request) -> list[str]:
    """A request that failed, unless it ended because the next page was opened."""
    return [] if request.failure == "net::ERR_ABORTED" else [f"{request.url}: {request.failure}"]


@pytest.fixture(scope="module")
def page():
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page(viewport=PHONE)
        page.problems = []
        page.on(
            "console", lambda message: page.problems.append(message.text) if message.type == "error" else None
        )
        page.on("pageerror", lambda error: page.problems.append(str(error)))
        page.on("requestfailed", lambda request: page.problems.extend(failure(request)))
        yield page
        browser.close()


TINY = {"n": 16, "box": 31.25, "power": "eisenstein-hu"}


def compared(folder: Path) -> Path:
    zeldo.compare(engine="zeldovich", reference="2lpt", output=folder, **TINY)
    return folder / "index.html"


def measured(folder: Path) -> Path:
    larger = {**TINY, "n": 20}  # enough for bispectra
    snapshots = [zeldo.run(engine=engine, **larger)[0] for engine in ("zeldovich", "2lpt")]
    zeldo.measure(snapshots, ("all",), output=[folder / "page.html"])
    return folder / "page.html"


def reconstructed(folder: Path) -> Path:
    from zeldo.gradients.page import write_page

    (snapshot,) = zeldo.run(engine="2lpt", **TINY)
    recovered = zeldo.reconstruct(snapshot, engine="2lpt", samples=0, effort=0.05)
    return write_page(recovered, zeldo.initial_conditions(**TINY), folder, "zeldo reconstruct")


@pytest.mark.parametrize("made", [compared, measured, reconstructed])
def test_a_report_opens_without_errors_and_fits_a_phone(made, page, tmp_path):
    report = made(tmp_path)
    page.problems.clear()
    page.goto(report.as_uri())
    assert not page.problems
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]


@pytest.mark.parametrize("path", PAGES)
def test_a_page_opens_without_errors_and_fits_a_phone(path, page, site):
    page.problems.clear()
    page.goto(f"{site}/{path}")
    assert not page.problems
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]


def test_the_search_finds_a_function(page, site):
    page.goto(f"{site}/search.html?q=friends_of_friends")
    page.wait_for_selector("#search-results li a")
    found = page.locator("#search-results li a").evaluate_all("links => links.map(link => link.href)")
    assert any("statistics" in link and "friends_of_friends" in link for link in found)
