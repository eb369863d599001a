"""What an invocation has reported so far of many assets."""

from __future__ import annotations

import json
from typing import Any

import pytest
from sqlalchemy import Connection, event

from standpipe_server.store.database.state_rows import find_asset_pks, read_reported
from tests.integration.store.conftest import Bench, body
from tests.support.wire import check, materialization

pytestmark = pytest.mark.anyio

ASSETS = 1_200


async def test_many_assets_are_looked_up_one_by_one_and_checks_are_read_once(bench: Bench) -> None:
    keys = [f"asset-{number}" for number in range(ASSETS)]
    asked = json.dumps({"context": {}, "expected": {"asset_keys": [*keys, "unknown"]}}).encode()
    target = await bench.register(asked)
    await bench.append(target, body(*(materialization(key) for key in keys[1:]), check(keys[-1], "c")))
    plans: list[str] = []

    def explain(connection: Connection) -> None:
        pk = connection.exec_driver_sql("SELECT pk FROM invocation").scalar_one()
        statements: list[tuple[str, Any]] = []

        def seen(_connection: Any, _cursor: Any, statement: str, values: Any, *_: Any) -> None:
            statements.append((statement, values))

        event.listen(connection, "before_cursor_execute", seen)
        found = find_asset_pks(connection, [*keys, "unknown"])
        del statements[:]
        reported = read_reported(connection, pk, found)
        event.remove(connection, "before_cursor_execute", seen)
        assert reported.materialized == frozenset(keys[1:])
        assert reported.checked == {(keys[-1], "c")}
        assert sum("asset_check" in statement for statement, _ in statements) == 1
        if connection.dialect.name == "sqlite":
            for statement, values in statements:
                if "materialization" in statement:
                    rows = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", values)
                    plans.extend(row.detail for row in rows)

    await bench.store.reads.run(explain)
    assert all("invocation_pk=? AND asset_pk=?" in plan for plan in plans), plans
    progress = (await bench.invocation(target))["expected_progress"]
    assert "unknown" in json.dumps(progress)
