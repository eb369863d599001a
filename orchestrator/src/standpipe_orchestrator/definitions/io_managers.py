"""Stores the values handed between assets: in files that only this machine's user may write.

Data frames are Parquet, what is JSON is JSON, the rest is a local pickle; a format is used only if the value reads back
the same. Only files that this code wrote, in a folder that only this user may write to, are unpickled; nothing
that came over the network ever is. No part of a key can name a path: folders are a readable stem and a hash.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import json
import os
import pickle
import re
import secrets
import shutil
import stat
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from standpipe_orchestrator.errors import ValueNotStorable, ValueNotStored
from standpipe_orchestrator.values.asset_key import AssetKey
from standpipe_orchestrator.values.metadata_values import PathMetadataValue
from standpipe_protocol.home import standpipe_home

VALUES_FOLDER = "values"
_CURRENT = "current.json"
_MOVED_MODULES = {
    "standpipe_orchestrator.asset_key": "standpipe_orchestrator.values.asset_key",
    "standpipe_orchestrator.metadata": "standpipe_orchestrator.values.metadata_values",
    "standpipe_orchestrator.results": "standpipe_orchestrator.values.results",
    "standpipe_orchestrator.tables": "standpipe_orchestrator.values.tables",
}
"""Where the classes are that stored pickles name by their former modules."""
_SUFFIXES = {"parquet": ".parquet", "json": ".json", "pickle": ".pickle"}


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputContext:
    """Which value is stored. `add_output_metadata` adds to what the run records of it."""

    asset_key: AssetKey
    partition_key: str | None
    run_id: str
    metadata: dict[str, object] = field(default_factory=dict[str, object])

    @property
    def has_partition_key(self) -> bool:
        return self.partition_key is not None

    def add_output_metadata(self, metadata: Mapping[str, object]) -> None:
        self.metadata.update(metadata)


@dataclass(frozen=True, slots=True, kw_only=True)
class InputContext:
    """Which value is loaded."""

    asset_key: AssetKey
    partition_key: str | None

    @property
    def has_partition_key(self) -> bool:
        return self.partition_key is not None


class IOManager(ABC):
    """Stores and loads assets' values. Give your own as the resource `io_manager`."""

    @abstractmethod
    def handle_output(self, context: OutputContext, obj: object) -> None:
        """Stores a value; what was there before is replaced at once or not at all."""

    @abstractmethod
    def load_input(self, context: InputContext) -> object:
        """Raises:
        ValueNotStored: there is none.
        """

    def forget(self, context: InputContext) -> None:  # noqa: B027  a manager without this keeps what it has
        """Removes a stored value: the asset was made again and hands no value on."""

    def stored_partitions(self, asset_key: AssetKey) -> tuple[str, ...]:
        """The partitions for which an asset's value is stored; for an unpartitioned asset that takes them all."""
        raise ValueNotStored(
            f"{type(self).__name__} does not say which partitions of {asset_key.to_escaped_user_string()!r} it has: "
            "give it `stored_partitions`, or use `deps` and read them yourself."
        )


class FilesystemIOManager(IOManager):
    """Values as files below a folder (by default `values` in the Standpipe home), mode 0700.

    Args:
        base_dir: the folder. It is made when it is first needed.
    """

    def __init__(self, base_dir: str | os.PathLike[str] | None = None) -> None:
        self._base_dir = None if base_dir is None else Path(base_dir)

    @property
    def folder(self) -> Path:
        return self._base_dir if self._base_dir is not None else standpipe_home(os.environ) / VALUES_FOLDER

    def handle_output(self, context: OutputContext, obj: object) -> None:
        folder = self._folder_of(context.asset_key, context.partition_key)
        _make_private(self.folder)
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        name = f"value-{secrets.token_hex(8)}"
        try:
            kind = _write(folder, name, obj)
        except Exception as error:
            _remove(folder, keep="", stem=name)
            raise ValueNotStorable(
                f"The value of the asset {context.asset_key.to_escaped_user_string()!r} ({type(obj).__name__}) can be "
                f"stored as none of {', '.join(_SUFFIXES)} ({error}): return a MaterializeResult without it, or pass "
                "an I/O manager of your own as the resource `io_manager`."
            ) from error
        file = name + _SUFFIXES[kind]
        current = {"format": kind, "file": file, "partition_key": context.partition_key, "run_id": context.run_id}
        # The switch is one rename: a reader sees the old value or the new one, and a crash leaves one of them.
        temporary = folder / f"{name}.new"
        temporary.write_text(json.dumps(current), encoding="utf-8")
        temporary.replace(folder / _CURRENT)
        _remove(folder, keep=file)
        context.add_output_metadata({"path": PathMetadataValue(str(folder / file))})

    def load_input(self, context: InputContext) -> object:
        folder = self._folder_of(context.asset_key, context.partition_key)
        current = _current(folder)
        if current is None:
            slice_ = "" if context.partition_key is None else f" for the partition {context.partition_key!r}"
            raise ValueNotStored(
                f"No value is stored of the asset {context.asset_key.to_escaped_user_string()!r}{slice_}: no run made "
                "it, or its step handed no value on. Let that step return an Output or a plain value, and materialize "
                "it."
            )
        _require_private(self.folder)
        path = folder / Path(current["file"]).name
        match current["format"]:
            case "parquet":
                return _pandas().read_parquet(path)
            case "json":
                return json.loads(path.read_text(encoding="utf-8"))
            case _:
                with path.open("rb") as file:
                    return _Unpickler(file).load()  # our own file, in a folder only this user can write to

    def forget(self, context: InputContext) -> None:
        shutil.rmtree(self._folder_of(context.asset_key, context.partition_key), ignore_errors=True)

    def stored_partitions(self, asset_key: AssetKey) -> tuple[str, ...]:
        base = self._folder_of(asset_key, None).parent
        entries = (_current(folder) for folder in sorted(base.glob("*")) if folder.is_dir())
        keys = (current["partition_key"] for current in entries if current is not None)
        return tuple(sorted(key for key in keys if key is not None))

    def _folder_of(self, asset_key: AssetKey, partition_key: str | None) -> Path:
        base = self.folder / _folder_name(asset_key.to_escaped_user_string())
        return base / ("whole" if partition_key is None else f"partition-{_folder_name(partition_key)}")


