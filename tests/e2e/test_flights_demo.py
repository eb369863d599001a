"""The demo pipeline, run for real on an embedded broker: every step green but the check that honestly is not."""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path

from tests.support.processes import REPOSITORY, child_environment, run

SCRIPTS = Path(sys.executable).parent
FLIGHTS = REPOSITORY / "examples" / "flights"


def environment(tmp_path: Path, path: str) -> dict[str, str]:
    return child_environment({"PATH": path, "FLIGHTS_DATA": str(tmp_path / "data")}, home=tmp_path / "home")


def test_the_demo_is_green_with_one_warning_and_its_history_can_be_looked_at(tmp_path: Path) -> None:
    env = environment(tmp_path, f"{SCRIPTS}{os.pathsep}{os.environ['PATH']}")
    by_shell = bool(shutil.which("curl") and shutil.which("gzip"))

    done = run([FLIGHTS / "run"], env=env, timeout=180)

    steps = 7 if by_shell else 6
    assert f"Green, with a warning: {steps} of {steps} steps" in done.stderr
    assert "4 of 5 checks passed" in done.stderr
    assert "check every_plane_is_known on flights failed (warning)  unknown_planes 539" in done.stderr
    assert "flights materialized  rows 27,004" in done.stderr
    assert "27,004 flights of 16 airlines in 2013-01" in done.stdout
    assert ("archive materialized" in done.stderr) is by_shell

    listed = run([SCRIPTS / "standpipe", "ls", "--asset", "carrier_delays", "--json"], env=env).stdout
    invocation = json.loads(listed)
    assert (invocation["verdict"], invocation["context"]["partition_key"]) == ("succeeded", "2013-01")
    assert invocation["context"]["partition_time_window"] == {
        "start": "2013-01-01T00:00:00+00:00",
        "end": "2013-02-01T00:00:00+00:00",
    }
    shown = run([SCRIPTS / "standpipe", "show", invocation["id"]], env=env).stdout
    assert "mean_delay  flights.arr_delay" in shown
    assert "| SkyWest Airlines Inc. | 1 | 107.0 |" in shown


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
