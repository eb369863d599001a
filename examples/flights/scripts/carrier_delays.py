"""How late each airline was in one month. The table goes back to the orchestration code as a custom message."""

from pathlib import Path

import pandas as pd

from standpipe import PipesContext, open_pipes

LINEAGE = {
    "carrier": [{"asset_key": "flights", "column": "carrier"}],
    "airline": [{"asset_key": "airlines", "column": "name"}],
    "flights": [{"asset_key": "flights", "column": "flight"}],
    "mean_delay": [{"asset_key": "flights", "column": "arr_delay"}],
}


def report_of(table: pd.DataFrame, month: str) -> str:
    lines = [f"# Delays in {month}", "", "| airline | flights | minutes late |", "|---|---:|---:|"]
    lines += [f"| {row.airline} | {row.flights} | {row.mean_delay:.1f} |" for row in table.itertuples()]
    return "\n".join(lines)


def main(context: PipesContext) -> None:
    folder = Path(context.get_extra("folder"))
    flights = pd.read_csv(folder / f"flights-{context.partition_key}.csv")
    airlines = pd.read_csv(folder / "airlines.csv").rename(columns={"name": "airline"})
    delays = flights.groupby("carrier").agg(flights=("flight", "size"), mean_delay=("arr_delay", "mean"))
    table = delays.reset_index().merge(airlines, on="carrier", how="left").sort_values("mean_delay")
    print(f"{len(flights):,} flights of {len(table)} airlines in {context.partition_key}")
    context.report_custom_message(table.round(2).to_dict("records"))
    context.report_asset_materialization(
        metadata={
            "airlines": len(table),
            "report": {"type": "md", "raw_value": report_of(table, context.partition_key)},
            "columns": {"type": "table_column_lineage", "raw_value": {"table_column_lineage": LINEAGE}},
        }
    )


if __name__ == "__main__":
    with open_pipes() as context:
        main(context)
