"""Invocations as awkward as they come: every metadata type, every verdict, hostile text, many lines, many producers."""

from __future__ import annotations

from typing import Any

from tests.support.platform_story import platform_story
from tests.support.server import Server
from tests.support.waiting import wait_until
from tests.support.wire import Job, Json, check, closed, custom, log, materialization, observation, opened, register

HOSTILE = "<img src=x onerror=\"document.title='owned'\"><script>document.title='owned'</script>"
HOSTILE_MARKDOWN = f"""# A heading with <b>HTML</b>

{HOSTILE}

[click](javascript:document.title='owned') [data](data:text/html;base64,PHNjcmlwdD4=) [good](https://example.com/a)

![picture](https://example.com/tracker.png)

<a href="https://example.com" onclick="document.title='owned'" style="position:fixed;inset:0">cover</a>
<form action="https://example.com"><button>send</button></form><style>body{{display:none}}</style>
<svg><a xlink:href="javascript:alert(1)"><text>svg</text></a></svg>

| delay | count |
|---|---|
| *early* | 12 |
| **late** | 7 |

- [x] done
- ~~struck~~ and `code`
"""
COLUMNS: list[Json] = [
    {"name": "id", "type": "int", "description": "the order", "constraints": {"nullable": False, "unique": True}},
    {"name": "price", "type": "float", "constraints": {"min": 0, "max": 10_000}, "tags": {"pii": ""}},
    {"name": HOSTILE, "type": "string", "description": HOSTILE},
]
METADATA: Json = {
    "rows": {"type": "int", "raw_value": 1_234_567},
    "huge": {"type": "int", "raw_value": 123456789012345678901234567890},
    "ratio": {"type": "float", "raw_value": 0.4271},
    "not finite": {"type": "float", "raw_value": "NaN"},
    "complete": {"type": "bool", "raw_value": True},
    "nothing": {"type": "null", "raw_value": None},
    "note": {"type": "text", "raw_value": "plain words \u202egnirts\u202c and \u0007 a bell"},
    "hostile": {"type": "text", "raw_value": HOSTILE},
    HOSTILE: {"type": "text", "raw_value": "a hostile label"},
    "dashboard": {"type": "url", "raw_value": "https://example.com/board?a=1"},
    "bad url": {"type": "url", "raw_value": "javascript:document.title='owned'"},
    "file": {"type": "path", "raw_value": "/data/orders/2026-01-31.parquet"},
    "notebook": {"type": "notebook", "raw_value": "/notebooks/orders.ipynb"},
    "seen at": {"type": "timestamp", "raw_value": 1_769_860_800.5},
    "upstream": {"type": "asset", "raw_value": "raw/orders"},
    "run": {"type": "dagster_run", "raw_value": "0192aaaa-0000-7000-8000-000000000000"},
    "settings": {"type": "json", "raw_value": {"a": [1, 2, {"deep": [True, None, HOSTILE]}], "b": {"c": "d" * 600}}},
    "report": {"type": "md", "raw_value": HOSTILE_MARKDOWN},
    "sample": {
        "type": "table",
        "raw_value": {
            "records": [{"id": n, "price": n * 1.5, "city": "Zürich" if n % 2 else HOSTILE} for n in range(60)],
            "schema": COLUMNS[:2],
        },
    },
    "columns": {"type": "table_schema", "raw_value": {"columns": COLUMNS, "constraints": {"other": ["id < 1e9"]}}},
    "lineage": {
        "type": "table_column_lineage",
        "raw_value": {
            "deps_by_column": {
                "id": [{"asset_key": "raw/orders", "column_name": "order_id"}],
                "price": [
                    {"asset_key": "raw/orders", "column_name": "amount"},
                    {"asset_key": "raw/rates", "column_name": "rate"},
                ],
                "city": [{"asset_key": "raw/customers", "column_name": "address"}],
            }
        },
    },
    "misfit": {"type": "int", "raw_value": "three"},
    "inferred": 17.25,
}
EXTRAS: Json = {"folder": "/data", "api_key": "do-not-show-me", "nested": {"password": "do-not-show-me", "port": 5432}}


