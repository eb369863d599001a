"""Each page on real data, in both themes and on a phone: it shows what is there, complains of nothing, and is usable
by people who do not see, or see badly. The pictures in tests/browser/screenshots are for a person to look at."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from tests.support.browser import Theme, Visit, visiting
from tests.support.server import Server
from tests.support.wire import Job

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

Story = dict[str, Job]

PLACES = {
    "invocations": ("/", "table.invocations tbody tr >> nth=20"),
    "nothing fits": ("/?text=nothing-is-called-this", "text=No invocation fits."),
    "succeeded": ("/invocations/{everything}", "section[aria-label='Materialization of shop/orders'] svg"),
    "checks": ("/invocations/{everything}?tab=checks", "section[aria-label='Check no_nulls']"),
    "messages": ("/invocations/{everything}?tab=messages", "text=just text"),
    "context": ("/invocations/{everything}?tab=context", "text=api_key"),
    "failed": ("/invocations/{retried}?tab=exception", "text=ConnectionRefusedError"),
    "incomplete": ("/invocations/{incomplete}", "text=was not materialized"),
    "rejected": ("/invocations/{rejected}", "ul.rejected >> text=report_nonsense"),
    "cancelled": ("/invocations/{cancelled}?tab=history", "ol.history li >> nth=2"),
    "lost": ("/invocations/{lost}?tab=logs", ".verdict.lost >> text=lease"),
    "running": ("/invocations/{running}?tab=logs", "text=second line"),
    "waiting": ("/invocations/{waiting}", "text=Waiting for the external process"),
    "queued": ("/invocations/{queued}", ".verdict .badge:has-text('queued')"),
    "on its way": ("/invocations/{on its way}", "[aria-label^='The platform: submitted']"),
    "judged green": ("/invocations/{judged green}", ".verdict .badge.judged:has-text('succeeded · by exit code')"),
    "judged red": ("/invocations/{judged red}", ".verdict-words >> text=DeadlineExceeded"),
    "killed": ("/invocations/{killed}?tab=exception", "text=the client closed by itself because of SIGTERM"),
    "supervised": ("/invocations/{supervised}?tab=logs", ".log-text:has-text('the process ended: failed')"),
    "started again": (
        "/invocations/{started again}",
        "section[aria-label='Replaced materialization of platform/again']",
    ),
    "checks of attempts": ("/invocations/{started again}?tab=checks", "section[aria-label='Replaced check fresh']"),
    "history of attempts": ("/invocations/{started again}?tab=history", "text=pod-c is attempt 1"),
    "queued again": ("/invocations/{queued again}", "text=Attempt 1: queued"),
    "refused": ("/invocations/{refused}?tab=history", "text=a request was refused: malformed (400)"),
    "pool": ("/invocations/{pool}", ".notes >> text=SIGTERM ended producer"),
    "many producers": ("/invocations/{many producers}?tab=logs", "text=rank 39 works"),
    "observed": (
        "/invocations/{observed}",
        "section[aria-label='Observation #3 of shop/seen'] >> text=source=warehouse",
    ),
    "red check": ("/invocations/{red check}", "text=a check failed"),
    "not there": ("/invocations/inv_01900000-0000-7000-8000-000000000000", "text=There is no such invocation."),
    "assets": ("/assets", "text=shop/daily"),
    "numbers": ("/assets/shop%2Fdaily", "section[aria-label='rows over time'] canvas"),
    "check strip": ("/assets/shop%2Fdaily?tab=checks", ".strip a >> nth=47"),
    "materializations": ("/assets/shop%2Fdaily?tab=materializations", "text=Partition 2026-01-24"),
    "observations": ("/assets/shop%2Fseen?tab=observations", "text=Partition 2026-01-30"),
    "schema": ("/assets/shop%2Fdaily?tab=schema", "text=int → string"),
    "comparison": ("/compare?id={failed}&id={everything}", "text=Log lines new or gone"),
    "nothing compared": ("/compare", "text=Choose two or more invocations."),
    "connect": ("/connect", "text=pip install standpipe"),
}


# Of these a phone gets another layout; of all others the same as a wide screen, only narrower.
NARROW = 720
LAID_OUT_ANEW = {"invocations", "running", "started again", "many producers", "assets", "check strip", "comparison"}


def _address(place: str, story: Story) -> str:
    return re.sub(r"\{([^}]+)\}", lambda found: story[found[1]].id, PLACES[place][0])


def _no_wider_than_its_screen(page: Page) -> bool:
    return page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")


@dataclass(frozen=True, slots=True)
class Look:
    """Somebody before a screen, on one of the databases: the pages ask for the same of both."""

    theme: Theme
    width: int
    story: str


LOOKS = {
    "light": Look("light", 1360, "story"),
    "dark-postgresql": Look("dark", 1360, "postgres_story"),
    "phone": Look("light", 390, "story"),
}


@pytest.fixture(scope="module", params=LOOKS.values(), ids=list(LOOKS))
def looked_at(browser: Browser, request: pytest.FixtureRequest) -> Iterator[tuple[Look, Visit, Story]]:
    look: Look = request.param
    story: Story = request.getfixturevalue(look.story)
    server: Server = next(iter(story.values())).server
    with visiting(browser, server, theme=look.theme, width=look.width) as visit:
        yield look, visit, story


@pytest.mark.parametrize("place", PLACES)
def test_a_page_shows_what_is_there_and_nothing_goes_wrong(looked_at: tuple[Look, Visit, Story], place: str) -> None:
    look, visit, story = looked_at
    # What the page before still asks for is answered before this one's faults are counted.
    visit.page.goto("about:blank")
    visit.faults.clear()
    visit.go(_address(place, story))
    visit.page.wait_for_selector(PLACES[place][1])
    visit.shoot(f"{place} {look.theme} {look.width}".replace(" ", "-"))
    if look.width > NARROW or place in LAID_OUT_ANEW:
        visit.check_access()
    assert _no_wider_than_its_screen(visit.page)
    assert visit.page.title() != "owned"
    # That there is no such invocation is told by a 404, of which browsers complain by themselves.
    if place != "not there":
        visit.no_faults()


def test_text_from_outside_stays_text(visit: Visit, story: Story) -> None:
    for place in ("succeeded", "checks", "messages", "context", "failed", "invocations"):
        visit.go(_address(place, story))
        visit.page.wait_for_selector(PLACES[place][1])
        page = visit.page
        assert page.locator("#app img, #app script, #app iframe, #app form[action], #app [onclick]").count() == 0
        links: list[str] = page.evaluate(
            "[...document.querySelectorAll('#app a[href]')].map(link => link.getAttribute('href'))"
        )
        assert len(links) > 5
        assert [link for link in links if not re.match(r"(?:https?|mailto):|/|#main$", link)] == []
    assert "owned" not in visit.page.title()


def test_markdown_is_drawn_and_its_foreign_parts_are_not(visit: Visit, story: Story) -> None:
    visit.go(_address("succeeded", story))
    drawn = visit.page.locator(".markdown")
    drawn.locator("h1", has_text="A heading").wait_for()
    assert drawn.locator("td", has_text="late").count() == 1
    assert drawn.locator("a", has_text="good").get_attribute("rel") == "noopener noreferrer nofollow"
    for name in ("click", "data"):
        assert drawn.locator(f"a:text-is('{name}')[href]").count() == 0


def test_numbers_keep_all_their_digits_and_direction_marks_are_shown(visit: Visit, story: Story) -> None:
    visit.go(_address("succeeded", story))
    body = visit.page.locator("dl.metadata").first
    body.wait_for()
    text = body.inner_text()
    assert "123 456 789 012 345 678 901 234 567 890" in text
    assert "U+202E" in text
    assert "\u202e" not in text


def test_secrets_of_the_context_are_shown_only_when_asked_for(visit: Visit, story: Story) -> None:
    visit.go(_address("context", story))
    extras = visit.page.locator("section[aria-label='Extras']")
    extras.wait_for()
    assert "do-not-show-me" not in visit.page.content()
    extras.locator("button", has_text="Show").first.click()
    extras.locator("text=do-not-show-me").wait_for()


def test_a_plots_point_leads_to_its_invocation(visit: Visit, story: Story) -> None:
    assert story
    visit.go("/assets/shop%2Fdaily")
    plot = visit.page.locator("section[aria-label='rows over time']")
    chart = plot.locator(".u-over")
    chart.wait_for()
    box = chart.bounding_box()
    assert box
    visit.page.mouse.move(box["x"] + box["width"] - 2, box["y"] + box["height"] / 2)
    visit.page.mouse.click(box["x"] + box["width"] - 2, box["y"] + box["height"] / 2)
    visit.page.wait_for_url("**/invocations/inv_*")


def test_what_changed_since_the_last_good_one_is_one_click_away(visit: Visit, story: Story) -> None:
    visit.go(_address("failed", story))
    visit.page.click("text=What changed since the last good one")
    visit.page.wait_for_url("**/compare?*")
    visit.page.wait_for_selector("h1:text-is('Compare')")
