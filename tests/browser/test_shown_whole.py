"""What is stored is shown: tracebacks that were logged, lines that came in pieces, values in a wrong shape."""

from __future__ import annotations

from typing import Any

import pytest

from standpipe_protocol.metadata import normal_form
from tests.support.browser import Visit
from tests.support.odd_metadata import ODD_METADATA
from tests.support.server import Server
from tests.support.waiting import wait_until
from tests.support.wire import Job, closed, log, materialization, opened, register

TRACEBACK = (
    "Traceback (most recent call last):\n  File \"job.py\", line 3, in load\n    read(path)\nKeyError: 'no column'\n"
)


def _ended(site: Server, *messages: Any, exception: Any = None) -> Job:
    job = register(site, context={"job_name": "shown whole"})
    end = closed() if exception is None else closed(exception=exception)
    job.append([opened(), *messages, end])
    job.finish(exit_code=0 if exception is None else 1)
    return job


def _output(text: str, **extras: Any) -> dict[str, Any]:
    params = {"stream": "stdout", "text": text, "extras": extras}
    return {"method": "log_external_stream", "params": params}


def test_a_traceback_that_was_logged_stands_below_its_message(site: Server, visit: Visit) -> None:
    job = _ended(site, {**log("cannot load", level="ERROR"), "details": {"exception": TRACEBACK}})
    visit.go(f"/invocations/{job.id}?tab=logs")
    text = visit.page.locator(".log-text")
    text.filter(has_text="KeyError: 'no column'").wait_for()
    assert text.all_inner_texts() == ["cannot load", *TRACEBACK.rstrip("\n").split("\n")]
    visit.shoot("logged-traceback")


def test_pieces_of_a_line_are_one_row_and_a_redrawn_line_its_last_state(site: Server, visit: Visit) -> None:
    job = _ended(
        site,
        _output("loading or"),
        log("beside it"),
        _output("ders fast\n", line="loading orders fast"),
        _output("by itself"),
        _output("a line\n\r 10%"),
        _output("\r 60%"),
        _output("\r100%\n"),
    )
    visit.go(f"/invocations/{job.id}?tab=logs")
    text = visit.page.locator(".log-text")
    text.filter(has_text="100%").wait_for()
    assert text.all_inner_texts() == ["loading orders fast", "beside it", "by itself", "a line", "100%"]
    visit.page.get_by_label("Search the log").fill("orders fast")
    wait_until(lambda: text.all_inner_texts() == ["loading orders fast"], what="the line that fits")
    visit.page.locator(".log-number").first.click()
    visit.page.get_by_label("Search the log").fill("")
    wait_until(lambda: len(text.all_inner_texts()) == 5, what="all lines")
    assert visit.page.locator(".log-row.chosen .log-text").all_inner_texts() == ["loading orders fast"]


@pytest.mark.parametrize("message", ["RuntimeError: boom\n", "shop.errors.RuntimeError: boom", "boom"])
def test_the_name_of_an_exception_stands_once(message: str, site: Server, visit: Visit) -> None:
    exception = {"name": "RuntimeError", "message": message, "stack": [], "cause": None, "context": None}
    job = _ended(site, exception=exception)
    visit.go(f"/invocations/{job.id}?tab=exception")
    assert visit.page.locator(".exception h2").inner_text() == "RuntimeError: boom"
    assert visit.page.locator(".verdict-words").inner_text().count("RuntimeError") == 1


def test_a_value_in_a_wrong_shape_is_marked_wherever_it_is_shown(site: Server, visit: Visit) -> None:
    jobs = [
        _ended(site, materialization("odd-shapes", metadata={"size": {"type": "int", "raw_value": raw}}))
        for raw in ("many", "few")
    ]
    mark = "Kept as JSON: not a"
    for path in (
        f"/invocations/{jobs[0].id}",
        "/assets/odd-shapes?tab=materializations",
        f"/compare?id={jobs[0].id}&id={jobs[1].id}",
    ):
        visit.go(path)
        visit.page.get_by_text(mark).first.wait_for()
    visit.shoot("wrong-shape")
    visit.check_access()


def test_the_pages_show_the_normal_form_that_the_server_gives(visit: Visit, site: Server) -> None:
    # A page shows a hundred entries at once.
    metadata = dict(list(ODD_METADATA.items())[::6])
    job = _ended(site, materialization("odd/normal", metadata=metadata))
    for path in (f"/invocations/{job.id}", "/assets/odd%2Fnormal?tab=materializations"):
        visit.go(path)
        visit.page.wait_for_selector("dl.metadata >> nth=0")
        shown = visit.page.locator("dl.metadata").first.locator("dt").all_inner_texts()
        assert shown == [f"{label} {entry['type']}" for label, entry in normal_form(metadata).items()]
    visit.shoot("odd_metadata")
