"""Every verdict of protocol 1.0, for every reason, alone and together, each by a server of that time."""

from __future__ import annotations

import json

from tests.migration.old_words import TRACE, exception, ledger, numbered
from tests.support.server import Server
from tests.support.story import EXTRAS, HOSTILE, METADATA
from tests.support.wire import Job, check, closed, custom, log, materialization, opened, register


def succeeded(server: Server) -> Job:
    """Complete, with a ledger that agrees, everything expected, and some log lines that were dropped."""
    job = register(
        server,
        context={"asset_keys": ["shop/orders"], "job_name": "nightly <b>", "run_id": "run-1", "extras": EXTRAS},
        tags={"team": "shop", "note": HOSTILE},
        launcher={"kind": "docker", "image": "shop/orders:17"},
        expected={
            "asset_keys": ["shop/orders"],
            "checks": [{"asset_key": "shop/orders", "check_name": "no_nulls"}],
            "custom_messages": 1,
        },
    )
    messages = [
        {"method": "opened", "params": {"extras": {"rank": 0, "world_size": 1, "host": "n1", "pid": 41}}},
        log("Reading the orders."),
        materialization("shop/orders", metadata=METADATA, data_version="v17"),
        check("shop/orders", "no_nulls"),
        check("shop/orders", "no_nulls"),
        check("shop/orders", "few", passed=False, severity="WARN"),
        custom({"html": HOSTILE, "big": 10**40, "nul": "a\0b"}),
    ]
    numbered(job, messages)
    numbered(job, [ledger(messages, dropped_logs=3), log("after the end")], first=len(messages) + 1)
    job.finish(exit_code=0)
    return job


def red_check(server: Server) -> Job:
    job = register(server, context={"asset_keys": ["shop/stock"], "job_name": "stock", "partition_key": "2026-01-31"})
    job.append([opened(), materialization("shop/stock"), check("shop/stock", "in_range", passed=False), closed()])
    job.finish(exit_code=0)
    return job


def settled(server: Server) -> Job:
    """Ended by itself."""
    job = register(server, context={"job_name": "by itself"}, settle_seconds=0)
    job.append([log("before it opens"), opened(), custom(1), closed()])
    return job


def cancelled_and_clean(server: Server) -> Job:
    job = register(server, context={"job_name": "asked too late"})
    server.http.post(f"{job.path}/cancel", json={"reason": "not needed any more"})
    job.append([opened(), closed()])
    job.finish(exit_code=0)
    return job


def failed_with_exception(server: Server) -> Job:
    cause = {"name": "OSError", "message": "no database", "stack": TRACE, "cause": None, "context": None}
    job = register(server, context={"asset_keys": ["shop/orders"], "job_name": "nightly <b>", "retry_number": 1})
    job.append([opened(), log("about to fail", level="ERROR"), exception(f"it broke {HOSTILE}", cause=cause)])
    job.finish(exit_code=1, reason="Traceback (most recent call last)\n  …\nRuntimeError: it broke")
    return job


def failed_with_exit_code(server: Server) -> Job:
    job = register(server, context={"job_name": "killed"}, launcher={"kind": "subprocess"})
    job.append({"method": "log_external_stream", "params": {"stream": "stderr", "text": "Killed\n", "extras": {}}})
    job.append([opened()], producer="worker", first_seq=1)
    job.finish(exit_code=-9, reason="Killed")
    return job


def failed_by_exit_code_alone(server: Server) -> Job:
    job = register(server, context={"job_name": "leaves with 3"})
    job.append([opened(), closed()])
    job.finish(exit_code=3)
    return job


def failed_by_rejections(server: Server) -> Job:
    job = register(server, context={"asset_keys": ["a"], "job_name": "strict"})
    twice = materialization("a")
    wrong = check("a", "c")
    wrong["params"]["passed"] = "yes"
    job.append([opened(), materialization("b"), twice, twice, wrong, {"method": "report_nonsense", "params": {}}])
    assert job.append(json.dumps(wrong)).status_code == 422
    job.append([closed()])
    job.finish(exit_code=0)
    return job


def failed_many_times(server: Server) -> Job:
    """More reasons than are listed, and more producers."""
    job = register(server, context={"job_name": "wide"}, expected={"custom_messages": 500})
    for rank in range(120):
        told = {"method": "opened", "params": {"extras": {"rank": rank, "world_size": 120, "host": f"n{rank % 4}"}}}
        last = exception(f"rank {rank} broke") if rank % 4 == 0 else custom(rank)
        numbered(job, [told, last], producer=f"rank-{rank:03}")
    job.finish(exit_code=1)
    return job


