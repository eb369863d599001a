"""The demo pipeline, run for real on an embedded broker: every step green but the check that honestly is not; and what
it kept, in a terminal and on the pages of a server that comes later."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.browser import visiting
from tests.support.processes import REPOSITORY, child_environment, run
from tests.support.server import Server

if TYPE_CHECKING:
    from playwright.sync_api import Browser

SCRIPTS = Path(sys.executable).parent
FLIGHTS = REPOSITORY / "examples" / "flights"


@dataclass(frozen=True, slots=True)
class Demo:
    home: Path
    env: dict[str, str]
    done: subprocess.CompletedProcess[str]


def environment(folder: Path, path: str) -> dict[str, str]:
    return child_environment({"PATH": path, "FLIGHTS_DATA": str(folder / "data")}, home=folder / "home")


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Demo:
    """The demo as it is once it ran."""
    folder = tmp_path_factory.mktemp("demo")
    env = environment(folder, f"{SCRIPTS}{os.pathsep}{os.environ['PATH']}")
    return Demo(folder / "home", env, run([FLIGHTS / "run"], env=env, timeout=180))


def test_the_demo_is_green_with_one_warning_and_its_history_can_be_looked_at(demo: Demo) -> None:
    by_shell = bool(shutil.which("curl") and shutil.which("gzip"))
    steps = 7 if by_shell else 6
    told = demo.done.stderr
    assert f"Green, with a warning: {steps} of {steps} steps" in told
    assert "4 of 5 checks passed" in told
    assert "check every_plane_is_known on flights failed (warning)  unknown_planes 539" in told
    assert "flights materialized  rows 27,004" in told
    assert "27,004 flights of 16 airlines in 2013-01" in demo.done.stdout
    assert ("archive materialized" in told) is by_shell

    listed = run([SCRIPTS / "standpipe", "ls", "--asset", "carrier_delays", "--json"], env=demo.env).stdout
    invocation = json.loads(listed)
    assert (invocation["verdict"], invocation["context"]["partition_key"]) == ("succeeded", "2013-01")
    assert invocation["context"]["partition_time_window"] == {
        "start": "2013-01-01T00:00:00+00:00",
        "end": "2013-02-01T00:00:00+00:00",
    }
    shown = run([SCRIPTS / "standpipe", "show", invocation["id"]], env=demo.env).stdout
    assert "mean_delay  flights.arr_delay" in shown
    assert "| SkyWest Airlines Inc. | 1 | 107.0 |" in shown


def test_the_pages_of_a_later_server_show_it(browser: Browser, demo: Demo) -> None:
    with Server(demo.home) as server, visiting(browser, server) as visit:
        page = visit.page
        visit.go("/?asset_key=carrier_delays")
        page.locator("tbody tr .row-link").first.click()
        page.wait_for_selector("section[aria-label='Materialization of carrier_delays'] td:has-text('Hawaiian')")
        page.wait_for_selector("text=sent")
        visit.shoot("demo-invocation")
        visit.check_access()
        visit.go("/assets/flights")
        page.wait_for_selector("section[aria-label$='over time'] canvas")
        page.click("button[role=tab]:has-text('Checks')")
        page.wait_for_selector(".strip a[aria-label*='every_day_is_there passed']")
        visit.check_access()
        visit.no_faults()


def test_the_shell_step_is_left_out_with_a_reason_where_curl_is_missing(tmp_path: Path) -> None:
    tools = tmp_path / "tools"
    tools.mkdir()

    done = run(
        [SCRIPTS / "standpipe", "materialize", FLIGHTS / "definitions.py", "--select", "archive"],
        env=environment(tmp_path, str(tools)),
        check=False,
    )

    assert done.returncode == 2
    assert "Left out: the asset `archive`, which is a shell script; it needs curl and gzip." in done.stderr
    assert "There is no asset 'archive'" in done.stderr
