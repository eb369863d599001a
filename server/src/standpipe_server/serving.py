"""Serving: one process, one home, one listening socket, and an orderly end.

At the end the streams are told first (`event: bye`), then running requests finish, then the store writes what it took.
uvicorn alone would wait for the streams until its patience is over, and its lifespan runs too late to end them.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import hashlib
import logging
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Generator, Sequence
from pathlib import Path

import uvicorn
import uvloop

from standpipe_protocol.bootstrap import is_loopback
from standpipe_protocol.home import Credentials
from standpipe_server.api.access.sessions import FIRST_CODE_SECONDS
from standpipe_server.api.service.routes import login_link
from standpipe_server.app import create_app
from standpipe_server.connections import Connection
from standpipe_server.credentials import home_credentials, publish_address
from standpipe_server.home_lock import Address, is_asked_for, locked_home
from standpipe_server.settings import Settings, SettingsError
from standpipe_server.store import TICK_SECONDS, ActivityMonitor
from standpipe_server.store.database.engines import database_name
from standpipe_server.wiring import Wiring, open_wiring

_log = logging.getLogger("standpipe.server")

# Streams say goodbye at once, unless they wait for a database that does not answer: those are told after this long.
_READS_SECONDS = 2
# Then connections are cut on which a client does not read its answer or has not sent its whole request.
_PATIENCE_SECONDS = 5
# Only then uvicorn would cancel what still runs.
_GRACE_SECONDS = 6
_LOOK_AGAIN_SECONDS = 0.02
_ASKED_SECONDS = 0.2
_BACKLOG = 2048
_SWITCH_SECONDS = 0.0005
# How long an idle connection is kept for its client's next request; longer than a heartbeat's usual pause.
_KEEPALIVE_SECONDS = 75
DATABASE_LOST = 3
"""The exit code when the database is not the one any more into which the server has committed."""


class StreamingServer(uvicorn.Server):
    """uvicorn that ends streams before it waits for them, and returns after a signal instead of dying by it."""

    def __init__(self, config: uvicorn.Config, *, wiring: Wiring, on_started: Callable[[], None]) -> None:
        super().__init__(config)
        self.wiring = wiring
        self._on_started = on_started
        self.unneeded = False
        """Whether it ends because it is not needed any more."""

    @property
    def interrupted(self) -> bool:
        return signal.SIGINT in self._captured_signals

    def end(self) -> None:
        """Ends it in order; may be called on any thread."""
        self.should_exit = True

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets=sockets)
        self._on_started()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self.wiring.feed.stop()
        loop = asyncio.get_running_loop()
        steps = (
            loop.call_later(_READS_SECONDS, self.wiring.store.reads.end),
            loop.call_later(_PATIENCE_SECONDS, self._cut_connections),
        )
        await super().shutdown(sockets=sockets)
        for step in steps:
            step.cancel()
        # The loop's end would wait for what they were still to be sent.
        self._cut_connections()

    def _cut_connections(self) -> None:
        for connection in self.server_state.connections:
            connection.transport.abort()

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None]:
        # The original raises the signal again at the end, which would end the process before the store is drained.
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        handled = (signal.SIGINT, signal.SIGTERM)
        before = {number: signal.signal(number, self.handle_exit) for number in handled}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def serve(settings: Settings, *, on_ready: Callable[[Credentials, str], None]) -> int:
    """Runs a server until it is told to stop; returns the exit code.

    `on_ready` is given the credentials and a link that signs one browser in.

    Raises:
        SettingsError: it cannot listen where it was told to.
        HomeTaken: another server holds the home, and does not give it.
        UnusableDatabase: the database's address is none.
    """
    database = hashlib.sha256(database_name(settings.database_url).encode(errors="surrogateescape")).hexdigest()
    with (
        locked_home(settings.home, embedded=settings.stop_with_stdin, database=database) as lock,
        listening_socket(settings) as listener,
        former_sockets(lock.former, but=listener) as others,
    ):
        credentials = home_credentials(settings.home, given_key=settings.given_key)
        with open_wiring(settings, credentials) as wiring:

            def started() -> None:
                published = publish_address(settings.home, credentials, url=local_url(settings, listener))
                lock.listens_at(*listener.getsockname()[:2])
                _tune_garbage_collector()
                _set_switch_interval()
                code = wiring.api.sessions.issue_code(FIRST_CODE_SECONDS)
                on_ready(published, login_link(settings.public_url or published.url, code=code))

            server = StreamingServer(_uvicorn_config(wiring), wiring=wiring, on_started=started)
            wiring.store.fence.on_down = server.end
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                runner.run(_run(server, [listener, *others], settings))
            if server.unneeded:
                lock.leave_nothing()
        if wiring.store.fence.is_down:
            return DATABASE_LOST
        return 130 if server.interrupted else 0


async def _run(server: StreamingServer, listeners: list[socket.socket], settings: Settings) -> None:
    beside = [asyncio.create_task(_tick(server.wiring.store.activity), name="standpipe-activity")]
    if settings.stop_with_stdin:
        beside.append(asyncio.create_task(_end_with_stdin(server), name="standpipe-stdin"))
        beside.append(asyncio.create_task(_give_way(server, settings.home), name="standpipe-hand-over"))
    try:
        await server.serve(sockets=listeners)
    finally:
        for task in beside:
            task.cancel()
        await asyncio.gather(*beside, return_exceptions=True)


async def _tick(activity: ActivityMonitor) -> None:
    while True:
        activity.tick()
        await asyncio.sleep(TICK_SECONDS)


async def _end_with_stdin(server: StreamingServer) -> None:
    """Ends the server once stdin is at its end (the program that started it is gone) and no client is connected.

    Connections count, not streams: another orchestrator may be between its registration and its stream, and work that
    still reports keeps its connection too.
    """
    loop = asyncio.get_running_loop()
    at_end = asyncio.Event()

    def read() -> None:
        try:
            ended = not os.read(0, 4096)
        except BlockingIOError:
            return
        except OSError:
            # A socket that was reset, or a terminal that is gone.
            ended = True
        if ended:
            loop.remove_reader(0)
            at_end.set()

    try:
        loop.add_reader(0, read)
    except OSError:
        # A file, which cannot be waited for: it is at its end whenever it is read.
        at_end.set()
    await at_end.wait()
    while server.server_state.connections:  # noqa: ASYNC110  uvicorn has no event for the end of a connection
        await asyncio.sleep(_LOOK_AGAIN_SECONDS)
    server.unneeded = True
    server.should_exit = True


async def _give_way(server: StreamingServer, home: Path) -> None:
    """Ends an embedded broker for a server that is started on its home, and that answers at its address then."""
    while not is_asked_for(home):  # noqa: ASYNC110  the one who asks is another process
        await asyncio.sleep(_ASKED_SECONDS)
    _log.info("This embedded broker ends, and gives its home to a server that was started.")
    server.should_exit = True


@contextlib.contextmanager
def listening_socket(settings: Settings) -> Generator[socket.socket]:
    """A bound socket; uvicorn starts to listen on it when everything else is ready.

    Raises:
        SettingsError: the address is not this machine's, or the port is taken.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            settings.host, settings.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        made = socket.socket(family, kind, protocol)
    except OSError as error:
        raise SettingsError(f"The server cannot listen on {settings.host}: {error}.") from None
    with made:
        if os.name == "posix":
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            made.bind(address)
        except OSError as error:
            raise SettingsError(
                f"The server cannot listen on {settings.host} port {settings.port}: {error.strerror}. "
                "Stop the program that uses the port, or choose another with --port (0 takes any free one)."
            ) from None
        yield made