class _Unpickler(pickle.Unpickler):
    """Reads what older versions wrote, too."""

    def find_class(self, module_name: str, global_name: str) -> Any:
        return super().find_class(_MOVED_MODULES.get(module_name, module_name), global_name)


def _folder_name(text: str) -> str:
    """A name for any text: readable, and by its hash different for every other text on any file system."""
    stem = re.sub(r"[^A-Za-z0-9_-]+", "-", text)[:48].strip("-")
    return f"{stem}-{hashlib.sha256(text.encode('utf-8', 'surrogatepass')).hexdigest()[:24]}".lstrip("-")


def _write(folder: Path, name: str, obj: object) -> str:
    """Writes a value in the first format that gives it back, and says which."""
    if _write_parquet(folder / f"{name}{_SUFFIXES['parquet']}", obj):
        return "parquet"
    (folder / f"{name}{_SUFFIXES['parquet']}").unlink(missing_ok=True)
    if (text := _json_text(obj)) is not None:
        (folder / f"{name}{_SUFFIXES['json']}").write_text(text, encoding="utf-8")
        return "json"
    with (folder / f"{name}{_SUFFIXES['pickle']}").open("wb") as file:
        pickle.dump(obj, file)
    return "pickle"


def _write_parquet(path: Path, obj: object) -> bool:
    # A data frame without pandas being loaded is impossible, and loading it for every value is slow.
    if type(obj).__module__.partition(".")[0] != "pandas" or type(obj).__name__ != "DataFrame":
        return False
    frames, frame = _pandas(), cast("Any", obj)
    if type(obj) is not frames.DataFrame:
        return False
    try:
        frame.to_parquet(path)
        return _same_frame(frames.read_parquet(path), frame)
    except (ImportError, ValueError, TypeError, KeyError, NotImplementedError, OverflowError):
        # No pyarrow, or a frame that Parquet has no form for (mixed types in a column, numbers as names).
        return False


def _pandas() -> Any:
    # pandas ships no types, so what comes of it is checked where it is used.
    return importlib.import_module("pandas")


def _same_frame(one: Any, other: Any) -> bool:
    """Equal values of equal types under equal names; what is missing may be None in one and NaN in the other."""
    if not (list(one.columns) == list(other.columns) and list(one.dtypes) == list(other.dtypes)):
        return False
    if not (one.index.equals(other.index) and one.index.dtype == other.index.dtype):
        return False
    if list(one.index.names) != list(other.index.names) or one.attrs != other.attrs:
        return False
    for position in range(len(one.columns)):
        left, right = one.iloc[:, position], other.iloc[:, position]
        if not ((left == right) | (left.isna() & right.isna())).fillna(value=False).all():
            return False
    return True


def _json_text(obj: object) -> str | None:
    try:
        text = json.dumps(obj, allow_nan=False) if _is_plain(obj) else None
        return text if text is not None and json.loads(text) == obj else None
    except (ValueError, RecursionError):
        return None


def _is_plain(obj: object) -> bool:
    """What JSON gives back as the same types: no tuples, no subclasses, no keys but strings."""
    kind = type(obj)
    if obj is None or kind in (bool, int, float, str):
        return True
    if kind is list:
        return all(_is_plain(item) for item in cast("list[object]", obj))
    if kind is dict:
        items = cast("dict[object, object]", obj).items()
        return all(type(key) is str and _is_plain(value) for key, value in items)
    return False


def _current(folder: Path) -> dict[str, Any] | None:
    try:
        current: object = json.loads((folder / _CURRENT).read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return None
    return cast("dict[str, Any]", current)


def _remove(folder: Path, *, keep: str, stem: str = "value-") -> None:
    for path in folder.glob(f"{stem}*"):
        if path.name != keep:
            with contextlib.suppress(OSError):
                path.unlink()


def _make_private(folder: Path) -> None:
    for path in (folder.parent, folder):
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    _require_private(folder)


def _require_private(folder: Path) -> None:
    if os.name != "posix":
        return
    status = folder.stat()
    if status.st_uid != os.getuid() or stat.S_IMODE(status.st_mode) & 0o022:
        raise ValueNotStored(
            f"The folder {folder} belongs to another user, or others may write to it, so values in it are not trusted: "
            "make it yours alone (chmod 700), or set STANDPIPE_HOME to another folder."
        )
