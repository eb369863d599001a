"""What a page shows is deleted: the page asks first, stops its own reading of it, and leads back to the list."""

from __future__ import annotations

import re
from contextlib import suppress
from typing import TYPE_CHECKING

from tests.support.browser import Visit
from tests.support.server import Server
from tests.support.story import running
from tests.support.waiting import wait_until
from tests.support.wire import Job, log, register

if TYPE_CHECKING:
    from playwright.sync_api import Route


def _delete(visit: Visit) -> None:
    visit.page.click("button:text-is('Delete')")
    visit.page.click("dialog button:text-is('Delete for ever')")


def _late_reads(visit: Visit, pattern: str | re.Pattern[str], act: str) -> list[Route]:
    """What the page reads at `pattern` reaches the server after the request with the method `act`, and is answered
    before it."""
    held: list[Route] = []
    done: list[str] = []

    def handle(route: Route) -> None:
        if route.request.method == act:
            answer = route.fetch(max_redirects=0)
            done.append(route.request.url)
            for late in held:
                # What the page has given up by then takes no answer.
                with suppress(Exception):
                    late.fulfill(response=late.fetch())
            route.fulfill(response=answer)
        elif done:
            route.continue_()
        else:
            held.append(route)

    visit.page.route(pattern, handle)
    return held


def test_deleting_asks_first_and_leads_back_to_the_list(visit: Visit, site: Server) -> None:
    job = register(site, context={"job_name": "to be deleted"})
    visit.go(f"/invocations/{job.id}")
    _delete(visit)
    visit.page.wait_for_selector("h1:text-is('Invocations')")
    assert site.http.get(job.path).status_code == 404


def test_what_a_page_still_reads_of_an_invocation_is_given_up_before_it_is_deleted(visit: Visit, site: Server) -> None:
    job = running(site)
    visit.go(f"/invocations/{job.id}?tab=logs")
    visit.page.wait_for_selector(".log .line:text-is('live')")
    held = _late_reads(visit, f"**/invocations/{job.id}**", "DELETE")
    wait_until(lambda: visit.page.title() and held, what="a request of the page that is under way")
    _delete(visit)
    visit.page.wait_for_selector("h1:text-is('Invocations')")
    assert site.http.get(job.path).status_code == 404


def test_a_page_goes_on_reading_what_the_server_did_not_delete(visit: Visit, site: Server) -> None:
    job = running(site)
    visit.go(f"/invocations/{job.id}?tab=logs")
    visit.page.wait_for_selector(".log .line:text-is('live')")
    refusal = {"type": "/problems/overloaded", "title": "Too much waits", "status": 503, "detail": "Not now."}
    visit.page.route(
        f"**/invocations/{job.id}?force=true",
        lambda route: route.fulfill(status=503, json=refusal, content_type="application/problem+json"),
    )
    _delete(visit)
    visit.page.wait_for_selector("dialog [role=alert]:text-is('Not now.')")
    again = Job(site, job.registered, site.client(token=job.registered["token"]))
    again.append([log("after the refusal")], producer="worker", first_seq=4)
    visit.page.wait_for_selector(".log-text:text-is('after the refusal')")
    assert visit.page.locator(".log-text:text-is('second line')").count() == 1
    site.http.post(f"{job.path}/cancel")
    visit.page.wait_for_selector("button:text-is('Cancel asked')")
    # Of the 503 that was played browsers complain by themselves.
    assert len(visit.faults) == 1
    assert "503" in visit.faults.pop()


def test_a_page_reads_nothing_any_more_once_its_session_is_being_ended(visit: Visit, site: Server) -> None:
    job = running(site)
    visit.go(f"/invocations/{job.id}")
    visit.page.wait_for_selector(".verdict .line:text-is('live')")
    held = _late_reads(visit, re.compile("/logout$|/api/v1/"), "POST")
    wait_until(lambda: visit.page.title() and held, what="a request of the page that is under way")
    visit.page.click("button:text-is('Sign out')")
    visit.page.wait_for_selector("h1:text-is('Sign in to Standpipe')")
