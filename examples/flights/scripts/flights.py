"""Cuts one month out of the year's flights."""

import hashlib
from datetime import datetime
from pathlib import Path

import pandas as pd
from source import URL, table

from standpipe import PipesContext, open_pipes


def main(context: PipesContext) -> None:
    window = context.partition_time_window
    start, end = (datetime.fromisoformat(window[side]) for side in ("start", "end"))
    context.log.info(f"reading the flights from {start:%d %B} until before {end:%d %B %Y}")
    year = pd.read_csv(table("flights.csv.zip"))
    month = year[(year["year"] == start.year) & (year["month"] == start.month)]
    folder = Path(context.get_extra("folder"))
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / f"flights-{context.partition_key}.csv"
    month.to_csv(target, index=False)

    cancelled = month["dep_time"].isna()
    sample = month[["time_hour", "carrier", "flight", "origin", "dest", "dep_delay"]].head(5)
    columns = [{"name": name, "type": str(kind)} for name, kind in sample.dtypes.items()]
    context.report_asset_materialization(
        metadata={
            "rows": len(month),
            "cancelled": {"type": "float", "raw_value": round(float(cancelled.mean()), 4)},
            "first_flights": {
                "type": "table",
                "raw_value": {
                    "schema": columns,
                    "records": sample.astype(object).where(sample.notna(), None).to_dict("records"),
                },
            },
            "last_departure": {"type": "timestamp", "raw_value": pd.Timestamp(month["time_hour"].max()).timestamp()},
            "file": {"type": "path", "raw_value": str(target)},
            "source": {"type": "url", "raw_value": URL},
        },
        data_version=hashlib.sha256(target.read_bytes()).hexdigest()[:16],
    )
    days, expected = month["day"].nunique(), (end - start).days
    context.report_asset_check("every_day_is_there", passed=days == expected, metadata={"days": days})


if __name__ == "__main__":
    with open_pipes() as context:
        main(context)