def cancelled(server: Server) -> Job:
    job = register(server, context={"job_name": "long one"})
    job.append([opened()], producer="worker", first_seq=1)
    server.http.post(f"{job.path}/cancel")
    job.finish(exit_code=143)
    return job


def cancelled_with_exception(server: Server) -> Job:
    job = register(server, context={"job_name": "long one"})
    job.append([opened()])
    server.http.post(f"{job.path}/cancel", json={"reason": "by a person"})
    job.append([closed(exception={"name": "PipesCancelled", "message": "asked to stop", "stack": []})])
    job.finish(exit_code=1)
    return job


def cancelled_before_it_began(server: Server) -> Job:
    job = register(server, context={"job_name": "long one"}, expected={"asset_keys": ["x"]})
    server.http.post(f"{job.path}/cancel")
    job.finish()
    return job


def cancelled_when_sigterm_came(server: Server) -> Job:
    job = register(server, context={"job_name": "long one"})
    job.append([opened()])
    server.http.post(f"{job.path}/cancel")
    job.append([closed(exception={"name": "SIGTERM", "message": "SIGTERM\n", "stack": TRACE})])
    job.finish(exit_code=-15)
    return job


def ended_by_sigterm(server: Server) -> Job:
    job = register(server, context={"job_name": "ended from outside"})
    job.append([opened(), closed(exception={"name": "SIGTERM", "message": "SIGTERM\n", "stack": TRACE})])
    job.finish(exit_code=-15)
    return job


def not_launched(server: Server) -> Job:
    job = register(server, context={"asset_keys": ["far/away"], "job_name": "far"}, launcher="kubernetes")
    job.finish(launched=False, reason="no such image: shop/orders:18")
    return job


def not_launched_and_opened(server: Server) -> Job:
    job = register(server, context={"job_name": "far"})
    job.append([opened(), closed()])
    job.finish(launched=False, reason="no answer within 30 s")
    return job


def never_opened(server: Server) -> Job:
    job = register(server, context={"job_name": "silent"})
    job.append({"method": "log_external_stream", "params": {"stream": "stdout", "text": "hello\n", "extras": {}}})
    job.finish(exit_code=0, reason="hello")
    return job


def never_opened_in_time(server: Server) -> Job:
    return register(server, context={"job_name": "silent"}, open_within_seconds=0.05)


def finished_without_a_word(server: Server) -> Job:
    job = register(server, context={"job_name": "silent"})
    job.finish(reason="the queue dropped it")
    return job


def never_closed(server: Server) -> Job:
    job = register(server, context={"job_name": "left", "partition_key": "2026-02-01"})
    numbered(job, [opened(), custom(1)], producer="rank-0")
    numbered(job, [opened(), log("last words")], producer="rank-1")
    numbered(job, [closed()], producer="rank-0", first=3)
    job.finish(exit_code=0)
    return job


def missing_tail(server: Server) -> Job:
    """Its last two messages wait on a disk."""
    job = register(server, context={"asset_keys": ["late/asset"], "job_name": "tail"})
    numbered(job, [opened(), materialization("late/asset")], sent=4)
    job.finish(exit_code=0)
    return job


def ledger_disagrees(server: Server) -> Job:
    job = register(server, context={"job_name": "changed on the way"})
    messages = [opened(), custom(1)]
    numbered(job, [*messages, ledger(messages, sha256="0" * 64)], producer="a")
    numbered(job, [*messages, ledger(messages, messages=7)], producer="b")
    job.finish(exit_code=0)
    return job


def missing_results(server: Server) -> Job:
    expected = {
        "asset_keys": ["shop/orders", "shop/items"],
        "checks": [{"asset_key": "shop/orders", "check_name": "no_nulls"}],
        "custom_messages": 2,
    }
    job = register(server, context={"job_name": "half", "partition_key": "2026-02-01"}, expected=expected)
    job.append([opened(), materialization("shop/orders"), custom(1), closed()])
    job.finish(exit_code=0)
    return job


def all_at_once(server: Server) -> Job:
    """Everything that can be wrong is."""
    job = register(
        server,
        context={"asset_keys": ["a"], "job_name": "all"},
        expected={"asset_keys": ["a"], "checks": [{"asset_key": "a", "check_name": "c"}], "custom_messages": 9},
    )
    messages = [opened(), materialization("b")]
    numbered(job, [*messages, ledger(messages, messages=9)], producer="a")
    numbered(job, [opened()], producer="b", sent=5)
    numbered(job, [opened(), exception("broke")], producer="c")
    job.finish(exit_code=2, reason="broke")
    return job
