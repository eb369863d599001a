"""What became of an invocation beside its verdict, in protocol 1.0: lost, revived, revised, pinned, or still there."""

from __future__ import annotations

from tests.migration.old_endings import failed_by_exit_code_alone, failed_with_exception, settled
from tests.migration.old_words import exception, ledger, numbered, wait_for
from tests.support.server import Server
from tests.support.wire import Job, Json, check, closed, custom, log, materialization, opened, register

YEARS = 9 * 365 * 86400.0
"""Longer than a person waits for a test; the server allows ten years."""


def lost(server: Server) -> Job:
    job = register(server, context={"asset_keys": ["far/away"], "job_name": "far away"}, lease_seconds=0.3)
    numbered(job, [opened(), log("the last words")], producer="rank-0")
    numbered(job, [opened()], producer="rank-1", sent=3)
    return job


def lost_before_it_opened(server: Server) -> Job:
    return register(server, context={"job_name": "far away"}, lease_seconds=0.3)


def lost_after_a_cancel(server: Server) -> Job:
    job = register(server, context={"job_name": "far away"}, lease_seconds=0.3)
    job.append([opened()])
    server.http.post(f"{job.path}/cancel")
    return job


def lost_and_finished(server: Server) -> Job:
    job = lost(server)
    wait_for(job, "lost")
    job.finish(exit_code=0)
    return job


def revived(server: Server) -> Job:
    """Lost, and then it came back and ended well."""
    job = lost(server)
    wait_for(job, "lost")
    numbered(job, [closed()], producer="rank-0", first=3)
    numbered(job, [custom("back"), closed()], producer="rank-1", first=2)
    job.finish(exit_code=0)
    return job


def revised_to_green(server: Server) -> Job:
    """Incomplete until the rest of it came from a disk."""
    job = register(server, context={"asset_keys": ["late/asset"], "job_name": "tail"})
    messages = [opened(), materialization("late/asset", metadata={"rows": 7}), custom("late")]
    numbered(job, messages[:2])
    job.finish(exit_code=0)
    numbered(job, [messages[2], ledger(messages)], first=3)
    return job


def revised_to_red(server: Server) -> Job:
    """Green until its launcher learned the exit code."""
    job = register(server, context={"job_name": "leaves with 3"})
    job.append([opened(), closed()])
    job.finish(exit_code=0)
    job.finish(exit_code=3, reason="it ended badly after all")
    return job


def revised_while_failed(server: Server) -> Job:
    job = register(server, context={"job_name": "all"})
    numbered(job, [opened()])
    job.finish(exit_code=1)
    numbered(job, [materialization("afterwards"), exception("at the end")], first=2)
    return job


def pinned(server: Server) -> Job:
    job = failed_by_exit_code_alone(server)
    server.http.post(f"{job.path}/pin", json={"reason": "evidence"})
    return job


def unpinned(server: Server) -> Job:
    job = settled(server)
    server.http.post(f"{job.path}/pin", json={})
    server.http.delete(f"{job.path}/pin")
    return job


def retried(server: Server) -> Job:
    """A chain of two further ones, the last of which succeeded."""
    first = failed_with_exception(server)
    context = {"asset_keys": ["shop/orders"], "job_name": "nightly <b>", "retry_number": 2}
    second = register(server, context=context, retry_of=first.id)
    second.append([opened(), exception("again")])
    second.finish(exit_code=1)
    third = register(server, context={**context, "retry_number": 3}, retry_of=second.id)
    third.append([opened(), materialization("shop/orders"), closed()])
    third.finish(exit_code=0)
    return third


