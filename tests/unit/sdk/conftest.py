"""Every SDK test has a home of its own, no invocation in its environment, and no context left from another test."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import pytest

from standpipe.context.open_contexts import Registry, swap
from standpipe.context.pipes_context import PipesContext


@pytest.fixture(autouse=True)
def _own_process_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in os.environ:
        if name.startswith(("STANDPIPE_", "DAGSTER_PIPES_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("STANDPIPE_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("STANDPIPE_CLOSE_TIMEOUT", "15")
    before = swap(Registry())
    yield
    process, _ = swap(*before)
    for context in process.contexts():
        cast("PipesContext", context)._channel.close(0.0)  # pyright: ignore[reportPrivateUsage]  left open on purpose
