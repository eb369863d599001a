"""Writes the tables that do not change with the month, and reports each as an asset of its own."""

import shutil
from pathlib import Path

import pandas as pd
from source import URL, table

from standpipe import PipesContext, open_pipes

KEYS = {"airlines": "carrier", "airports": "faa", "planes": "tailnum"}


def schema(frame: pd.DataFrame, key: str) -> list[dict]:
    return [
        {
            "name": name,
            "type": str(kind),
            "constraints": {"unique": name == key, "nullable": bool(frame[name].isna().any())},
        }
        for name, kind in frame.dtypes.items()
    ]


def main(context: PipesContext) -> None:
    folder = Path(context.get_extra("folder"))
    folder.mkdir(parents=True, exist_ok=True)
    for name, key in KEYS.items():
        source = table(f"{name}.csv")
        target = folder / f"{name}.csv"
        shutil.copyfile(source, target)
        frame = pd.read_csv(target)
        context.report_asset_materialization(
            asset_key=name,
            metadata={
                "rows": len(frame),
                "schema": {"type": "table_schema", "raw_value": schema(frame, key)},
                "file": {"type": "path", "raw_value": str(target)},
                "source": {"type": "url", "raw_value": URL},
                "installed": {"type": "timestamp", "raw_value": source.stat().st_mtime},
            },
        )
        context.report_asset_check(
            "unique_keys",
            passed=bool(frame[key].is_unique),
            asset_key=name,
            metadata={"key": key, "rows": len(frame)},
        )


if __name__ == "__main__":
    with open_pipes() as context:
        main(context)
