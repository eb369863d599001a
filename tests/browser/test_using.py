"""People using the pages: keyboard, filters in the address, live lists and tails, actions, a server that goes away."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.browser import Visit, visiting
from tests.support.server import Server
from tests.support.story import many_lines, running
from tests.support.waiting import wait_until
from tests.support.wire import Job, closed, log, materialization, opened, register

if TYPE_CHECKING:
    from playwright.sync_api import Browser

Story = dict[str, Job]
# Milliseconds by which the page's own clock is put forward, instead of waiting for them.
_NEXT_LOOK = 2_500
_HIDDEN_LONG_ENOUGH = 6_000


@pytest.fixture(scope="module")
def long_log(site: Server) -> Job:
    return many_lines(site)


def test_rows_are_walked_with_keys_and_opened_with_enter(visit: Visit, story: Story) -> None:
    assert story
    visit.go("/")
    page = visit.page
    page.wait_for_selector("tbody tr >> nth=5")
    for key in ("j", "j", "j", "k"):
        page.keyboard.press(key)
    wanted = page.locator(".row-link").nth(1).get_attribute("href")
    page.keyboard.press("Enter")
    page.wait_for_url(f"**{wanted}")


def test_the_search_and_the_filters_stand_in_the_address(visit: Visit, story: Story) -> None:
    assert story
    visit.go("/")
    page = visit.page
    page.wait_for_selector("tbody tr >> nth=5")
    page.keyboard.press("/")
    page.keyboard.type("wide")
    page.wait_for_url("**/?text=wide")
    wait_until(lambda: page.locator("tbody tr").count() == 1, what="the one row that fits")
    page.click("button:text-is('Failed')")
    page.wait_for_selector("text=No invocation fits.")
    page.go_back()
    page.wait_for_selector("tbody tr:has-text('wide/table')")
    visit.go("/?asset_key=shop%2Fdaily&partition_key=2026-01-05")
    page.wait_for_selector("button:has-text('Partition: 2026-01-05')")
    wait_until(lambda: page.locator("tbody tr").count() == 1, what="the one row that fits")
    page.click("button:has-text('Partition: 2026-01-05')")
    page.wait_for_selector("tbody tr >> nth=10")


def test_dragging_over_the_strip_filters_by_time(visit: Visit, story: Story) -> None:
    assert story
    visit.go("/")
    strip = visit.page.locator(".activity svg")
    strip.locator("rect.hit").first.wait_for(state="attached")
    box = strip.bounding_box()
    assert box
    y = box["y"] + box["height"] / 2
    visit.page.mouse.move(box["x"] + 10, y)
    visit.page.mouse.down()
    visit.page.mouse.move(box["x"] + box["width"] / 2, y, steps=4)
    visit.page.mouse.up()
    visit.page.wait_for_url("**/?since=*&until=*")
    visit.page.wait_for_selector("text=No invocation fits.")


def test_the_time_is_filtered_by_with_keys_as_well(visit: Visit, story: Story) -> None:
    assert story
    page = visit.page
    visit.go("/")
    page.wait_for_selector("tbody tr >> nth=5")
    page.get_by_label("Filter by", exact=True).select_option("until")
    page.get_by_label("Filter value").fill("2020-01-01T12:30")
    page.keyboard.press("Enter")
    page.wait_for_selector("text=No invocation fits.")
    # The reader is in Berlin.
    assert "until=2020-01-01T11%3A30%3A00.000Z" in page.url
    page.get_by_label("Remove the filter by time").click()
    page.wait_for_selector("tbody tr >> nth=5")


def test_what_new_invocations_push_off_the_first_page_stays_in_the_list(visit: Visit, site: Server) -> None:
    page = visit.page

    def launch(number: int) -> str:
        return register(site, context={"job_name": "pushes", "partition_key": f"{number:03}"}).id

    for number in range(52):
        launch(number)
    page.clock.install()
    visit.go("/?job_name=pushes")
    page.click("text=Show older ones")
    page.wait_for_selector("tbody tr >> nth=51")
    for number in range(52, 56):
        launch(number)
    page.clock.fast_forward(_NEXT_LOOK)
    page.wait_for_selector("td[data-name=Partition]:text-is('055')")
    assert page.locator("tbody td[data-name=Partition]").all_inner_texts() == [f"{n:03}" for n in reversed(range(56))]


def test_an_invocation_appears_in_the_list_by_itself_and_its_state_follows(visit: Visit, site: Server) -> None:
    visit.page.clock.install()
    visit.go("/?job_name=appears")
    visit.page.wait_for_selector("text=No invocation fits.")
    job = register(site, context={"job_name": "appears", "asset_keys": ["appears"]})
    visit.page.clock.fast_forward(_NEXT_LOOK)
    visit.page.wait_for_selector("tbody tr:has-text('waiting')")
    job.append([opened()])
    visit.page.clock.fast_forward(_NEXT_LOOK)
    visit.page.wait_for_selector("tbody tr:has-text('running')")
    job.append([closed()])
    job.finish(exit_code=0)
    visit.page.clock.fast_forward(_NEXT_LOOK)
    visit.page.wait_for_selector("tbody tr:has-text('succeeded')")


def test_the_worst_of_verdict_and_checks_is_the_badge(visit: Visit, story: Story) -> None:
    visit.go("/?asset_key=shop%2Fstock")
    visit.page.wait_for_selector(f"a[href='/invocations/{story['red check'].id}'] .badge:has-text('check failed')")


@pytest.mark.parametrize("where", ["site", "postgres_site"])
def test_a_report_is_in_the_live_tail_within_three_tenths_of_a_second(
    browser: Browser, where: str, request: pytest.FixtureRequest
) -> None:
    server: Server = request.getfixturevalue(where)
    with visiting(browser, server) as visit:
        job = running(server)
        visit.go(f"/invocations/{job.id}?tab=logs")
        visit.page.wait_for_selector(".log .line:text-is('live')")
        visit.page.wait_for_selector("text=second line")
        # The page itself says when a row came, so that the test's own polling is not measured.
        visit.page.evaluate(
            "() => new MutationObserver(() => { for (const row of document.querySelectorAll('.log-text')) {"
            " window.seen ??= {}; window.seen[row.textContent] ??= Date.now(); } })"
            ".observe(document.querySelector('.log-rows'), {childList: true, subtree: true, characterData: true})"
        )
        took: list[float] = []
        for number in range(10):
            sent = time.time() * 1000
            job.append([log(f"live {number}")], producer="worker", first_seq=4 + number)
            seen = wait_until(_seen(visit, f"live {number}"), what=f"line {number} in the page")
            took.append(seen - sent)
        job.append([closed()], producer="worker", first_seq=14)
        assert sorted(took)[len(took) // 2] < 300, took
        visit.no_faults()


def _seen(visit: Visit, text: str) -> Any:
    return lambda: visit.page.evaluate("text => (window.seen ?? {})[text]", text)


def test_results_and_the_expected_list_fill_up_while_it_runs(visit: Visit, site: Server) -> None:
    job = running(site)
    visit.go(f"/invocations/{job.id}")
    visit.page.wait_for_selector("li:has-text('awaited')")
    job.append([materialization("live/feed", metadata={"rows": {"type": "int", "raw_value": 4711}})])
    visit.page.wait_for_selector("section[aria-label='Materialization of live/feed'] >> text=4,711")
    visit.page.wait_for_selector("li:has-text('reported')")
    job.append([closed()])
    job.finish(exit_code=0)
    visit.page.wait_for_selector(".verdict .badge:has-text('incomplete')")
    visit.page.wait_for_selector("text=never closed")


def test_the_timeline_draws_the_last_heartbeat_and_the_silence_after_it(visit: Visit, site: Server) -> None:
    job = running(site)
    assert job.heartbeat(producer="worker", numbered=3).is_success
    visit.go(f"/invocations/{job.id}")
    timeline = visit.page.locator("section[aria-label='Timeline']")
    timeline.locator(".mark.beat[title*='last heartbeat']").wait_for()
    timeline.locator("svg[aria-label*='worker'][aria-label*='silent for']").wait_for()
    timeline.locator("text=Without another word it is taken for lost at").wait_for()
    timeline.locator("[aria-label^='The invocation:'][aria-label*='opened']").wait_for()
    visit.shoot("timeline-running")
    job.append([closed()], producer="worker", first_seq=4)
    job.finish(exit_code=0)
    timeline.locator("svg[aria-label*='worker'][aria-label*='closed after']").wait_for()
    timeline.locator("[aria-label^='The invocation:'][aria-label*='ended, incomplete']").wait_for()
    assert timeline.locator(".silence, .mark.beat").count() == 1  # In the legend.


def test_pausing_holds_new_lines_back_and_going_on_shows_them(visit: Visit, site: Server) -> None:
    job = running(site)
    visit.go(f"/invocations/{job.id}?tab=logs")
    visit.page.wait_for_selector("text=second line")
    visit.page.click("button:has-text('Pause')")
    job.append([log("while paused")], producer="worker", first_seq=4)
    visit.page.wait_for_selector("button:has-text('1 new')")
    assert visit.page.locator("text=while paused").count() == 0
    visit.page.click("button:has-text('Go on')")
    visit.page.wait_for_selector("text=while paused")


def test_what_a_pause_holds_back_can_be_had_after_the_end_and_a_search_ends_the_pause(
    visit: Visit, site: Server
) -> None:
    job, page = running(site), visit.page
    visit.go(f"/invocations/{job.id}?tab=logs")
    page.wait_for_selector("text=second line")
    page.click("button:has-text('Pause')")
    job.append([log("last words"), closed()], producer="worker", first_seq=4)
    job.finish(exit_code=0)
    page.wait_for_selector(".badge:has-text('incomplete')")
    page.wait_for_selector("button:has-text('1 new')")
    assert page.locator("text=second line").count() == 1
    page.get_by_label("Search the log").fill("words")
    page.wait_for_selector("text=last words")
    page.get_by_label("Search the log").fill("")
    page.wait_for_selector("text=second line")
    page.wait_for_selector("text=last words")


def test_fifty_thousand_lines_are_scrolled_with_few_of_them_in_the_document(visit: Visit, long_log: Job) -> None:
    visit.go(f"/invocations/{long_log.id}?tab=logs")
    page = visit.page
    page.wait_for_selector("text=50,000 lines")
    assert page.locator(".log-row").count() < 150
    page.click("button:has-text('To the end')")
    page.wait_for_selector(".log-text:has-text('line 49999:')")
    assert page.locator(".log-row").count() < 150
    page.locator(".log-box").evaluate("box => { box.scrollTop = box.scrollHeight / 2 }")
    page.wait_for_selector(".log-text:has-text('line 25000:')")
    page.click("button:has-text('Wrap')")
    page.locator(".log-box").evaluate("box => { box.scrollTop = 0 }")
    page.wait_for_selector(".log-text:has-text('line 0:')")
    visit.shoot("long-log-wrapped")


def test_searching_a_log_and_its_levels_is_the_servers_work(visit: Visit, long_log: Job) -> None:
    asked: list[str] = []
    visit.page.on("request", lambda request: asked.append(request.url))
    visit.go(f"/invocations/{long_log.id}?tab=logs")
    page = visit.page
    page.wait_for_selector("text=50,000 lines")
    page.get_by_label("Search the log").fill("NEEDLE in the hay")
    page.wait_for_selector("text=50 lines fit")
    assert any("text=NEEDLE" in url for url in asked)
    page.get_by_label("Search the log").fill("")
    page.get_by_label("Level").select_option("ERROR")
    page.wait_for_selector("text=50 lines fit")
    assert "level=ERROR" in page.url
    page.get_by_label("Level").select_option("")
    page.get_by_label("Source").select_option("streams")
    page.wait_for_selector("text=100 lines fit")
    page.wait_for_selector(".log-text:text-is('100% done')")


def test_a_link_to_a_line_leads_to_it(visit: Visit, long_log: Job) -> None:
    visit.go(f"/invocations/{long_log.id}?line=30002")
    visit.page.wait_for_selector(".log-row.chosen:has-text('line 30000:')")
    visit.page.locator(".log-number", has_text="30003").click()
    visit.page.wait_for_url("**line=30003*")
    visit.page.wait_for_selector(".log-row.chosen:has-text('line 30001:')")


def test_the_lines_that_are_shown_can_be_downloaded(visit: Visit, story: Story) -> None:
    visit.go(f"/invocations/{story['failed'].id}?tab=logs")
    visit.page.wait_for_selector("text=about to fail")
    with visit.page.expect_download() as download:
        visit.page.click("button:has-text('Download')")
    text = download.value.path().read_text(encoding="utf-8")
    assert text.endswith("\tERROR\tabout to fail\n")


def test_cancelling_and_marking_ended_ask_first_and_tell_the_reason(visit: Visit, site: Server) -> None:
    job = running(site)
    page = visit.page
    visit.go(f"/invocations/{job.id}")
    page.click(".actions button:text-is('Cancel')")
    visit.check_access()
    page.keyboard.press("Escape")
    assert job.read()["cancel_requested"] is False
    page.click(".actions button:text-is('Cancel')")
    page.click("dialog button:text-is('Ask it to stop')")
    page.wait_for_selector("button:text-is('Cancel asked')")
    assert job.read()["cancel_requested"] is True
    page.click(".actions button:text-is('Mark ended')")
    page.get_by_label("Reason").fill("the machine burnt down")
    page.click("dialog button:text-is('Mark ended')")
    page.wait_for_selector(".verdict .badge:has-text('cancelled')")
    page.click("button[role=tab]:has-text('History')")
    page.wait_for_selector("ol.history >> text=the machine burnt down")


def test_a_pin_is_kept_with_its_reason_until_it_is_taken_out(visit: Visit, site: Server) -> None:
    job = register(site, context={"job_name": "to be kept"})
    page = visit.page
    visit.go(f"/invocations/{job.id}")
    page.click("button:text-is('Pin')")
    page.get_by_label("Reason").fill("the auditors want it")
    page.click("dialog button:text-is('Pin')")
    page.wait_for_selector("button[aria-pressed='true']:text-is('Pinned')")
    assert job.read()["pinned"] is True
    page.click("button[role=tab]:has-text('History')")
    page.wait_for_selector("ol.history >> text=the auditors want it")
    page.click("button:text-is('Pinned')")
    page.click("dialog button:text-is('Unpin')")
    page.wait_for_selector("button:text-is('Pin')")
    assert job.read()["pinned"] is False


def test_whoever_signed_out_is_asked_to_sign_in_and_the_way_back_shows_nothing(visit: Visit, story: Story) -> None:
    visit.go(f"/invocations/{story['failed'].id}")
    visit.page.wait_for_selector("h1:has-text('shop/orders')")
    visit.page.click("button:text-is('Sign out')")
    visit.page.wait_for_selector("h1:text-is('Sign in to Standpipe')")
    visit.page.go_back()
    visit.page.wait_for_selector("h1:text-is('Sign in to Standpipe')")
    visit.page.goto(visit.server.url)
    visit.page.wait_for_selector("h1:text-is('Sign in to Standpipe')")
    visit.check_access()
    visit.shoot("login")
    # That nobody is signed in is told by 401, of which browsers complain by themselves.
    visit.faults.clear()


def test_the_theme_that_was_chosen_stays(visit: Visit, story: Story) -> None:
    assert story
    visit.go("/")
    visit.page.get_by_label("Dark theme").click()
    visit.page.reload()
    visit.page.get_by_label("Light theme").wait_for()
    assert visit.page.evaluate("getComputedStyle(document.body).colorScheme") == "dark"


def test_a_server_that_goes_away_is_told_and_what_came_meanwhile_is_caught_up(
    browser: Browser, tmp_path_factory: pytest.TempPathFactory
) -> None:
    with Server(tmp_path_factory.mktemp("going-away") / "home").start() as server, visiting(browser, server) as visit:
        job = running(server)
        visit.go(f"/invocations/{job.id}?tab=logs")
        visit.page.wait_for_selector(".log .line:text-is('live')")
        server.kill9()
        visit.page.wait_for_selector(".log .line:text-is('disconnected')")
        visit.page.wait_for_selector(".verdict .line:has-text('disconnected since')")
        visit.shoot("disconnected")
        server.restart()
        again = Job(server, job.registered, server.client(token=job.registered["token"]))
        again.append([log("after the restart")], producer="worker", first_seq=4)
        visit.page.wait_for_selector("text=after the restart")
        visit.page.wait_for_selector(".log .line:text-is('live')")
        assert visit.page.locator(".log-text:text-is('second line')").count() == 1


def test_a_tab_that_nobody_sees_gives_its_streams_up_and_catches_up_when_it_is_seen(
    browser: Browser, tmp_path_factory: pytest.TempPathFactory
) -> None:
    def streams() -> int:
        text = server.http.get(server.url + "/metrics").text
        return int(float(text.partition("\nstandpipe_open_streams ")[2].split("\n")[0]))

    # What a browser tells a page when its tab goes to the back, or comes to the front.
    tell = (
        "hidden => { Object.defineProperty(document, 'hidden', {value: hidden, configurable: true});"
        " document.dispatchEvent(new Event('visibilitychange')); }"
    )
    with Server(tmp_path_factory.mktemp("hidden") / "home").start() as server, visiting(browser, server) as visit:
        job = running(server)
        visit.page.clock.install()
        visit.go(f"/invocations/{job.id}?tab=logs")
        visit.page.wait_for_selector(".log .line:text-is('live')")
        wait_until(lambda: streams() == 2, what="the page's two streams")
        visit.page.evaluate(tell, True)
        visit.page.clock.fast_forward(_HIDDEN_LONG_ENOUGH)
        wait_until(lambda: streams() == 0, what="the streams to be given up")
        job.append([log("while nobody looked")], producer="worker", first_seq=4)
        visit.page.evaluate(tell, False)
        visit.page.wait_for_selector(".log-text:text-is('while nobody looked')")
        assert visit.page.locator(".log-text:text-is('second line')").count() == 1
        visit.no_faults()