def everything(server: Server) -> Job:
    """Succeeded, with every metadata type and hostile text wherever text may stand."""
    job = register(
        server,
        context={
            "asset_keys": ["shop/orders"],
            "job_name": "nightly <b>job</b>",
            "partition_key": "2026-01-31",
            "run_id": "run-1",
            "extras": EXTRAS,
        },
        tags={"team": "shop", "note": HOSTILE},
        launcher={"kind": "docker", "image": "shop/orders:17"},
        expected={"asset_keys": ["shop/orders"], "checks": [{"asset_key": "shop/orders", "check_name": "no_nulls"}]},
    )
    with_schema = check("shop/orders", "no_nulls")
    with_schema["params"]["metadata"] = {"nulls": {"type": "int", "raw_value": 0}}
    job.append(
        [
            opened(),
            log("Reading the orders."),
            log(HOSTILE, level="WARNING"),
            materialization("shop/orders", metadata=METADATA, data_version="v17"),
            with_schema,
            check("shop/orders", HOSTILE[:40], passed=False, severity="WARN"),
            custom({"hello": "world", "html": HOSTILE, "list": list(range(80))}),
            custom("just text"),
            closed(),
        ]
    )
    job.finish(exit_code=0)
    return job


def red_check(server: Server) -> Job:
    """A green verdict under which a check failed."""
    job = register(server, context={"asset_keys": ["shop/stock"], "job_name": "stock"})
    job.append([opened(), materialization("shop/stock"), check("shop/stock", "in_range", passed=False), closed()])
    job.finish(exit_code=0)
    return job


def observed(server: Server) -> Job:
    """Succeeded, and saw more than it made."""
    job = register(server, context={"asset_keys": ["shop/made", "shop/seen"], "partition_key": "2026-01-31"})
    tags = {"source": "warehouse", "odd": 1}
    rows = {"rows": {"type": "int", "raw_value": 7}}
    seen = [
        observation("shop/seen", metadata=rows, data_version="v7", partition="2026-01-30", tags=tags),
        observation("shop/seen"),
    ]
    job.append([opened(), materialization("shop/made"), *seen, closed()])
    job.finish(exit_code=0)
    return job


def failed(server: Server, *, retry_of: str | None = None) -> Job:
    """An exception with a chain of causes, and the end of stderr."""
    frame = '  File "/app/load.py", line {}, in {}\n    {}\n'
    root = {
        "name": "ConnectionRefusedError",
        "message": "[Errno 111] refused",
        "stack": [frame.format(9, "dial", "s()")],
    }
    cause = {
        "name": "OSError",
        "message": "no database",
        "stack": [frame.format(21, "open", "dial()")],
        "context": root,
    }
    exception = {
        "name": "RuntimeError",
        "message": f"loading failed\nwith a second line {HOSTILE}",
        "stack": [frame.format(40 + n, f"step_{n}", f"step_{n + 1}(rows, {n})") for n in range(6)],
        "cause": cause,
        "context": None,
    }
    job = register(
        server, context={"asset_keys": ["shop/orders"], "job_name": "nightly", "retry_number": 1}, retry_of=retry_of
    )
    job.append([opened(), log("about to fail", level="ERROR"), closed(exception=exception)])
    job.finish(exit_code=1)
    return job


def incomplete(server: Server) -> Job:
    """Something expected is missing, and a producer never closed."""
    expected = {
        "asset_keys": ["shop/orders", "shop/items"],
        "checks": [{"asset_key": "shop/orders", "check_name": "no_nulls"}],
        "custom_messages": 2,
    }
    job = register(server, context={"job_name": "nightly", "partition_key": "2026-02-01"}, expected=expected)
    job.append([opened(), materialization("shop/orders"), custom(1)], producer="rank-0", first_seq=1)
    job.append([opened()], producer="rank-1", first_seq=1)
    job.append([closed()], producer="rank-0", first_seq=4)
    job.finish(exit_code=0)
    return job


def rejected(server: Server) -> Job:
    job = register(server, context={"asset_keys": ["a"], "job_name": "strict"})
    job.append([opened(), materialization("b"), {"method": "report_nonsense", "params": {}}, closed()])
    job.finish(exit_code=0)
    return job


def cancelled(server: Server) -> Job:
    job = register(server, context={"job_name": "long one"})
    job.append([opened()])
    server.http.post(f"{job.path}/cancel")
    job.finish(exit_code=143)
    return job


def lost(server: Server) -> Job:
    """Opened, and then not heard of for as long as its lease."""
    job = register(server, context={"asset_keys": ["far/away"], "job_name": "far away"}, lease_seconds=1)
    job.append([opened(), log("the last words")])
    wait_until(lambda: job.read()["verdict"] == "lost", what="the lease to run out")
    return job


