"""What the packages offer: every name is there, and a name that comes or goes is noticed."""

from __future__ import annotations

import importlib
import json
from pathlib import Path

import pytest

PACKAGES = (
    "standpipe",
    "standpipe.testing",
    "standpipe_orchestrator",
    "standpipe_orchestrator.launchers",
    "standpipe_orchestrator.testing",
)
# What users may import. A name added here is kept for good; one taken away breaks programs.
PUBLIC: dict[str, list[str]] = json.loads(Path(__file__).with_name("public_names.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("package", PACKAGES)
def test_the_public_names_are_those_that_were_agreed(package: str) -> None:
    offered: list[str] = list(importlib.import_module(package).__all__)
    assert sorted(offered) == PUBLIC[package]
    assert len(offered) == len(set(offered))


@pytest.mark.parametrize("package", PACKAGES)
def test_every_public_name_can_be_imported_and_is_listed_by_dir(package: str) -> None:
    module = importlib.import_module(package)
    for name in module.__all__:
        assert getattr(module, name) is not None
    assert set(module.__all__) <= set(dir(module))


@pytest.mark.parametrize("package", PACKAGES)
def test_a_wrong_name_is_an_attribute_error(package: str) -> None:
    with pytest.raises(AttributeError, match="open_pipe_dreams"):
        importlib.import_module(package).open_pipe_dreams  # noqa: B018
