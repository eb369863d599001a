"""The lock of a home where the file system has no locks."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from standpipe_server.home_lock import HAND_OVER_FILE, HomeTaken, is_asked_for, locked_home


@pytest.fixture(autouse=True)
def _no_locks(monkeypatch: pytest.MonkeyPatch) -> None:
    def flock(*_: object) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr("fcntl.flock", flock)


def test_a_home_that_cannot_be_locked_is_refused_in_a_sentence(tmp_path: Path) -> None:
    refused = pytest.raises(HomeTaken, match=r"cannot be locked .* STANDPIPE_HOME")
    with refused, locked_home(tmp_path, embedded=False, database="d"):
        pass


def test_nobody_is_seen_to_wait_for_it(tmp_path: Path) -> None:
    (tmp_path / HAND_OVER_FILE).touch()
    assert not is_asked_for(tmp_path)