def history_of_an_asset(server: Server) -> Job:
    """Materializations with numbers that move, checks that fail now and then, and a schema that changed."""
    job: Job | None = None
    for number in range(30):
        names = ["id", "total"] if number < 15 else ["id", "total", "tax"]
        columns = [{"name": name, "type": "int" if number < 10 else "string"} for name in names]
        metadata: Json = {
            "rows": {"type": "int", "raw_value": 1000 + 37 * number},
            "mean delay": round(12 + (number * 7919 % 100) / 25, 3),
            "columns": {"type": "table_schema", "raw_value": {"columns": columns}},
        }
        context = {"asset_keys": ["shop/daily", "äöü/a\\/b"], "job_name": "daily", "extras": {"n": number}}
        job = register(server, context={**context, "partition_key": f"2026-01-{number + 1:02}"})
        fresh = check("shop/daily", "fresh", passed=number % 5 != 2, severity="WARN")
        fresh["params"]["metadata"] = {"age": number * 1.5}
        job.append(
            [
                opened(),
                log(f"day {number}: {'token' if number % 2 else 'word'} of day"),
                materialization("shop/daily", metadata=metadata, data_version=str(number)),
                materialization("äöü/a\\/b", metadata={"rows": number}),
                check("shop/daily", "enough_rows", passed=number % 9 != 4),
                fresh,
                closed(),
            ]
        )
        job.finish(exit_code=0)
    assert job is not None
    return job


def long_log(server: Server, *, lines: int = 4000) -> Job:
    job = register(server, context={"asset_keys": ["big/log"], "job_name": "big log"})
    numbered(job, [opened()])
    for first in range(0, lines, 250):
        numbered(job, [_line(number) for number in range(first, first + 250)], first=2 + first)
    numbered(job, [closed()], first=lines + 2)
    job.finish(exit_code=0)
    return job


def _line(number: int) -> Json:
    if number % 100 == 7:
        text = f"\u001b[31mred words {number}\u001b[0m 10%\r55%\r100% done\n"
        return {"method": "log_external_stream", "params": {"stream": "stderr", "text": text, "extras": {}}}
    if number % 500 == 11:
        return {**log(f"line {number}: a needle in the hay", level="ERROR"), "details": {"fields": {"n": number}}}
    return log(f"line {number}: processed a chunk of rows", level=("DEBUG", "INFO", "INFO", "WARN")[number % 4])


def by_curl(server: Server) -> Job:
    """Bare messages without numbers; one twice under a key."""
    job = register(server, context={"job_name": "shell"}, headers={"Idempotency-Key": "shell-1"})
    job.append(opened())
    for _ in range(2):
        job.append(materialization("by/curl", metadata={"rows": 3}), headers={"Idempotency-Key": "k-1"})
    job.append("not json at all")
    job.append(closed())
    job.finish(exit_code=0)
    return job


def large_context(server: Server) -> Job:
    job = register(server, context={"job_name": "large", "extras": {"n" * 50: ["x" * 100] * 300, "secret_key": "s"}})
    claim = {**log("Launching."), "details": {"launch": {"claim": "c1", "host": "n1"}}}
    job.append(claim, headers={"Idempotency-Key": "standpipe-launch"})
    job.append([opened(), closed()])
    job.finish(exit_code=0)
    return job


def waiting(server: Server) -> Job:
    return register(server, context={"job_name": "queued"}, launcher="kubernetes", open_within_seconds=YEARS)


def running(server: Server) -> Job:
    job = register(
        server,
        context={"asset_keys": ["live/feed"], "job_name": "live"},
        lease_seconds=YEARS,
        expected={"asset_keys": ["live/feed"]},
    )
    numbered(job, [opened(), log("first line"), log("second line", level="WARNING")])
    return job


def running_without_a_lease(server: Server) -> Job:
    job = register(server, context={"job_name": "live"})
    job.append([opened(), custom(1)])
    return job


def cancelling(server: Server) -> Job:
    job = running(server)
    server.http.post(f"{job.path}/cancel", json={"reason": "too long"})
    return job


def running_again(server: Server) -> Job:
    """Lost and revived, and still at it: its lease is short, but it has closed and waits to settle."""
    job = register(server, context={"job_name": "far away"}, lease_seconds=0.3, settle_seconds=YEARS)
    numbered(job, [opened()])
    wait_for(job, "lost")
    numbered(job, [custom("back"), closed()], first=2)
    return job


def due_after_a_restart(server: Server) -> Job:
    """Ends by itself soon: the server is stopped before, so that the next one has to end it."""
    return register(server, context={"job_name": "due"}, open_within_seconds=3)
