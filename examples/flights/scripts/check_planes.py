"""Checks whether every plane that flew is in the register of planes."""

from pathlib import Path

import pandas as pd

from standpipe import PipesContext, open_pipes


def main(context: PipesContext) -> None:
    folder = Path(context.get_extra("folder"))
    flights = pd.read_csv(folder / f"flights-{context.partition_key}.csv", usecols=["tailnum"])
    planes = pd.read_csv(folder / "planes.csv", usecols=["tailnum"])
    flown = flights["tailnum"].dropna()
    unknown = flown[~flown.isin(planes["tailnum"])]
    context.report_asset_check(
        "every_plane_is_known",
        passed=unknown.empty,
        severity="WARN",
        asset_key="flights",
        metadata={
            "unknown_planes": unknown.nunique(),
            "flights_with_them": len(unknown),
            "examples": sorted(unknown.unique())[:5],
        },
    )


if __name__ == "__main__":
    with open_pipes() as context:
        main(context)
