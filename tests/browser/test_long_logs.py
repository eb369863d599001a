"""A log that is longer than a page holds: its parts, the ways between them, and what reaches all of it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from tests.support.browser import Visit, visiting
from tests.support.server import Server
from tests.support.story import many_lines
from tests.support.wire import Job, closed, log, opened, register

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

LINES = 12_000
HELD = 5_000
TALL = 100
PARTS = "nav[aria-label='Parts of the log']"


@pytest.fixture(scope="module")
def long_log(site: Server) -> Job:
    return many_lines(site, lines=LINES)


@pytest.fixture
def small(browser: Browser, site: Server) -> Iterator[Visit]:
    """A browser that was told to hold few rows."""
    with visiting(browser, site) as person:
        person.page.evaluate(f"localStorage.setItem('standpipe-log-rows', '{HELD}')")
        yield person
        person.no_faults()


def turn(page: Page, to: str, shows: str) -> None:
    page.locator(f"{PARTS} button:text-is('{to}')").click()
    page.wait_for_selector(f".log-text:has-text('{shows}')")


def test_a_log_that_is_not_shown_whole_says_so_and_is_paged_through(small: Visit, long_log: Job) -> None:
    page = small.page
    small.go(f"/invocations/{long_log.id}?tab=logs")
    parts = page.locator(PARTS)
    parts.locator("text=too long to be shown at once").wait_for()
    page.click("button:has-text('To the end')")
    page.wait_for_selector(".log-text:has-text('line 11999:')")
    small.check_access()
    small.shoot("long-log-in-parts")
    for begin in (4502, 2002):
        turn(page, "Earlier", f"line {begin - 1}:")
        assert f"after={begin}" in page.url
    page.wait_for_selector(".log-foot:has-text('2,500 lines')")
    turn(page, "First lines", "line 0:")
    assert parts.locator("button:text-is('Earlier')").is_disabled()
    turn(page, "Later", "line 2500:")
    turn(page, "Last lines", "line 11999:")
    assert parts.locator("button:text-is('Later')").is_disabled()


def test_what_is_looked_for_and_a_link_to_a_line_are_found_in_any_part(small: Visit, long_log: Job) -> None:
    page = small.page
    small.go(f"/invocations/{long_log.id}?tab=logs&line=3002")
    page.wait_for_selector(".log-row.chosen .log-text:has-text('line 3000:')")
    page.get_by_label("Search the log").fill("needle")
    page.wait_for_selector("text=12 lines fit")


def test_all_of_a_long_log_is_downloaded(small: Visit, long_log: Job) -> None:
    small.go(f"/invocations/{long_log.id}?tab=logs")
    small.page.wait_for_selector("text=too long to be shown at once")
    with small.page.expect_download() as download:
        small.page.click("button:has-text('Download')")
    lines = download.value.path().read_text(encoding="utf-8").splitlines()
    assert len(lines) == LINES
    assert "line 0: " in lines[0]
    assert "line 11999:" in lines[-1]


def test_the_end_of_a_process_is_told_in_a_long_log_that_is_downloaded(small: Visit, site: Server) -> None:
    job = many_lines(site, lines=HELD + 1)
    supervisor = {"method": "opened", "params": {"extras": {"role": "supervisor"}}}
    end = {"method": "report_process_end", "params": {"outcome": "failed", "exit_code": 3}}
    assert job.append([supervisor, end], producer="exec", first_seq=1).status_code == 200
    small.go(f"/invocations/{job.id}?tab=logs")
    small.page.wait_for_selector("text=too long to be shown at once")
    with small.page.expect_download() as download:
        small.page.click("button:has-text('Download')")
    text = download.value.path().read_text(encoding="utf-8")
    assert text.splitlines()[-1].endswith("\tthe process ended: failed, exit code 3")


@pytest.fixture(scope="module")
def tall_log(site: Server) -> Job:
    """Fewer events than a page holds rows, and many more rows."""
    job = register(site, context={"job_name": "tall"})
    chunks = [[f"row {number}" for number in range(start, start + TALL)] for start in range(0, LINES, TALL)]
    output = [{"stream": "stdout", "text": "\n".join(rows) + "\n", "extras": {}} for rows in chunks]
    job.append([opened(), *({"method": "log_external_stream", "params": params} for params in output), closed()])
    job.finish(exit_code=0)
    return job


def test_a_log_of_few_events_with_many_rows_is_paged_through_from_its_first_row(small: Visit, tall_log: Job) -> None:
    page = small.page
    small.go(f"/invocations/{tall_log.id}?tab=logs")
    turn(page, "First lines", "row 0")
    page.wait_for_selector(".log-foot:has-text('2,500 lines')")
    for begin in (2500, 5000, 7500):
        turn(page, "Later", f"row {begin}")
    turn(page, "Earlier", "row 5000")
    turn(page, "Last lines", "row 11999")


def test_a_link_leads_to_a_line_that_many_rows_come_before_and_after(small: Visit, tall_log: Job) -> None:
    for position in (40, 60):
        small.go(f"/invocations/{tall_log.id}?tab=logs&line={position}")
        small.page.wait_for_selector(f".log-row.chosen .log-text:text-is('row {(position - 2) * TALL}')")


def test_a_message_of_more_rows_than_a_page_holds_is_shown_from_its_first(small: Visit, site: Server) -> None:
    job = register(site, context={"job_name": "taller"})
    job.append([opened(), log("\n".join(f"row {number}" for number in range(LINES))), log("the next"), closed()])
    job.finish(exit_code=0)
    small.go(f"/invocations/{job.id}?tab=logs&after=0")
    small.page.wait_for_selector(".log-text:text-is('row 0')")
    turn(small.page, "Later", "the next")
