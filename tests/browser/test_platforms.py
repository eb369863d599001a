"""What platforms do to work, in a browser: it waits, is judged by its launcher, is started again, is stopped."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING

import pytest

from tests.support.browser import Visit, visiting
from tests.support.platform_story import launch, number, opening, process_end, send
from tests.support.server import Server
from tests.support.waiting import wait_until
from tests.support.wire import Job, check, closed, materialization, opened, register

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Locator

Story = dict[str, Job]
# Milliseconds by which the page's own clock is put forward, instead of waiting for them.
_NEXT_LOOK = 6_000


def row(visit: Visit, job: Job) -> Locator:
    return visit.page.locator(f"tbody tr:has(a[href='/invocations/{job.id}'])")


def fact(visit: Visit, name: str) -> Locator:
    return visit.page.locator(f".facts > div:has(dt:text-is('{name}')) dd")


def red(visit: Visit) -> list[str]:
    """The texts and marks of the page that are drawn red, but for the button that deletes and the legend."""
    return visit.page.evaluate(
        """() => {
          const probe = document.body.appendChild(document.createElement("i"));
          probe.style.color = "var(--red)";
          const red = getComputedStyle(probe).color;
          probe.remove();
          return [...document.querySelectorAll("main *")]
            .filter(one => !one.closest(".actions, .legend") && (one.textContent.trim() || one.matches(".mark, line")))
            .filter(one => [getComputedStyle(one).color, getComputedStyle(one).backgroundColor,
              getComputedStyle(one).stroke].includes(red) && !(one.children.length && one.matches("svg")))
            .map(one => one.outerHTML.slice(0, 200));
        }"""
    )


def test_a_queued_job_looks_queued_in_the_list_and_queue_time_stands_apart(visit: Visit, story: Story) -> None:
    visit.go("/?text=platform%2F")
    waits = row(visit, story["queued"])
    waits.wait_for()
    assert waits.locator(".badge").inner_text().strip() == "queued"
    assert re.search(r"queued \d+ min \d+ s", waits.locator(".took").inner_text())
    runs = row(visit, story["on its way"]).locator(".took").inner_text()
    assert "queued 2 min 1 s" in runs
    assert re.match(r"\d+ min \d+ s\n", runs)
    assert row(visit, story["queued again"]).locator(".badge").inner_text().strip() == "queued"


def test_the_head_tells_where_it_is_and_links_only_what_a_browser_may_follow(visit: Visit, story: Story) -> None:
    visit.go(f"/invocations/{story['on its way'].id}")
    fact(visit, "Running for").wait_for()
    assert fact(visit, "Queued").inner_text() == "2 min 1 s"
    assert fact(visit, "Starting").inner_text() == "19 s"
    link = fact(visit, "Platform job").locator("a")
    assert link.get_attribute("href") == "https://cluster.example.com/jobs/4711"
    assert link.get_attribute("rel") == "noopener noreferrer nofollow"
    visit.go(f"/invocations/{story['queued'].id}")
    fact(visit, "Queued for").wait_for()
    assert fact(visit, "Platform address").inner_text().startswith("javascript:")
    assert visit.page.locator(".facts a[href*='javascript']").count() == 0
    visit.page.wait_for_selector("text=No process has opened yet.")


@pytest.mark.parametrize("where", ["site", "postgres_site"])
def test_a_launchers_word_is_in_the_open_page_within_a_second(
    browser: Browser, where: str, request: pytest.FixtureRequest
) -> None:
    server: Server = request.getfixturevalue(where)
    with visiting(browser, server) as visit:
        job = register(server, context={"job_name": "is launched"}, launcher="slurm")
        visit.go(f"/invocations/{job.id}?tab=history")
        visit.page.wait_for_selector(".verdict .badge:has-text('waiting')")
        # The page itself says when it changed, so that the test's own polling is not measured.
        visit.page.evaluate(
            "() => new MutationObserver(() => { window.seen ??= {};"
            " window.seen[document.querySelector('.verdict .badge').textContent] ??= Date.now(); })"
            ".observe(document.querySelector('.verdict'), {childList: true, subtree: true, characterData: true})"
        )
        took: list[float] = []
        for state in ("submitted", "queued", "starting"):
            said = time.time() * 1000
            launch(job, state, platform="slurm", job_id="1")
            seen = wait_until(
                lambda state=state: visit.page.evaluate("text => (window.seen ?? {})[text]", state),
                what=f"the page to say {state}",
            )
            took.append(seen - said)
        assert sorted(took)[1] < 1000, took
        visit.page.wait_for_selector("ol.history >> text=starting on slurm, job 1")
        visit.page.wait_for_selector("[aria-label^='The platform: submitted']")
        launch(job, "running")
        visit.page.wait_for_selector(".verdict .badge:has-text('not opened')")
        job.append([opened()])
        visit.page.wait_for_selector(".verdict .badge:has-text('running')")
        visit.no_faults()


def test_a_green_that_the_launcher_judged_is_told_from_a_reported_one_without_colour(
    visit: Visit, story: Story
) -> None:
    visit.go("/?verdict=succeeded")
    judged, reported = (row(visit, story[name]).locator(".badge") for name in ("judged green", "started again"))
    judged.wait_for()
    assert judged.text_content() == "succeeded · by exit code"
    assert reported.text_content() == "succeeded"
    assert "launcher's word" in (judged.get_attribute("title") or "")
    shape = "badge => { const style = getComputedStyle(badge); return [style.boxShadow, style.borderRadius]; }"
    assert judged.evaluate(shape)[0] != reported.evaluate(shape)[0] == "none"
    assert judged.evaluate(shape)[1] != reported.evaluate(shape)[1]
    visit.go(f"/invocations/{story['judged green'].id}")
    visit.page.wait_for_selector("text=No process reported, and none had to")
    visit.go(f"/compare?id={story['judged green'].id}&id={story['judged red'].id}")
    visit.page.wait_for_selector(".badge.judged:has-text('succeeded · by exit code')")
    visit.page.wait_for_selector(".badge.judged:has-text('failed · by launcher')")


def test_superseded_producers_are_visibly_so_and_nothing_of_them_is_red(visit: Visit, story: Story) -> None:
    page, job = visit.page, story["started again"]
    visit.go(f"/invocations/{job.id}")
    page.wait_for_selector("ol.attempts li.superseded:has-text('Attempt 0')")
    page.wait_for_selector("ol.attempts li:has-text('Attempt 1'):has-text('pod-c')")
    assert page.locator(".producers tr.superseded").count() == 3
    page.wait_for_selector(".producers tr.superseded:has-text('old-1'):has-text('0 (pod-b)'):has-text('superseded')")
    timeline = page.locator("section[aria-label='Timeline']")
    timeline.locator(".attempt-head:text-is('Attempt 0')").wait_for()
    timeline.locator("svg[aria-label^='Producer old-1, superseded, of attempt 0']").wait_for()
    timeline.locator("svg[aria-label^='Producer new-0a, superseded']").wait_for()
    assert timeline.locator(".lane-marks .mark.stale").count() > 0
    page.wait_for_selector("section[aria-label='Materialization of platform/again'] >> text=takes the place of #3")
    for tab in ("Results", "Checks", "Logs", "Exception", "History"):
        page.click(f"button[role=tab]:has-text('{tab}')")
        page.wait_for_selector("[role=tabpanel] > *")
        assert red(visit) == [], tab
    page.click("button[role=tab]:has-text('Checks')")
    assert page.locator("section[aria-label='Check fresh'] .badge").inner_text().strip() == "passed"
    page.wait_for_selector("section[aria-label='Replaced check fresh'] >> text=replaced by a newer attempt")
    page.click("button[role=tab]:has-text('Exception')")
    page.wait_for_selector(".exception.superseded >> text=of an older attempt")


def test_an_exception_of_the_attempt_that_counts_is_red_all_the_same(visit: Visit, site: Server) -> None:
    job = register(site, context={"job_name": "broke twice"})
    send(job, "one", opening(attempt=[0]))
    send(job, "two", opening(attempt=[1]), check("broke/twice", "fresh", passed=False))
    send(job, "two", closed(exception={"name": "OSError", "message": "again"}), first_seq=3)
    job.finish(exit_code=1)
    visit.go(f"/invocations/{job.id}?tab=exception")
    visit.page.wait_for_selector(".exception:not(.superseded) >> text=again")
    assert any("count alarming" in text for text in red(visit))


def test_an_attempt_that_begins_is_seen_without_a_reload(visit: Visit, site: Server) -> None:
    page, job = visit.page, register(site, context={"job_name": "begins anew"})
    send(job, "first", opening(rank=0), check("begins/anew", "fresh", passed=False))
    visit.go(f"/invocations/{job.id}?tab=checks")
    page.wait_for_selector("section[aria-label='Check fresh'] .badge.failed")
    assert page.locator("ol.attempts").count() == 0
    number(job, 1)
    page.wait_for_selector("ol.attempts li:has-text('Attempt 1')")
    page.wait_for_selector(".producers tr.superseded:has-text('first')")
    page.wait_for_selector("section[aria-label='Check fresh'] >> text=of an older attempt")
    send(job, "second", opening(rank=0), check("begins/anew", "fresh"), closed())
    page.wait_for_selector("section[aria-label='Check fresh'] .badge.succeeded")
    page.wait_for_selector("section[aria-label='Replaced check fresh']")
    page.click("button[role=tab]:has-text('History')")
    page.wait_for_selector("ol.history >> text=attempt 1 begins")
    page.wait_for_selector("ol.history >> text=1 process superseded by a newer attempt: first")
    job.finish(exit_code=0)
    page.wait_for_selector(".verdict .badge:has-text('succeeded')")
    page.wait_for_selector(".notes >> text=1 process belongs to an attempt that a newer one replaced")


def test_the_end_is_told_in_the_platforms_words_with_what_it_explains(visit: Visit, story: Story) -> None:
    visit.go(f"/invocations/{story['killed'].id}")
    page = visit.page
    page.wait_for_selector(".verdict-words >> text=It was killed for using too much memory")
    page.wait_for_selector(
        ".ends >> text=signal SIGKILL, exit code 137 of the program, at most 512 MiB in use, node n7"
    )
    page.click("summary:has-text('The reason, and what it explains')")
    page.wait_for_selector(".explained >> text=SIGTERM came")
    # What the platform explains is no alarm of its own.
    assert page.locator("button[role=tab]:has-text('Exception') .count.alarming").count() == 0


def test_a_supervisors_word_is_in_the_log_the_timeline_and_the_receipt_as_it_comes(visit: Visit, site: Server) -> None:
    page, job = visit.page, register(site, context={"job_name": "watched"})
    send(job, "exec", opening(role="supervisor"))
    send(job, "worker", opening(parent="exec"), materialization("watched/over"), closed())
    visit.go(f"/invocations/{job.id}?tab=logs")
    timeline = page.locator("section[aria-label='Timeline']")
    timeline.locator(".lane:has-text('exec') small:text-is('supervisor')").wait_for()
    page.wait_for_selector(".log .line:text-is('live')")
    cause = {"code": "out-of-memory", "detail": "oom_kill 1"}
    send(job, "exec", process_end(outcome="failed", exit_code=137, cause=cause), first_seq=2)
    page.wait_for_selector(".log-text:has-text('the process ended: failed, exit code 137, out-of-memory')")
    page.wait_for_selector(".log-text:text-is('oom_kill 1')")
    timeline.locator("svg[aria-label^='Producer exec:'][aria-label*='closed after']").wait_for()
    assert timeline.locator(".mark.bad[title*='its process ended: failed, exit code 137']").count() == 1
    page.wait_for_selector(".producers tr:has-text('supervisor') >> text=its process ended: failed, exit code 137")
    job.finish()
    page.wait_for_selector(".verdict-words >> text=SIGKILL")
    page.wait_for_selector(".ends >> text=Supervisor exec")


def test_an_end_is_said_to_be_unknown_only_where_nothing_is_known_of_it(visit: Visit, site: Server) -> None:
    job = register(site)
    send(job, "silent", opening(role="supervisor"), process_end())
    send(job, "printed", opening(role="supervisor"), process_end(reason="boom"))
    visit.go(f"/invocations/{job.id}")
    visit.page.wait_for_selector(".producers tr:has-text('silent') small:text-is('its process ended: not said how')")
    visit.page.wait_for_selector(".producers tr:has-text('printed') small:text-is('its process ended')")


def test_a_worker_that_its_pool_ended_is_a_note_and_not_red(visit: Visit, story: Story) -> None:
    visit.go(f"/invocations/{story['pool'].id}")
    visit.page.wait_for_selector(".notes >> text=SIGTERM ended producer")
    visit.page.wait_for_selector(".lane-marks .mark.stale")
    assert red(visit) == []


def test_retries_are_called_retries(visit: Visit, story: Story) -> None:
    visit.go(f"/invocations/{story['retried'].id}")
    retries = visit.page.locator("nav[aria-label='Retries']")
    retries.locator("a[aria-current='page']:has-text('Retry 1')").wait_for()
    retries.locator("a:has-text('First')").wait_for()
    assert "Attempt" not in visit.page.locator("main").inner_text()


def test_a_refused_request_is_in_the_history_of_an_open_page_and_its_text_stays_text(
    visit: Visit, site: Server
) -> None:
    page, job = visit.page, register(site, context={"job_name": "curl"})
    job.append([opened()])
    page.clock.install()
    visit.go(f"/invocations/{job.id}?tab=history")
    page.wait_for_selector("ol.history li >> nth=1")
    text = '{"method": "log" <img src=x onerror=document.title=\'owned\'>'
    assert job.append(text).status_code == 400
    page.clock.fast_forward(_NEXT_LOOK)
    entry = page.locator("ol.history li", has_text="a request was refused: malformed (400)")
    entry.wait_for()
    assert "<img src=x onerror=" in entry.inner_text()
    job.append([closed()])
    job.finish(exit_code=0)
    page.clock.fast_forward(_NEXT_LOOK)
    page.wait_for_selector(".verdict .badge:has-text('incomplete')")
    assert page.title() != "owned"
