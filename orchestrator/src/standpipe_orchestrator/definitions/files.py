"""Finding what lies beside a file of definitions, and loading the definitions a file holds."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import re
import sys
from pathlib import Path

from standpipe_orchestrator.definitions.definitions import Definitions
from standpipe_orchestrator.errors import InvalidDefinition


def file_relative_path(dunderfile: str, relative_path: str) -> str:
    """The absolute path of what lies at `relative_path` from the file (`__file__`) that asks."""
    # By the text alone, as in Dagster: a link in the path is not followed before `..` is applied.
    return os.path.abspath(os.path.join(os.path.dirname(dunderfile), relative_path))  # noqa: PTH100, PTH118, PTH120


def load_definitions(path: Path) -> Definitions:
    """Runs a Python file and gives the one `Definitions` among its names. Its folder goes first on the import path.

    Raises:
        InvalidDefinition: there is no such file, or it holds none or several. What the file raises goes through.
    """
    if not path.is_file():
        raise InvalidDefinition(f"There is no file {str(path)!r}.")
    path = path.resolve()
    # The same file has the same module name in every run, so that values pickled in one are read in the next.
    stem = re.sub(r"\W", "_", path.stem)
    name = f"standpipe_definitions_{stem}_{hashlib.sha256(str(path).encode()).hexdigest()[:8]}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise InvalidDefinition(f"{str(path)!r} is not a Python file; expected one that ends with .py.")
    if str(path.parent) not in sys.path:
        sys.path.insert(0, str(path.parent))
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    by_name = {name: value for name, value in vars(module).items() if isinstance(value, Definitions)}
    distinct = set(map(id, by_name.values()))
    if len(distinct) != 1:
        count = "none" if not by_name else f"{len(distinct)}: {', '.join(by_name)}"
        raise InvalidDefinition(
            f"{str(path)!r} must hold one Definitions (as `defs = Definitions(assets=[...])`); it holds {count}."
        )
    return next(iter(by_name.values()))
