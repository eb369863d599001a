"""Values that are wide, many or not finite, drawn in part and found all the same."""

from __future__ import annotations

import math
from typing import Any

from tests.support.browser import Visit
from tests.support.server import Server
from tests.support.wire import closed, materialization, opened, register


def _table(columns: int) -> dict[str, Any]:
    names = [f"feature_{n}" for n in range(columns)]
    schema = [{"name": name, "type": "int", "constraints": {"nullable": False}} for name in names]
    return {"type": "table", "raw_value": {"records": [dict.fromkeys(names, 1) for _ in range(30)], "schema": schema}}


def test_of_a_wide_table_some_columns_are_drawn_and_the_others_are_found(site: Server, visit: Visit) -> None:
    job = register(site)
    job.append([opened(), materialization("broad-features", metadata={"sample": _table(1500)}), closed()])
    job.finish(exit_code=0)
    visit.go(f"/invocations/{job.id}")
    table = visit.page.get_by_role("region", name="Table sample broad-features")
    table.get_by_text("feature_39", exact=True).first.wait_for()
    assert visit.page.locator("*").count() < 5000
    table.get_by_label("Find columns").first.fill("feature_1499")
    table.get_by_role("columnheader", name="feature_1499").wait_for()
    assert table.get_by_text("1 of 1,500 columns fit").is_visible()
    visit.shoot("wide-table")
    visit.check_access()


def test_numbers_that_are_many_or_not_finite_are_found_on_the_assets_page(site: Server, visit: Visit) -> None:
    for value in (0.5, 0.4, math.nan):
        layers: dict[str, Any] = {f"layer_{n:03d}": float(n) for n in range(600)}
        loss = {"raw_value": "NaN" if math.isnan(value) else value, "type": "float"}
        metadata = {**layers, "val_loss": loss}
        register(site).append([opened(), materialization("net", metadata=metadata), closed()])
    visit.go("/assets/net")
    visit.page.get_by_label("Find numbers").fill("val")
    plot = visit.page.get_by_role("region", name="val_loss over time")
    plot.locator(".value-number", has_text="NaN").wait_for()
    plot.get_by_text("3 points").click()
    assert plot.locator("td.number").all_inner_texts() == ["NaN", "0.4", "0.5"]
    visit.shoot("numbers-not-finite")
    visit.check_access()


def test_a_lineage_of_many_columns_and_long_cells_leave_the_page_usable(site: Server, visit: Visit) -> None:
    names = [f"feature_{n}" for n in range(1500)]
    lineage = {name: [{"asset_key": "raw/data", "column_name": name}] for name in names}
    table = {"records": [{"text": "long " * 20_000}] * 30, "schema": [{"name": "text", "type": "string"}]}
    metadata = {
        "lineage": {"type": "table_column_lineage", "raw_value": {"deps_by_column": lineage}},
        "texts": {"type": "table", "raw_value": table},
    }
    job = register(site)
    job.append([opened(), materialization("broad-lineage", metadata=metadata), closed()])
    job.finish(exit_code=0)
    visit.go(f"/invocations/{job.id}")
    visit.page.get_by_text("As a list").click()
    visit.page.get_by_label("Find columns").fill("feature_1499")
    visit.page.get_by_text("1 of 1,500 columns fit").wait_for()
    visit.page.get_by_text("(100,000 characters)").first.wait_for()
    assert visit.page.locator("*").count() < 5000
    assert len(visit.page.inner_text("main")) < 100_000
