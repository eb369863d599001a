"""An embedded broker: a real server process on the home's database, for as long as this process needs it.

It runs beside this process, not inside it, so that a crash here loses nothing that was acknowledged. It ends by
itself when its stdin closes and no connection is left, so it never outlives its users, however they end. At
most one server holds a home: a process that finds the lock taken uses its owner.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO
from urllib.parse import quote

from standpipe.orchestration import monotonic, sleep
from standpipe_orchestrator.errors import BrokerNotFound
from standpipe_protocol.bootstrap import (
    API_KEY_VARIABLE,
    DATABASE_VARIABLE,
    HOME_VARIABLE,
    INVOCATION_VARIABLE,
    TOKEN_VARIABLE,
    URL_VARIABLE,
)
from standpipe_protocol.home import Credentials, read_credentials

START_SECONDS = 60.0
STOP_SECONDS = 10.0
LEAVE_SECONDS = 3.0
LOG_FILE = "embedded-server.log"

_LOOK_AGAIN_SECONDS = 0.02
_LOG_BYTES = 1_000_000
_STARTS = 3
"""Another process may take the lock, and let it go again, while ours starts."""


class EmbeddedBroker:
    """The server process that this one started, or the credentials of another's that already held the home."""

    def __init__(self, home: Path, *, credentials: Credentials, process: subprocess.Popen[bytes] | None) -> None:
        self.home = home
        self.credentials = credentials
        self._process = process

    @classmethod
    def start(
        cls,
        home: Path,
        *,
        environment: Mapping[str, str],
        answers: Callable[[Credentials], bool],
        start_seconds: float = START_SECONDS,
    ) -> EmbeddedBroker:
        """Starts a server and waits until it answers as this home's.

        Raises:
            BrokerNotFound: it did not start; the end of what it wrote is in the message.
        """
        home.mkdir(parents=True, exist_ok=True, mode=0o700)
        deadline = monotonic() + start_seconds
        process: subprocess.Popen[bytes] | None = None
        try:
            for _ in range(_STARTS):
                process = _start(home, environment=environment)
                while monotonic() < deadline:
                    over = process.poll() is not None
                    credentials = read_credentials(home)
                    if credentials is not None and answers(credentials):
                        if over:
                            # Another process was faster; its server is the home's.
                            _let_go(process)
                            return cls(home, credentials=credentials, process=None)
                        return cls(home, credentials=credentials, process=process)
                    if over:
                        break
                    sleep(_LOOK_AGAIN_SECONDS)
                _let_go(process)
                if monotonic() >= deadline:
                    break
        except BaseException:
            if process is not None:
                _let_go(process)
            raise
        raise BrokerNotFound(
            f"The embedded broker did not start on {home}. It wrote:\n{_tail(home / LOG_FILE)}\n"
            "Start a server with `standpipe serve` to see more."
        )

    @property
    def running(self) -> bool:
        """Whether this process started a server that still runs."""
        return self._process is not None and self._process.poll() is None

    def close(self) -> None:
        """Lets the server end: it does at once, or when no other process is connected to it any more."""
        process, self._process = self._process, None
        if process is not None:
            _close_stdin(process)
            # Another process may still use it: then it stays until that one is done, which is not waited for.
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(LEAVE_SECONDS)
            # Popen warns of a process that is still running; this one is meant to be.
            process.returncode = process.returncode if process.returncode is not None else 0


def _start(home: Path, *, environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
    # Neither the key of another server nor an external process's token is this server's business.
    for_others = {URL_VARIABLE, API_KEY_VARIABLE, INVOCATION_VARIABLE, TOKEN_VARIABLE}
    child = {name: value for name, value in environment.items() if name not in for_others}
    child[HOME_VARIABLE] = str(home)
    if database := child.get(DATABASE_VARIABLE):
        child[DATABASE_VARIABLE] = _from_anywhere(database)
    with _open_log(home / LOG_FILE) as log:
        return subprocess.Popen(
            # -P: what lies in the home, or in the user's folder, must not shadow a module of the server's.
            [sys.executable, "-P", "-m", "standpipe_server", "serve", "--port", "0", "--stop-with-stdin"],
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=log,
            env=child,
            cwd=home,
            # Ctrl-C in the terminal is for this process, which still has to say how its work ended.
            start_new_session=True,
        )


def _from_anywhere(database: str) -> str:
    """The URL of a SQLite file that is named from the current folder, for a process that runs in another one."""
    scheme, mark, path = database.strip().partition(":///")
    if scheme.lower() != "sqlite" or not path or path.startswith(("/", ":")):
        return database
    return f"sqlite{mark}{quote(os.fsencode(Path.cwd()))}/{path}"


def _open_log(path: Path) -> IO[bytes]:
    # Appended to, since a server that another process started may be writing to it; made short now and then.
    with contextlib.suppress(OSError):
        if path.stat().st_size > _LOG_BYTES:
            path.unlink()
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "ab")


def _let_go(process: subprocess.Popen[bytes]) -> None:
    _close_stdin(process)
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(STOP_SECONDS)


def _close_stdin(process: subprocess.Popen[bytes]) -> None:
    if process.stdin is not None:
        with contextlib.suppress(OSError):
            process.stdin.close()


def _tail(path: Path, *, limit: int = 2000) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")[-limit:].strip() or "(nothing)"
    except OSError as error:
        return f"(nothing that can be read: {error})"
