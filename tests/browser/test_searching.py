"""People looking for something: what a search found stays, and the words in a box are the ones that were typed."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from tests.support.browser import Visit
from tests.support.server import Server
from tests.support.waiting import wait_until
from tests.support.wire import closed, log, opened, register

if TYPE_CHECKING:
    from playwright.sync_api import Route

# Milliseconds by which the page's own clock is put forward, instead of waiting for them.
_NEXT_LOOK = 2_500


def test_what_a_search_finds_further_back_stays_when_the_list_is_asked_again(visit: Visit, site: Server) -> None:
    far, near = (register(site, context={"job_name": "far back"}).id for _ in range(2))
    cursor = site.http.get("/invocations", params={"text": "far back", "limit": 1}).json()["next_cursor"]
    # A history so long that a search stops on its way takes minutes to write, so the first page is played.
    first: list[object] = []
    answered: list[str] = []

    def play(route: Route) -> None:
        if "cursor=" in route.request.url:
            return route.fallback()
        route.fulfill(json={"items": first, "next_cursor": cursor, "searched_to": "2026-01-01T00:00:00.000Z"})
        return answered.append(route.request.url)

    page = visit.page
    page.route(re.compile(r"/api/v1/invocations\?.*text=far"), play)
    page.clock.install()
    visit.go("/?text=far+back")
    page.wait_for_selector("text=Nothing was found so far.")
    page.click("text=Search further back")
    page.wait_for_selector(f"tbody tr a[href='/invocations/{far}']")
    for _ in range(2):
        # By the time it is asked for again, the answer before is shown.
        asked = len(answered)
        page.clock.fast_forward(_NEXT_LOOK)
        wait_until(lambda asked=asked: page.title() and len(answered) > asked, what="the list to be asked for again")
    assert page.locator("tbody tr").count() == 1
    first.append(site.http.get(f"/invocations/{near}").json())
    page.clock.fast_forward(_NEXT_LOOK)
    page.wait_for_selector(f"tbody tr a[href='/invocations/{near}']")
    assert page.locator("tbody tr").count() == 2


def test_words_with_a_pause_between_them_stay_as_they_were_typed(visit: Visit, site: Server) -> None:
    job = register(site, context={"job_name": "words"})
    job.append([opened(), log("connection  refused"), log("connection refused"), log("connected"), closed()])
    page = visit.page
    for path, label, pause in (
        ("/", "Search invocations", "**/?text=connection"),
        (f"/invocations/{job.id}?tab=logs", "Search the log", "**q=connection+"),
    ):
        visit.go(path)
        box = page.get_by_label(label)
        box.press_sequentially("connection ")
        page.wait_for_url(pause)
        page.clock.install()
        page.clock.run_for(500)
        box.press_sequentially("refused")
        assert box.input_value() == "connection refused"
        page.clock.run_for(500)
        page.wait_for_url("**=connection+refused")
    page.wait_for_selector("text=1 line fit")
    box = page.get_by_label("Search the log")
    box.fill("connection  ")
    page.clock.run_for(500)
    page.wait_for_selector(".log-text:text-is('connection  refused')")
