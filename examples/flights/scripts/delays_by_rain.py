"""Whether rain makes flights late: the standard library and `standpipe` are enough to report a table."""

import csv
from pathlib import Path

from source import table

from standpipe import PipesContext, open_pipes

CLASSES = (("dry", 0.0), ("light rain", 0.05), ("rain", float("inf")))
SCHEMA = [
    {"name": "weather", "type": "string", "constraints": {"unique": True, "nullable": False}},
    {"name": "flights", "type": "int", "constraints": {"min": 0}},
    {"name": "mean_delay", "type": "float", "description": "minutes late at departure"},
]


def main(context: PipesContext) -> None:
    with table("weather.csv").open(newline="") as file:
        rain = {(row["origin"], row["time_hour"]): float(row["precip"]) for row in csv.DictReader(file)}
    delays: dict[str, list[float]] = {name: [] for name, _ in CLASSES}
    unknown = 0
    with (Path(context.get_extra("folder")) / f"flights-{context.partition_key}.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            inches = rain.get((row["origin"], row["time_hour"]))
            if inches is None or not row["dep_delay"]:
                unknown += 1
                continue
            name = next(name for name, most in CLASSES if inches <= most)
            delays[name].append(float(row["dep_delay"]))
    records = [
        {"weather": name, "flights": len(values), "mean_delay": round(sum(values) / len(values), 1) if values else None}
        for name, values in delays.items()
    ]
    if unknown:
        context.log.warning(f"{unknown} flights are left out: cancelled, or without weather")
    context.report_asset_materialization(
        metadata={
            "delays": {"type": "table", "raw_value": {"schema": SCHEMA, "records": records}},
            "left_out": unknown,
        }
    )


if __name__ == "__main__":
    with open_pipes() as context:
        main(context)
