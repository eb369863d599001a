"""How values are kept: the format that gives them back, in files of this user, whatever the keys are."""

from __future__ import annotations

import datetime
import enum
import json
import math
import os
import pickle
import stat
from pathlib import Path

import pandas as pd
import pytest

from standpipe_orchestrator.definitions import StaticPartitionsDefinition, asset, materialize
from standpipe_orchestrator.definitions.io_managers import FilesystemIOManager, InputContext, OutputContext
from standpipe_orchestrator.errors import ValueNotStorable, ValueNotStored
from standpipe_orchestrator.values.asset_key import AssetKey


class Colour(enum.StrEnum):
    RED = "red"


@pytest.fixture
def manager(tmp_path: Path) -> FilesystemIOManager:
    return FilesystemIOManager(tmp_path / "values")


def keep(manager: FilesystemIOManager, value: object, key: object = "a", partition: str | None = None) -> Path:
    asset_key = key if isinstance(key, AssetKey) else AssetKey(key)  # type: ignore[arg-type]
    context = OutputContext(asset_key=asset_key, partition_key=partition, run_id="r")
    manager.handle_output(context, value)
    return Path(context.metadata["path"].value)  # type: ignore[attr-defined]


def load(manager: FilesystemIOManager, key: object = "a", partition: str | None = None) -> object:
    return manager.load_input(InputContext(asset_key=AssetKey(key), partition_key=partition))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("value", "suffix"),
    [
        (None, ".json"),
        ({"a": [1, 2.5, True, None, "é\x00\ud800"]}, ".json"),
        (2**70, ".json"),
        ((1, 2), ".pickle"),
        ({1: "a"}, ".pickle"),
        (Colour.RED, ".pickle"),
        (math.inf, ".pickle"),
        (datetime.date(2024, 1, 1), ".pickle"),
        ([(1,)], ".pickle"),
        pytest.param(10**5000, ".pickle", id="a very long integer"),
    ],
)
def test_a_value_reads_back_equal_and_of_the_same_type(
    manager: FilesystemIOManager, value: object, suffix: str
) -> None:
    path = keep(manager, value)

    assert path.suffix == suffix
    assert load(manager) == value
    assert type(load(manager)) is type(value)


@pytest.mark.parametrize(
    ("frame", "suffix"),
    [
        (pd.DataFrame({"n": [1, 2], "t": ["a", None], "f": [0.5, math.nan]}), ".parquet"),
        (pd.DataFrame({"n": {"0": 1, "1": 2}}), ".parquet"),
        (pd.DataFrame({"when": pd.to_datetime(["2013-01-01", "2013-01-02"], utc=True)}), ".parquet"),
        (pd.DataFrame({"c": pd.Categorical(["x", "y", "x"])}), ".parquet"),
        (pd.DataFrame({"mixed": [1, "a"]}), ".pickle"),
        (pd.DataFrame({1: [1], 2: [2]}), ".parquet"),
        (pd.DataFrame({"lists": [[1], [2, 3]]}), ".pickle"),
    ],
)
def test_a_data_frame_is_parquet_where_parquet_gives_it_back(
    manager: FilesystemIOManager, frame: pd.DataFrame, suffix: str
) -> None:
    path = keep(manager, frame)

    assert path.suffix == suffix
    pd.testing.assert_frame_equal(load(manager), frame)  # type: ignore[arg-type]


def test_a_new_value_replaces_the_old_one_whatever_its_format(manager: FilesystemIOManager) -> None:
    keep(manager, pd.DataFrame({"n": [1]}))
    keep(manager, (1, 2))
    path = keep(manager, "now")

    assert load(manager) == "now"
    assert sorted(file.name for file in path.parent.iterdir()) == sorted([path.name, "current.json"])


def test_a_value_that_cannot_be_kept_leaves_the_old_one(manager: FilesystemIOManager) -> None:
    path = keep(manager, 1)

    with pytest.raises(ValueNotStorable, match="The value of the asset 'a' \\(function\\)"):
        keep(manager, lambda: None)

    assert load(manager) == 1
    assert sorted(file.name for file in path.parent.iterdir()) == sorted([path.name, "current.json"])


def test_what_was_never_stored_is_said_by_name(manager: FilesystemIOManager) -> None:
    with pytest.raises(ValueNotStored, match="No value is stored of the asset 'a' for the partition 'x'"):
        load(manager, partition="x")


@pytest.mark.parametrize(
    "parts",
    [["..", "..", "etc"], ["/etc/passwd"], ["a/b"], ["a", "b"], [""], ["A"], ["a"], ["CON"], ["x" * 500], ["\x00"]],
)
def test_no_key_leaves_the_folder(manager: FilesystemIOManager, tmp_path: Path, parts: list[str]) -> None:
    path = keep(manager, 1, AssetKey(parts), partition="../../x")

    assert path.resolve().is_relative_to((tmp_path / "values").resolve())
    assert len(path.relative_to(tmp_path / "values").parts) == 3


def test_keys_that_look_alike_are_kept_apart_on_every_file_system(manager: FilesystemIOManager) -> None:
    keys = [["a/b"], ["a", "b"], ["A", "b"], ["a-b"], ["a b"]]
    paths = [str(keep(manager, number, AssetKey(parts)).parent).lower() for number, parts in enumerate(keys)]

    assert len(set(paths)) == len(keys)
    assert [load(manager, parts) for parts in keys] == [0, 1, 2, 3, 4]


@pytest.mark.skipif(os.name != "posix", reason="modes are POSIX's")
def test_the_folder_is_of_its_user_alone(manager: FilesystemIOManager) -> None:
    path = keep(manager, 1)
    modes = {stat.S_IMODE(folder.stat().st_mode) for folder in (manager.folder, path.parent.parent, path.parent)}
    assert stat.S_IMODE(manager.folder.stat().st_mode) == 0o700
    assert all(mode & 0o022 == 0 for mode in modes)


@pytest.mark.skipif(os.name != "posix", reason="modes are POSIX's")
def test_nothing_is_unpickled_from_a_folder_that_others_may_write_to(manager: FilesystemIOManager) -> None:
    keep(manager, (1, 2))
    manager.folder.chmod(0o777)

    with pytest.raises(ValueNotStored, match="others may write to it"):
        load(manager)


def test_a_file_name_in_the_note_of_the_current_value_cannot_point_elsewhere(
    manager: FilesystemIOManager, tmp_path: Path
) -> None:
    path = keep(manager, (1, 2))
    elsewhere = tmp_path / "evil.pickle"
    elsewhere.write_bytes(pickle.dumps("evil"))
    note = {"format": "pickle", "file": str(elsewhere), "partition_key": None, "run_id": "r"}
    (path.parent / "current.json").write_text(json.dumps(note))

    with pytest.raises(FileNotFoundError):
        load(manager)


def test_an_unpartitioned_asset_is_given_every_stored_slice(manager: FilesystemIOManager) -> None:
    @asset(partitions_def=StaticPartitionsDefinition(["eu", "us", "asia"]))
    def sales(context) -> str:
        return f"of {context.partition_key}"

    @asset
    def overview(sales: dict[str, str]) -> list[str]:
        return [f"{region}: {value}" for region, value in sales.items()]

    for region in ("us", "eu"):
        materialize([sales], partition_key=region, resources={"io_manager": manager})
    result = materialize([sales, overview], selection="overview", resources={"io_manager": manager})

    assert result.asset_value("overview") == ["eu: of eu", "us: of us"]
