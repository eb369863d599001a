"""History in a terminal, as a user meets it: real commands against a real server, and a real shell that completes."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from standpipe_orchestrator.client.invocation_operations import FILTERS
from tests.support import wire
from tests.support.fork_server import ForkServer
from tests.support.processes import REPOSITORY, Process, child_environment, run
from tests.support.server import Server
from tests.support.terminal import on_terminal
from tests.support.waiting import wait_until

BIN = Path(sys.executable).parent
STANDPIPE = BIN / "standpipe"
BASH = shutil.which("bash")


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory, fork_server: ForkServer | None) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("terminal") / "home"
    with Server(folder, database_url=f"sqlite:///{folder / 'standpipe.db'}", fork_server=fork_server) as server:
        yield server


def standpipe(*words: str, home: Path, check: bool = True) -> subprocess.CompletedProcess[str]:
    return run([STANDPIPE, *words], env=child_environment(home=home), check=check)


def objects(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def following(*words: str, broker: Server, log: Path) -> Process:
    return Process([STANDPIPE, *words], log=log, env=child_environment(home=broker.home))


def captured(text: str, *, stream: str = "stdout") -> wire.Json:
    return {"method": "log_external_stream", "params": {"stream": stream, "text": text}}


def finished(broker: Server, messages: Sequence[wire.Json], **members: Any) -> wire.Job:
    job = wire.register(broker, **members)
    assert job.append([wire.opened(), *messages]).is_success
    job.finish()
    return job


def test_every_filter_of_rest_is_an_option_of_the_list(broker: Server) -> None:
    document = json.loads((REPOSITORY / "docs" / "reference" / "openapi.json").read_text(encoding="utf-8"))
    parameters = {each["name"] for each in document["paths"]["/api/v1/invocations"]["get"]["parameters"]}
    assert set(FILTERS) == parameters - {"mask", "usual", "limit", "cursor"}
    pages = (REPOSITORY / "server/pages/src/views/invocations/filters.tsx").read_text(encoding="utf-8")
    on_pages = re.search(r"FILTERS = \[(.+?)\]", pages)
    assert on_pages is not None
    # What retries an invocation stands on its own page.
    assert set(re.findall(r'"(\w+)"', on_pages[1])) == set(FILTERS) - {"retry_of"}

    context = {"asset_keys": ["listed"], "job_name": "nightly", "run_id": "r7", "partition_key": "2026-01"}
    job = finished(broker, [wire.closed()], context=context, tags={"team": "data", "tier": "1"})
    red = wire.check("listed", "fresh", passed=False)
    again = finished(broker, [red], context=context, retry_of=job.id)
    assert broker.http.post(f"{again.path}/pin").is_success

    def ids(*words: str) -> list[str]:
        return [one["id"] for one in objects(standpipe("ls", "--json", *words, home=broker.home).stdout)]

    fitting = ["--asset", "listed", "--job", "nightly", "--run", "r7", "--partition", "2026-01", "--since", "1h"]
    assert ids(*fitting) == [again.id, job.id]
    assert ids(*fitting, "--verdict", "succeeded", "--status", "ended", "--text", "nightly") == [job.id]
    assert ids("--tag", "team=data", "--tag", "tier") == [job.id]
    assert ids("--tag", "team=data", "--tag", "tier=2") == []
    assert ids("--retry-of", job.id) == [again.id]
    assert ids("--asset", "listed", "--until", "2020-01-01") == []
    assert ids("--asset", "listed", "--verdict", "incomplete", "--verdict", "succeeded") == [again.id, job.id]
    assert ids("--asset", "listed", "--failed-checks") == ids("--asset", "listed", "--pinned") == [again.id]


def test_a_followed_invocation_shows_what_comes_and_ends_with_its_verdict(broker: Server, tmp_path: Path) -> None:
    job = wire.register(broker)
    job.append([wire.opened(), *(wire.log(f"early {number}") for number in range(5))])
    with following("tail", "-f", "-n", "2", "--exit-status", job.id, broker=broker, log=tmp_path / "out") as tail:
        tail.wait_for_output("early 4")
        job.append([wire.log("late"), wire.materialization("a", metadata={"rows": 3})])
        tail.wait_for_output("a materialized")
        job.finish(exit_code=3)
        assert tail.wait() == 1

    lines = tail.output().splitlines()
    assert "early 2" not in tail.output()
    assert [line.split(maxsplit=2)[-1] for line in lines[:4]] == [
        "info: early 3",
        "info: early 4",
        "info: late",
        "a materialized",
    ]
    assert lines[5].startswith("failed after ")
    assert "3" in lines[6]


def test_a_followed_invocation_as_json_is_its_events_and_then_itself(broker: Server) -> None:
    job = finished(broker, [wire.log("one"), wire.custom(2), wire.closed()])
    done = standpipe("tail", "-f", "--json", "--method", "log", "--method", "closed", job.id, home=broker.home)

    log, closed, invocation = objects(done.stdout)
    assert (log["position"], closed["position"]) == (2, 4)
    assert (invocation["id"], invocation["verdict"]) == (job.id, "succeeded")


@pytest.mark.skipif(os.name != "posix", reason="signals are POSIX's")
def test_following_ends_quietly_when_it_is_interrupted(broker: Server, tmp_path: Path) -> None:
    job = wire.register(broker)
    job.append([wire.opened()])
    with following("tail", "-f", job.id, broker=broker, log=tmp_path / "out") as tail:
        tail.wait_for_output("opened")
        tail.signal(signal.SIGINT)
        assert tail.wait() == 130
    assert "Traceback" not in tail.output()


def test_the_exit_status_is_that_of_the_verdict_only_when_it_is_asked_for(broker: Server) -> None:
    bad = finished(broker, []).id
    good = finished(broker, [wire.closed()]).id

    codes = [
        standpipe(verb, *words, one, home=broker.home, check=False).returncode
        for verb in ("tail", "logs")
        for words in ((), ("--exit-status",))
        for one in (good, bad)
    ]
    assert codes == [0, 0, 0, 1] * 2


def test_logs_are_whole_lines_of_every_source_and_raw_is_the_text_alone(broker: Server) -> None:
    messages = [captured("ha"), wire.log("bad \x1b[2J", level="ERROR"), captured("lf\nrest"), wire.closed()]
    job = finished(broker, messages)

    def logs(*words: str) -> list[str]:
        return standpipe("logs", job.id, *words, home=broker.home).stdout.splitlines()

    assert [line.split(maxsplit=1)[1] for line in logs()] == [
        "error    bad \\x1b[2J",
        "stdout   half",
        "stdout   rest",
    ]
    assert logs("--raw") == ["bad \x1b[2J", "half", "rest"]
    assert logs("--raw", "--source", "stdout", "-n", "1") == ["rest"]
    assert logs("--raw", "--level", "warn") == ["bad \x1b[2J"]
    assert [line["text"] for line in objects("\n".join(logs("--json", "--text", "HAL")))] == ["half"]


def test_text_is_found_in_logs_and_in_lines_that_came_in_pieces_in_the_order_they_came(broker: Server) -> None:
    messages = [
        captured("a nee"),
        wire.log("Needle one"),
        captured("dle\nhay\n"),
        wire.log("hay"),
        wire.log("needle two"),
    ]
    job = finished(broker, [*messages, captured("nee", stream="stderr"), wire.closed()])

    def logs(*words: str) -> list[str]:
        return standpipe("logs", job.id, "--raw", "--text", "needle", *words, home=broker.home).stdout.splitlines()

    assert logs() == ["Needle one", "a needle", "needle two"]
    assert logs("--source", "stdout") == ["a needle"]
    assert logs("--source", "log", "-f") == ["Needle one", "needle two"]
    assert logs("--level", "error") == []


def test_followed_logs_go_on_where_a_line_was_left(broker: Server, tmp_path: Path) -> None:
    job = wire.register(broker)
    job.append([wire.opened(), wire.log("begun"), captured("first ")])
    with following("logs", "-f", "--raw", job.id, broker=broker, log=tmp_path / "out") as logs:
        logs.wait_for_output("begun")
        job.append([captured("half\nlast")])
        logs.wait_for_output("first half\n")
        job.append([wire.closed()])
        job.finish()
        assert logs.wait() == 0
    assert logs.output() == "begun\nfirst half\nlast\n"


def test_following_goes_on_through_a_restart_of_the_server(sqlite_server: Server, tmp_path: Path) -> None:
    job = wire.register(sqlite_server)
    job.append([wire.opened(), wire.log("before")])
    with following("logs", "-f", "--raw", job.id, broker=sqlite_server, log=tmp_path / "out") as logs:
        logs.wait_for_output("before")
        sqlite_server.kill9()
        sqlite_server.restart()
        back = wire.Job(sqlite_server, job.registered, sqlite_server.client(token=job.registered["token"]))
        back.append([wire.log("after"), wire.closed()])
        back.finish()
        assert logs.wait() == 0
    assert logs.output() == "before\nafter\n"


@pytest.mark.skipif(BASH is None, reason="there is no bash here")
@pytest.mark.parametrize("words", ["logs", "logs --raw", "logs --json", "tail -n 9999", "tail -n 9999 --json"])
def test_who_has_read_enough_of_it_hears_no_complaint(broker: Server, words: str) -> None:
    job = finished(broker, [wire.log(f"{number} " + "x" * 100) for number in range(5_000)])
    assert BASH is not None
    script = f"set -o pipefail; '{STANDPIPE}' {words} {job.id} | head -n 1 | wc -l"
    done = run([BASH, "-c", script], env=child_environment(home=broker.home))

    assert (done.returncode, done.stdout.strip(), done.stderr) == (0, "1", "")


def test_what_was_asked_to_stop_is_waited_for_and_its_verdict_told(broker: Server, tmp_path: Path) -> None:
    job = wire.register(broker)
    job.append([wire.opened()])
    words = ("--wait", "60", "--reason", "too slow", "--json", job.id)
    with following("cancel", *words, broker=broker, log=tmp_path / "out") as cancel:
        wait_until(
            lambda: job.heartbeat().json()["control"]["cancel_requested"], what="the process to hear that it is to stop"
        )
        job.append([wire.closed(exception={"message": "stopped"})])
        job.finish()
        assert cancel.wait() == 0

    (told,) = objects(cancel.output())
    assert (told["id"], told["verdict"]) == (job.id, "cancelled")
    assert "too slow" in broker.http.get(f"{job.path}/history").text


def test_what_does_not_end_in_time_and_what_cannot_be_cancelled_is_exit_code_1(broker: Server) -> None:
    runs, ended = wire.register(broker), finished(broker, [wire.closed()])
    runs.append([wire.opened()])

    late = standpipe("cancel", "--wait", "0.2", runs.id, home=broker.home, check=False)
    assert (late.returncode, late.stdout) == (1, f"{runs.id}  asked to stop, running\n")

    odd = standpipe("cancel", ended.id, "inv_none", runs.id, home=broker.home, check=False)
    assert (odd.returncode, odd.stdout) == (1, f"{runs.id}  asked to stop, running\n")
    assert f"{ended.id} had ended before: succeeded." in odd.stderr
    assert "inv_none" in odd.stderr
    assert ended.read()["cancel_requested"] is False


def test_observations_are_shown_where_reports_are(broker: Server) -> None:
    seen = wire.observation(
        "terminal/seen", metadata={"rows": 3}, data_version="v7", partition="p7", tags={"by": "cron"}
    )
    job = finished(broker, [wire.observation("terminal/seen"), seen])
    shown = standpipe("show", job.id, home=broker.home).stdout
    assert "terminal/seen observed, partition p7, data version v7, by=cron" in shown
    assert re.search(r"rows +3\n", shown)
    latest, none = standpipe("assets", "terminal/seen", home=broker.home).stdout.split("\n\n")
    assert latest.splitlines()[1].startswith("  observed, data version v7  ")
    assert none == "Nothing that fits.\n"
    history = standpipe("assets", "terminal/seen", "--observations", home=broker.home).stdout
    heading, newest, first = history.splitlines()
    assert heading.split() == ["Observed", "Partition", "Version", "Metadata", "Invocation"]
    assert [word in newest for word in ("p7", "v7", "rows 3", job.id)] == [True] * 4
    assert job.id in first
    wired = objects(standpipe("assets", "terminal/seen", "--observations", "--json", home=broker.home).stdout)
    assert [item["partition_key"] for item in wired] == ["p7", None]
    misused = standpipe("assets", "--observations", home=broker.home, check=False)
    assert (misused.returncode, misused.stderr) == (2, "standpipe assets: --observations needs the KEY of an asset.\n")


def test_assets_show_what_was_reported_on_them_across_invocations(broker: Server) -> None:
    key = "pre\x1b/a\\/b"
    reported = [
        [wire.materialization(key, metadata={"rows": 1}, data_version="v1"), wire.check(key, "fine", passed=False)],
        [wire.materialization(key, metadata={"rows": 2}, data_version="v2"), wire.check(key, "fine")],
    ]
    first, second = (finished(broker, messages) for messages in reported)

    def assets(*words: str) -> str:
        return standpipe("assets", *words, home=broker.home).stdout

    (listed,) = [line for line in assets("--text", "pre").splitlines() if second.id in line]
    assert listed.startswith("pre\\x1b/a\\/b")
    assert "passed fine" in listed
    latest, history = assets(key).split("\n\n")
    assert latest.splitlines()[1:2] == ["  rows  2"]
    assert [(first.id in line, "v1" in line) for line in history.splitlines()[1:]] == [(False, False), (True, True)]
    assert [item["passed"] for item in objects(assets(key, "--check", "fine", "--json"))] == [True, False]
    assert [item["data_version"] for item in objects(assets(key, "--json", "-n", "1"))] == ["v2"]
    assert assets(key, "--until", "2020-01-01") == "Nothing that fits.\n"
    assert assets("--text", "no such") == "No assets that fit.\n"


@pytest.mark.parametrize("words", [["--checks"], ["--since", "1h"], ["--text", "a", "key"], [""]])
def test_what_does_not_go_together_is_exit_code_2_and_a_sentence(words: list[str], tmp_path: Path) -> None:
    done = standpipe("assets", *words, home=tmp_path / "home", check=False)

    assert (done.returncode, done.stdout) == (2, "")
    assert "standpipe assets: " in done.stderr
    assert not (tmp_path / "home").exists()


@pytest.mark.skipif(os.name != "posix", reason="pseudo-terminals are POSIX's")
@pytest.mark.parametrize("columns", [60, 140])
def test_on_a_terminal_there_are_colours_and_no_line_is_wider_than_it(broker: Server, columns: int) -> None:
    messages = [
        wire.log("all \x1b[2J wrong", level="ERROR"),
        wire.materialization("shown", metadata={"note": "long " * 40, "rows": 3}),
        wire.check("shown", "fine", passed=False),
    ]
    job = finished(broker, messages, context={"job_name": "shown", "asset_keys": ["shown"]})
    other = finished(broker, [wire.closed()], context={"job_name": "shown", "extras": {"note": "words " * 40}})
    printed = {
        words: on_terminal([str(STANDPIPE), *words], home=broker.home, columns=columns)
        for words in (
            ("ls", "--job", "shown"),
            ("logs", job.id),
            ("tail", "-f", job.id),
            ("assets", "shown"),
            ("assets", "--text", "shown"),
            ("compare", job.id, other.id),
        )
    }

    for words, (text, code) in printed.items():
        assert code == 0, text
        assert "\x1b[31m" in text or "\x1b[33m" in text, f"{words} is without colours:\n{text}"
        assert "\x1b[2J" not in text
    for words in (("ls", "--job", "shown"), ("compare", job.id, other.id)):
        plain = re.sub(r"\x1b\[[\d;]*m", "", printed[words][0])
        assert [line for line in plain.splitlines() if len(line.rstrip()) > columns] == []


def completed(line: str, *, home: Path) -> list[str]:
    """What bash would offer at the end of the line, asked as bash asks."""
    assert BASH is not None
    script = """
    eval "$(standpipe completion bash)"
    COMP_LINE=$1 COMP_POINT=${#1} COMP_TYPE=9
    _python_argcomplete standpipe
    printf '%s\\n' "${COMPREPLY[@]}"
    """
    path = f"{BIN}{os.pathsep}{os.environ['PATH']}"
    done = run([BASH, "-c", script, "bash", line], env=child_environment({"PATH": path}, home=home))
    assert done.stderr == ""
    return [word.strip() for word in done.stdout.splitlines() if word.strip()]


@pytest.mark.skipif(BASH is None, reason="there is no bash here")
def test_a_shell_completes_verbs_options_ids_and_keys(broker: Server) -> None:
    job = finished(broker, [wire.materialization("finished/orders")])

    assert completed("standpipe comp", home=broker.home) == ["compare", "completion"]
    assert completed("standpipe ls --verd", home=broker.home) == ["--verdict"]
    assert completed("standpipe ls --verdict can", home=broker.home) == ["cancelled"]
    assert completed(f"standpipe show {job.id[:-2]}", home=broker.home) == [job.id]
    assert completed("standpipe assets finished/", home=broker.home) == ["finished/orders"]


@pytest.mark.skipif(BASH is None, reason="there is no bash here")
def test_completing_where_no_broker_runs_offers_nothing_and_starts_none(tmp_path: Path) -> None:
    home = tmp_path / "home"

    assert completed("standpipe show inv_", home=home) == []
    assert not home.exists()


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish", "powershell"])
def test_each_shell_gets_a_script_that_asks_standpipe(shell: str, tmp_path: Path) -> None:
    assert "standpipe" in standpipe("completion", shell, home=tmp_path).stdout


def test_a_shell_without_a_name_is_exit_code_2_and_a_sentence(tmp_path: Path) -> None:
    done = standpipe("completion", home=tmp_path, check=False)

    assert (done.returncode, done.stdout) == (2, "")
    assert "bash, zsh, fish, powershell" in done.stderr