def waiting(server: Server) -> Job:
    return register(server, context={"asset_keys": ["later"], "job_name": "queued"}, launcher="kubernetes")


def running(server: Server) -> Job:
    """Opened, with a lease, and never closed."""
    job = register(
        server,
        context={"asset_keys": ["live/feed"], "job_name": "live"},
        lease_seconds=3600,
        expected={"asset_keys": ["live/feed"]},
    )
    job.append([opened(), log("first line"), log("second line", level="WARNING")], producer="worker", first_seq=1)
    return job


def many_lines(server: Server, *, lines: int = 50_000) -> Job:
    """A long log: short and long lines, levels, output, a progress bar, colours of terminals."""
    job = register(server, context={"asset_keys": ["big/log"], "job_name": "big log"})
    job.append([opened()], producer="worker", first_seq=1)
    seq = 2
    for start in range(0, lines, 5000):
        batch = [_line(number) for number in range(start, min(start + 5000, lines))]
        assert job.append(batch, producer="worker", first_seq=seq).status_code == 200
        seq += len(batch)
    job.append([closed()], producer="worker", first_seq=seq)
    job.finish(exit_code=0)
    return job


def _line(number: int) -> Json:
    if number % 500 == 7:
        text = f"\u001b[31mred words {number}\u001b[0m 10%\r55%\r100% done"
        return {"method": "log_external_stream", "params": {"stream": "stderr", "text": text, "extras": {}}}
    if number % 1000 == 11:
        return log(f"line {number}: a needle in the hay", level="ERROR")
    level = ("DEBUG", "INFO", "INFO", "INFO", "WARNING")[number % 5]
    return log(f"line {number}: " + ("long " * 80 if number % 97 == 0 else "processed a chunk of rows"), level=level)


def many_producers(server: Server, *, ranks: int = 40) -> Job:
    job = register(server, context={"asset_keys": ["wide/table"], "job_name": "wide"})
    for rank in range(ranks):
        job.append(
            [opened(), log(f"rank {rank} works"), custom({"rank": rank})], producer=f"rank-{rank:02}", first_seq=1
        )
    for rank in range(ranks):
        job.append([closed()], producer=f"rank-{rank:02}", first_seq=4)
    job.finish(exit_code=0)
    return job


def history_of_an_asset(server: Server, *, key: str = "shop/daily", times: int = 24) -> list[Job]:
    """Materializations with numbers that move, a check that failed twice, and a schema that changed."""
    jobs: list[Job] = []
    for number in range(times):
        columns: list[Json] = [{"name": "id", "type": "int"}, {"name": "total", "type": "float"}]
        if number > times // 2:
            columns = [
                {"name": "id", "type": "string"},
                {"name": "total", "type": "float"},
                {"name": "tax", "type": "float"},
            ]
        metadata: dict[str, Any] = {
            "rows": {"type": "int", "raw_value": 1000 + 37 * number + (400 if number % 7 == 3 else 0)},
            "mean delay": {"type": "float", "raw_value": round(12 + (number * 7919 % 100) / 25, 3)},
            "columns": {"type": "table_schema", "raw_value": {"columns": columns}},
            "lineage": {
                "type": "table_column_lineage",
                "raw_value": {"deps_by_column": {"total": [{"asset_key": "shop/orders", "column_name": "price"}]}},
            },
        }
        job = register(
            server,
            context={
                "asset_keys": [key],
                "job_name": "daily",
                "partition_key": f"2026-01-{number + 1:02}",
                "extras": {"n": number},
            },
        )
        job.append(
            [
                opened(),
                log(f"day {number}"),
                materialization(key, metadata=metadata),
                check(key, "enough_rows", passed=number % 9 != 4),
                check(key, "fresh", passed=number % 5 != 2, severity="WARN"),
                closed(),
            ]
        )
        job.finish(exit_code=0)
        jobs.append(job)
    return jobs


def whole_story(server: Server) -> dict[str, Job]:
    """One of each, by name."""
    history_of_an_asset(server)
    first = failed(server)
    return platform_story(server) | {
        "failed": first,
        "retried": failed(server, retry_of=first.id),
        "incomplete": incomplete(server),
        "rejected": rejected(server),
        "cancelled": cancelled(server),
        "lost": lost(server),
        "red check": red_check(server),
        "observed": observed(server),
        "many producers": many_producers(server),
        "waiting": waiting(server),
        "everything": everything(server),
        "running": running(server),
    }
