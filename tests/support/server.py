"""A real `standpipe serve` process on a free port, with a data folder and a database of its own."""

from __future__ import annotations

import ssl
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType

import httpx

from standpipe_protocol.home import Credentials, read_credentials
from tests.support.fork_server import ForkServer
from tests.support.processes import Process, child_environment
from tests.support.waiting import PATIENCE, wait_until

START_PATIENCE = 60.0
# It knows no authorities, so that any connection with TLS fails.
_NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


def plain_client(*, base_url: str = "", headers: Mapping[str, str] | None = None, timeout: float) -> httpx.Client:
    """A client for plain HTTP on this machine: no proxy is asked, and no certificates are loaded, which takes 18 ms."""
    return httpx.Client(base_url=base_url, headers=headers, timeout=timeout, trust_env=False, verify=_NO_TLS)


class Server:
    """One server process. `restart()` keeps data folder, database and port, so clients find it again.

    Attributes:
        home: its `STANDPIPE_HOME`.
        database_url: what it stores in.
        url: its origin, `http://127.0.0.1:PORT`, known once it has started.
        api_key: the operator key from its credentials file.
        http: a client with the operator key and `base_url` set to `url + "/api/v1"`; `client()` makes others.
    """

    def __init__(
        self,
        home: Path,
        *,
        database_url: str | None = None,
        arguments: Sequence[str] = (),
        env: Mapping[str, str | None] | None = None,
        fork_server: ForkServer | None = None,
    ) -> None:
        self.home = home
        self.database_url = database_url
        # Variables of the interpreter and of libraries count when those start.
        ours = all(name.startswith("STANDPIPE_") for name in env or ())
        self._fork_server = fork_server if ours else None
        self._arguments = tuple(arguments)
        self._env = dict(env or {})
        self._log = home.with_name(home.name + ".server.log")
        self._process: Process | None = None
        self._credentials: Credentials | None = None
        self._clients: list[httpx.Client] = []
        self._http: httpx.Client | None = None

    @property
    def url(self) -> str:
        return self.credentials.url.rstrip("/")

    @property
    def api_key(self) -> str:
        return self._env.get("STANDPIPE_API_KEY") or self.credentials.api_key

    @property
    def port(self) -> int:
        port = httpx.URL(self.url).port
        assert port is not None, f"{self.url} names no port"
        return port

    @property
    def credentials(self) -> Credentials:
        assert self._credentials is not None, "The server was not started."
        return self._credentials

    @property
    def process(self) -> Process:
        assert self._process is not None, "The server was not started."
        return self._process

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def http(self) -> httpx.Client:
        if self._http is None:
            self._http = self.client(token=self.api_key)
        return self._http

    def client(self, *, token: str | None = None, timeout: float = 30.0) -> httpx.Client:
        """A client for `/api/v1` with `token` as bearer; closed with the server."""
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        made = plain_client(base_url=self.url + "/api/v1", headers=headers, timeout=timeout)
        self._clients.append(made)
        return made

    def orchestrator_environment(self, extra: Mapping[str, str | None] | None = None) -> dict[str, str]:
        """The environment of a child that uses this server as an orchestrator or from the terminal."""
        ours = {"STANDPIPE_URL": self.url, "STANDPIPE_API_KEY": self.api_key}
        return child_environment({**ours, **(extra or {})}, home=self.home)

    def output(self) -> str:
        """All it wrote so far, over all its starts."""
        return self._log.read_text(encoding="utf-8", errors="replace") if self._log.exists() else ""

    def start(self, *, timeout: float = START_PATIENCE) -> Server:
        """Starts the process and waits until it is ready."""
        self.home.mkdir(parents=True, exist_ok=True, mode=0o700)
        port = 0 if self._credentials is None else self.port
        command = [sys.executable, "-m", "standpipe_server", "serve", "--host", "127.0.0.1", "--port", str(port)]
        if self.database_url is not None:
            command += ["--database", self.database_url]
        process = Process(
            [*command, *self._arguments],
            log=self._log,
            env=child_environment(self._env, home=self.home, warnings="error"),
            cwd=self.home,
            fork_server=self._fork_server,
        )
        self._process = process
        try:
            wait_until(self._ready, what=lambda: f"the server to be ready; it wrote:\n{self.output()}", timeout=timeout)
        except BaseException:
            process.kill9()
            raise
        return self

    def stop(self, *, timeout: float = PATIENCE) -> int:
        """SIGTERM and a bounded wait; returns the exit code. The object may be started again."""
        self._close_clients()
        return self.process.stop(timeout=timeout)

    def kill9(self) -> None:
        """SIGKILL: the process ends at once, with whatever it had not yet committed."""
        self.process.kill9()

    def restart(self, *, timeout: float = START_PATIENCE) -> Server:
        """Starts again on the same home, database and port; a process that still runs is stopped first."""
        if self.process.exit_code is None:
            self.process.stop()
        return self.start(timeout=timeout)

    def _ready(self) -> bool:
        code = self.process.exit_code
        if code is not None:
            raise AssertionError(f"The server ended with {code} before it was ready; it wrote:\n{self.output()}")
        found = read_credentials(self.home)
        if found is None:
            return False
        try:
            with plain_client(timeout=5.0) as client:
                answer = client.get(found.url.rstrip("/") + "/readyz")
        except httpx.TransportError:
            return False
        if not answer.is_success:
            return False
        self._credentials = found
        return True

    def _close_clients(self) -> None:
        for made in self._clients:
            made.close()
        self._clients.clear()
        self._http = None

    def __enter__(self) -> Server:
        return self if self._process is not None else self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close_clients()
        if self._process is not None:
            self._process.stop()
