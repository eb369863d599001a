"""Comparing in a terminal, and what is not printed there: real commands against a real server."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.support import wire
from tests.support.fork_server import ForkServer
from tests.support.processes import child_environment, run
from tests.support.server import Server

STANDPIPE = Path(sys.executable).parent / "standpipe"


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory, fork_server: ForkServer | None) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("comparing") / "home"
    with Server(folder, database_url=f"sqlite:///{folder / 'standpipe.db'}", fork_server=fork_server) as server:
        yield server


def standpipe(*words: str, home: Path, check: bool = True) -> subprocess.CompletedProcess[str]:
    return run([STANDPIPE, *words], env=child_environment(home=home), check=check)


def objects(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def finished(broker: Server, messages: Sequence[wire.Json], **members: Any) -> wire.Job:
    job = wire.register(broker, **members)
    assert job.append([wire.opened(), *messages]).is_success
    job.finish()
    return job


def test_a_failed_invocation_is_compared_with_the_last_good_one(broker: Server) -> None:
    def one(rate: float, rows: int, *messages: wire.Json, job_name: str = "train") -> wire.Job:
        context = {"asset_keys": ["model"], "job_name": job_name, "extras": {"rate": rate, "same": [1, 2]}}
        return finished(broker, [wire.materialization("model", metadata={"rows": rows}), *messages], context=context)

    one(0.1, 100, wire.closed())
    good = one(0.1, 200, wire.log("read part 1"), wire.closed())
    one(0.1, 300, wire.closed(), job_name="another")
    bad = one(0.2, 250, wire.log("read part 2"), wire.log("disk 3 \x1b[2J full", level="ERROR"))
    one(0.3, 100, wire.closed())

    found = objects(standpipe("compare", bad.id, "--json", home=broker.home).stdout)[0]
    told = {"/".join(each["path"]): each["values"] for each in found["differences"]}
    assert found["invocations"] == [good.id, bad.id]
    assert told["verdict"] == ["succeeded", "incomplete"]
    assert told["context/extras/rate"] == [0.1, 0.2]
    assert told["materialization/model/metadata/rows"] == [200, 250]
    assert told["events/closed"] == [1, None]
    assert not any("same" in path for path in told)
    assert [(kind["level"], kind["counts"]) for kind in found["log_templates"]] == [("ERROR", [0, 1])]

    shown = standpipe("compare", good.id, bad.id, home=broker.home).stdout
    assert "\x1b" not in shown
    assert "context › extras › rate" in shown
    assert ["rows", "200", "250", "+50", "(+25.0", "%)"] in [line.split()[-6:] for line in shown.splitlines()]
    assert "disk <n> \\x1b[<n>J full" in shown


def test_a_comparison_shows_no_secret_and_takes_the_last_good_one_of_the_same_partition(broker: Server) -> None:
    def one(partition: str, password: str, *messages: wire.Json) -> wire.Job:
        context = {"job_name": "nightly", "partition_key": partition, "extras": {"db": {"password": password}}}
        return finished(broker, [*messages], context=context)

    good = one("2026-01-01", "hunter1", wire.closed())
    one("2026-01-02", "hunter2", wire.closed())
    bad = one("2026-01-01", "hunter3")

    for words in (["compare", bad.id], ["compare", bad.id, "--json"], ["compare", good.id, bad.id]):
        shown = standpipe(*words, home=broker.home).stdout
        assert good.id in shown
        assert "***" in shown
        assert "hunter" not in shown


@pytest.mark.parametrize(
    "words",
    [["show", "{id}"], ["show", "{id}", "--json"], ["ls", "--json"], ["tail", "-f", "{id}", "--json"]],
)
def test_no_credential_is_printed_unless_it_is_asked_for(broker: Server, words: list[str]) -> None:
    extras, launcher = {"db": {"password": "hunter1"}}, {"command": ["load", "--token", "hunter2"]}
    context = {"job_name": "load", "extras": extras}
    job = wire.register(broker, context=context, tags={"api_key": "hunter3"}, launcher=launcher)
    job.append([wire.opened(), wire.closed()])
    job.finish(exit_code=0)

    shown = standpipe(*(word.format(id=job.id) for word in words), home=broker.home).stdout
    assert job.id in shown
    assert "***" in shown
    assert "hunter" not in shown
    unmasked = standpipe("show", job.id, "--json", "--unmasked", home=broker.home).stdout
    assert all(f"hunter{number}" in unmasked for number in (1, 2, 3))


def test_the_first_of_its_kind_has_nothing_to_be_compared_with(broker: Server) -> None:
    alone = finished(broker, [wire.closed()], context={"job_name": "only once"})
    done = standpipe("compare", alone.id, home=broker.home, check=False)

    assert (done.returncode, done.stdout) == (1, "")
    assert "Name the one to compare it with." in done.stderr
