"""Captured output of real commands: pieces of lines, and lines that are redrawn."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from standpipe_orchestrator import BrokerClient, PipesSubprocessClient
from standpipe_orchestrator.reading.log_lines import LogLines
from standpipe_protocol.invocation import Event
from tests.support.waiting import wait_until

Script = Callable[[str], list[str]]
OUTPUT = ("log_external_stream",)


def _texts(events: list[Event]) -> list[object]:
    return [event.params["text"] for event in events if isinstance(event.params, dict)]


def test_a_line_whose_beginning_had_to_go_is_one_line_and_found_by_words_across(
    pipes: PipesSubprocessClient, script: Script, client: BrokerClient, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    command = script(f"""
import os, sys, time
from standpipe import open_pipes
with open_pipes():
    sys.stdout.write("loading or")
    sys.stdout.flush()
    while not os.path.exists({str(gate)!r}):
        time.sleep(0.05)
    sys.stdout.write("ders fast\\n")
""")
    running = threading.Thread(target=pipes.run, kwargs={"context": None, "command": command, "key": str(tmp_path)})
    running.start()
    invocation = wait_until(lambda: client.invocations.list(tag=f"standpipe.key={tmp_path}").items, what="it")[0]
    wait_until(
        lambda: _texts(list(client.events.iterate(invocation.id, methods=OUTPUT))) == ["loading or"],
        what="the beginning of the line",
    )
    gate.touch()
    running.join(60)
    events = list(client.events.iterate(invocation.id, methods=OUTPUT))
    lines = LogLines()
    assert [line.text for event in events for line in lines.take(event)] == ["loading orders fast"]
    assert _texts(list(client.events.iterate(invocation.id, text="orders fast"))) == ["ders fast\n"]


def test_of_a_progress_bar_some_states_are_stored_and_one_line_is_shown(
    pipes: PipesSubprocessClient, script: Script, client: BrokerClient
) -> None:
    command = script("""
import sys
from standpipe import open_pipes
with open_pipes():
    for n in range(2001):
        sys.stderr.write(f"\\r{n / 20:4.0f}%|{'#' * (n // 100):20}|")
        sys.stderr.flush()
    sys.stderr.write("\\nready\\r\\n")
""")
    done = pipes.run(context=None, command=command)
    events = list(client.events.iterate(done.invocation.id, methods=OUTPUT))
    lines = LogLines()
    assert [line.text for event in events for line in lines.take(event)] == [f" 100%|{'#' * 20}|", "ready"]
    # A piece each two seconds, however slow the machine is.
    assert len(events) <= 20


def test_a_background_process_goes_on_writing_after_its_output_is_captured_no_more(
    pipes: PipesSubprocessClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("standpipe_orchestrator.launchers.supervision.OUTPUT_SECONDS", 0.1)
    go_on, done = tmp_path / "go-on", tmp_path / "done"
    waits = f"while [ ! -e {go_on} ]; do sleep 0.05; done"
    # More than a pipe holds.
    writes = f"for i in 1 2 3 4; do head -c 100000 /dev/zero || exit; done; echo done > {done}"
    pipes.run(context=None, command=f"({waits}; {writes}) & exit 0", pipes="optional")
    go_on.touch()
    wait_until(done.exists, what="the background process to have written everything")
