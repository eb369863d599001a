"""One home, one server: the lock that says so, and the credentials file by which local tools find the server.

This room touches only files in the home. The one invariant: the operator key and the identity secret are never
readable by others, and the key a home made for itself survives every restart.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import secrets
from collections.abc import Generator
from pathlib import Path
from typing import cast

from standpipe_protocol.home import LOCK_FILE, Credentials, read_credentials, write_credentials


class HomeTaken(Exception):
    """Another server holds this home. The message names it."""


@contextlib.contextmanager
def locked_home(home: Path) -> Generator[None]:
    """Holds the home for this process; the operating system lets go of it however the process ends.

    Raises:
        HomeTaken: another process holds it.
    """
    home.mkdir(parents=True, exist_ok=True, mode=0o700)
    descriptor = os.open(home / LOCK_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise HomeTaken(
                f"Another Standpipe server holds {home}{_owner(home)}. Use that one, stop it, "
                "or give this one a home of its own with STANDPIPE_HOME."
            ) from None
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, json.dumps({"pid": os.getpid()}).encode(), 0)
        yield
    finally:
        # The file stays: removing it would let two servers lock two files of the same name.
        os.close(descriptor)


def home_credentials(home: Path, *, given_key: str | None) -> Credentials:
    """The credentials this server runs with: a given key counts, else the home's own, else a new one.

    Nothing is written yet: the file names an address, and that is not known before the server listens.
    """
    found = read_credentials(home)
    key = given_key or (found.api_key if found else "") or "spk_" + secrets.token_urlsafe(32)
    identity = (found.identity if found else "") or secrets.token_urlsafe(32)
    return Credentials(url=found.url if found else "", api_key=key, identity=identity)


def publish_address(home: Path, credentials: Credentials, *, url: str) -> Credentials:
    """Writes the credentials file with the address at which the server now listens."""
    published = Credentials(url=url, api_key=credentials.api_key, identity=credentials.identity)
    write_credentials(home, published)
    return published


def _owner(home: Path) -> str:
    words: list[str] = []
    try:
        wire: object = json.loads((home / LOCK_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        wire = None
    pid = cast("dict[str, object]", wire).get("pid") if isinstance(wire, dict) else None
    if isinstance(pid, int):
        words.append(f"process {pid}")
    found = read_credentials(home)
    if found is not None and found.url:
        words.append(f"at {found.url}")
    return f" ({', '.join(words)})" if words else ""
