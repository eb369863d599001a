"""The processes that are measured: a real `standpipe serve` with a data folder of its own, and the bare yardsticks."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path

from bench.load.client import Address, call
from standpipe_protocol.bootstrap import Bootstrap
from standpipe_protocol.home import read_credentials

_ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True, slots=True)
class Service:
    """A running server."""

    url: str
    api_key: str
    pid: int

    @property
    def address(self) -> Address:
        return Address.of(self.url)

    def register(self) -> Bootstrap:
        """A new invocation whose process has opened, as every program does first."""
        prepared = self.address.request("POST", "/api/v1/invocations", b'{"context": {}}', token=self.api_key)
        with self.address.open() as connection:
            registered = json.loads(call(connection, prepared))
            bootstrap = Bootstrap(url=self.url, invocation=registered["invocation"]["id"], token=registered["token"])
            call(connection, self.append(bootstrap, b'{"method": "opened"}', producer="opening", first_seq=1))
        return bootstrap

    def append(self, bootstrap: Bootstrap, body: bytes, *, producer: str = "bench", first_seq: int) -> bytes:
        """The bytes of a request that appends."""
        headers = f"Standpipe-Producer: {producer}\r\nStandpipe-First-Seq: {first_seq}\r\n"
        path = f"/api/v1/invocations/{bootstrap.invocation}/events"
        return self.address.request("POST", path, body, token=bootstrap.token, headers=headers)


@contextlib.contextmanager
def running_service(*, database_url: str | None = None, home: Path | None = None) -> Generator[Service]:
    """Our server with its defaults, on SQLite in its home if it is given no database; its home is a fresh folder."""
    with tempfile.TemporaryDirectory(prefix="standpipe-bench-") as fresh:
        home = home or Path(fresh)
        outer = {name: value for name, value in os.environ.items() if not name.startswith("STANDPIPE_")}
        command = [sys.executable, "-m", "standpipe_server", "serve", "--port", "0"]
        command += ["--database", database_url] if database_url else []
        process = subprocess.Popen(
            command, env={**outer, "STANDPIPE_HOME": str(home)}, stderr=subprocess.PIPE, text=True
        )
        assert process.stderr is not None
        with _terminated(process):
            line = process.stderr.readline()
            credentials = read_credentials(home)
            if credentials is None:
                raise SystemExit(f"The server did not start: {line or 'it wrote nothing'}")
            yield Service(credentials.url.rstrip("/"), credentials.api_key, process.pid)


@contextlib.contextmanager
def running_bare(module: str, *arguments: str) -> Generator[str]:
    """A yardstick of bench/bare, with a folder of its own and what else it is given; its URL."""
    with running_bare_process(module, *arguments) as (url, _):
        yield url


@contextlib.contextmanager
def running_bare_process(module: str, *arguments: str) -> Generator[tuple[str, int]]:
    """The same with its process id."""
    with tempfile.TemporaryDirectory(prefix="standpipe-bench-") as folder:
        command = [sys.executable, "-m", f"bench.bare.{module}", folder, *arguments]
        process = subprocess.Popen(command, cwd=_ROOT, stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        with _terminated(process):
            url = process.stdout.readline().strip()
            if not url:
                raise SystemExit(f"bench.bare.{module} did not start.")
            yield url, process.pid


@contextlib.contextmanager
def _terminated(process: subprocess.Popen[str]) -> Generator[None]:
    try:
        yield
    finally:
        process.terminate()
        # What it still writes must not fill the pipe while it ends.
        process.communicate(timeout=30)
