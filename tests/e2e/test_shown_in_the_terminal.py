"""What is stored is shown in the terminal as well: tracebacks that were logged, values in a wrong shape, odd names."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from tests.support.processes import child_environment, run
from tests.support.server import Server
from tests.support.wire import check, closed, log, materialization, opened, register

STANDPIPE = Path(sys.executable).parent / "standpipe"
LAST_LINE = "KeyError: 'no column'"
PIPELINE = """
import sys
from standpipe_orchestrator import *

CODE = r'''
from standpipe import open_pipes
with open_pipes() as context:
    try:
        {}["no column"]
    except KeyError:
        context.log.exception("cannot load")
    context.report_asset_materialization({"size": {"type": "int", "raw_value": "many"}, "rows": 7})
'''

@asset
def orders(context):
    return PipesSubprocessClient().run(context=context, command=[sys.executable, "-c", CODE]).get_materialize_result()

defs = Definitions(assets=[orders])
"""


def _shown(server: Server, *words: str) -> str:
    return run([STANDPIPE, *words], env=child_environment(home=server.home)).stdout


@pytest.mark.parametrize("verb", ["show", "logs", "tail", "logs --text column"])
def test_a_traceback_that_was_logged_stands_below_its_message(shared_server: Server, verb: str) -> None:
    job = register(shared_server)
    details = {"exception": f'Traceback (most recent call last):\n  File "job.py", line 3\n{LAST_LINE}'}
    job.append([opened(), {**log("cannot load", level="ERROR"), "details": details}, log("next"), closed()])
    job.finish(exit_code=0)
    lines = [line.strip() for line in _shown(shared_server, *verb.split(), job.id).splitlines()]
    (at,) = [number for number, line in enumerate(lines) if line.endswith("cannot load")]
    assert lines[at + 1] == "Traceback (most recent call last):"
    assert LAST_LINE in lines[at + 3]
    assert "--text" in verb or lines[at + 4].endswith("next")


def test_a_value_in_a_wrong_shape_is_marked(shared_server: Server) -> None:
    key = "marked/in-terminal"
    job = register(shared_server)
    metadata = {"size": {"type": "int", "raw_value": "many"}, "odd": {"raw_value": 1}, "rows": 3}
    job.append([opened(), materialization(key, metadata=metadata), closed()])
    job.finish(exit_code=0)
    shown = _shown(shared_server, "show", job.id)
    assert "many" in shown
    assert "(kept as JSON: not a `int`: expected an integer)" in shown
    assert "(kept as JSON: expected an object with `type` and `raw_value`)" in shown
    listed = _shown(shared_server, "assets", key)
    assert "(kept as JSON: not a `int`: expected an integer)" in listed
    assert 'size "many" (wrong shape)' in listed
    other = register(shared_server)
    other.append([opened(), materialization(key, metadata={**metadata, "size": 3}), closed()])
    other.finish(exit_code=0)
    assert "many (wrong shape)" in _shown(shared_server, "compare", job.id, other.id)


@pytest.mark.parametrize("verbose", [[], ["-v"]])
def test_materialize_shows_both_and_is_green_with_a_warning(tmp_path: Path, verbose: list[str]) -> None:
    (tmp_path / "pipeline.py").write_text(PIPELINE, encoding="utf-8")
    environment = child_environment(home=tmp_path / "home")
    done = run([STANDPIPE, "materialize", tmp_path / "pipeline.py", *verbose], env=environment)
    text = done.stdout + done.stderr
    assert "error: cannot load" in text
    assert LAST_LINE in text
    assert "metadata value 'size' of message " in text
    assert "is kept as JSON: not a `int`: expected an integer" in text
    assert "Green, with a warning" in text
    assert json.dumps("many") in text


def test_one_long_or_odd_name_spoils_no_list(shared_server: Server) -> None:
    """A script reads the ids, a person the other rows."""
    key, ids = "part/long-names", list[str]()
    job = "nightly\n\tbackfill " + "y" * 400
    for partition in ("eu", "x" * 500):
        messages = [materialization(key, metadata={"rows": 1}), check(key, "fine")]
        context = {"partition_key": partition, "asset_keys": [key], "job_name": job}
        one = register(shared_server, context=context)
        one.append([opened(), *messages, closed()])
        one.finish(exit_code=0)
        ids.insert(0, one.id)

    for words in (["ls", "--asset", key], ["assets", key], ["assets", key, "--checks"]):
        lines = _shown(shared_server, *words).splitlines()
        rows = [line for line in lines if "inv_" in line]
        assert [next(name for name in ids if name in row) for row in rows] == ids
        assert " eu " in rows[1]
        assert "x" * 500 in rows[0]
        assert words[0] == "ls" or "rows 1" in rows[1] or "passed" in rows[1]
