"""A real Chromium for the pages' tests, and a page that remembers everything that went wrong in it."""

from __future__ import annotations

import re
import shutil
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from tests.support.processes import REPOSITORY
from tests.support.server import Server

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

SCREENSHOTS = REPOSITORY / "tests" / "browser" / "screenshots"
Theme: TypeAlias = Literal["light", "dark"]
_AXE = REPOSITORY / "server" / "pages" / "node_modules" / "axe-core" / "axe.min.js"
_AXE_RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
_PROGRAMS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
# As root there is no sandbox; the rest keeps the browser from talking to anybody but the server.
_ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--force-color-profile=srgb",
]


def chromium() -> str | None:
    """The machine's Chromium; None where there is none."""
    return next((found for name in _PROGRAMS if (found := shutil.which(name))), None)


@contextmanager
def running_browser(program: str) -> Generator[Browser]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=_ARGUMENTS)
        try:
            yield browser
        finally:
            browser.close()


@dataclass(slots=True)
class Visit:
    """A person's browser, signed in. What the console complained of, and what went to another host, is kept."""

    page: Page
    server: Server
    faults: list[str] = field(default_factory=list[str])

    def go(self, path: str) -> None:
        self.page.goto(self.server.url + path)

    def shoot(self, name: str) -> None:
        """Keeps a picture for a person to look at."""
        SCREENSHOTS.mkdir(parents=True, exist_ok=True)
        self.page.screenshot(path=SCREENSHOTS / f"{name}.png", full_page=True, caret="initial")

    def check_access(self) -> None:
        """Fails with what axe finds wrong for people who do not see, or see badly."""
        if self.page.evaluate("typeof axe") == "undefined":
            # The pages to come bring it along: it is half a megabyte.
            self.page.context.add_init_script(path=_AXE)
            self.page.evaluate(_AXE.read_text(encoding="utf-8"))
        # Only what is wrong is asked for, and nothing is fetched for it.
        options = {"runOnly": _AXE_RULES, "resultTypes": ["violations"], "preload": False}
        found: list[dict[str, Any]] = self.page.evaluate(
            "async options => (await axe.run(document, options)).violations.map(one => ({id: one.id,"
            " help: one.help, nodes: one.nodes.slice(0, 3).map(node => node.html.slice(0, 200) + ' ' +"
            " (node.any[0]?.message ?? node.failureSummary))}))",
            options,
        )
        assert found == [], "\n".join(f"{one['id']}: {one['help']}\n  " + "\n  ".join(one["nodes"]) for one in found)

    def no_faults(self) -> None:
        assert self.faults == []


@contextmanager
def visiting(
    browser: Browser, server: Server, *, theme: Theme = "light", width: int = 1360, height: int = 900
) -> Generator[Visit]:
    """Signs in by a one-time link, as a person does."""
    context = browser.new_context(
        viewport={"width": width, "height": height},
        color_scheme=theme,
        locale="en-GB",
        timezone_id="Europe/Berlin",
        accept_downloads=True,
    )
    context.set_default_timeout(20_000)
    page = context.new_page()
    visit = Visit(page, server)
    page.on("console", lambda message: _note(visit, message.type, f"{message.text} {message.location['url']}"))
    page.on("pageerror", lambda error: visit.faults.append(f"error: {error}"))
    page.on("request", lambda request: _note_foreign(visit, request.url))
    try:
        page.goto(server.http.post("/login-links").json()["url"])
        yield visit
    finally:
        context.close()


def _note(visit: Visit, kind: str, text: str) -> None:
    if kind in ("error", "warning"):
        visit.faults.append(f"{kind}: {text}")


def _note_foreign(visit: Visit, url: str) -> None:
    if not url.startswith((visit.server.url + "/", "data:", "blob:")):
        visit.faults.append(f"request to another host: {re.sub(r'[?].*', '', url)}")
