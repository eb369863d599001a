"""The pages on what the demo really did: the flights pipeline, run by real processes against a real server."""

from __future__ import annotations

import sys
from pathlib import Path

from tests.support.browser import Visit
from tests.support.processes import REPOSITORY, run
from tests.support.server import Server


def test_the_demos_invocations_and_assets_are_shown(visit: Visit, site: Server) -> None:
    definitions = REPOSITORY / "examples" / "flights" / "definitions.py"
    env = site.orchestrator_environment({"FLIGHTS_DATA": str(site.home / "flights")})
    run(
        [Path(sys.executable).parent / "standpipe", "materialize", definitions, "--partition", "2013-02"],
        env=env,
        cwd=site.home,
        timeout=120,
    )
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