@contextlib.contextmanager
def former_sockets(addresses: Sequence[Address], *, but: socket.socket) -> Generator[list[socket.socket]]:
    """Sockets at the addresses of embedded brokers that had the home: their work reports there until it ends.

    One that cannot be had any more is left out: it is this machine's, and others may have it.
    """
    with contextlib.ExitStack() as stack:
        made: list[socket.socket] = []
        used = {but.getsockname()[1]}
        for address in addresses:
            if address.port in used or not is_loopback(address.host):
                continue
            family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
            former = stack.enter_context(socket.socket(family, socket.SOCK_STREAM))
            former.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                former.bind((address.host, address.port))
            except OSError as error:
                _log.warning(
                    "An embedded broker of this home was at %s port %d, and nothing answers there now: %s.",
                    address.host,
                    address.port,
                    error.strerror,
                )
                continue
            used.add(address.port)
            made.append(former)
        yield made


def local_url(settings: Settings, listener: socket.socket) -> str:
    """The address under which tools on this machine reach the server."""
    host = settings.host
    if host in ("0.0.0.0", "::", ""):  # noqa: S104  compared with, not bound to
        host = "127.0.0.1"
    port = listener.getsockname()[1]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _tune_garbage_collector() -> None:
    """What is loaded by now stays for ever; walking it again for every few hundred objects doubles a batch's cost."""
    if threading.current_thread() is threading.main_thread():
        gc.collect()
        gc.freeze()
        gc.set_threshold(50_000, 20, 20)
        gc.enable()


def _set_switch_interval() -> None:
    """The writer comes back from the disk ten times a millisecond; at the default it may wait five for its turn."""
    if threading.current_thread() is threading.main_thread():
        sys.setswitchinterval(_SWITCH_SECONDS)


def _uvicorn_config(wiring: Wiring) -> uvicorn.Config:
    return uvicorn.Config(
        create_app(wiring.api),
        http=Connection,
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        # The client that a header names is not used here, and the header would have to be trusted.
        proxy_headers=False,
        server_header=False,
        date_header=False,
        timeout_keep_alive=_KEEPALIVE_SECONDS,
        timeout_graceful_shutdown=_GRACE_SECONDS,
        backlog=_BACKLOG,
    )


def configure_logging() -> None:
    """Warnings and errors of every room to stderr; uvicorn's own chatter stays out."""
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.getLogger("uvicorn").setLevel(logging.WARNING)
    logging.getLogger("alembic").setLevel(logging.WARNING)
