"""The recording broker: a real HTTP server on loopback that keeps what a program reports."""

from __future__ import annotations

import json
import os
import sys
import threading
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socket import SHUT_RDWR, SO_REUSEADDR, SOL_SOCKET, socket
from typing import ClassVar, TypeVar

from standpipe.spool.marks import LaunchMark
from standpipe.testing.append_request import RequestRefused, read_append
from standpipe.testing.environment import Environment
from standpipe.testing.recording import RecordedMessage, Recording
from standpipe_protocol import PROTOCOL_VERSION
from standpipe_protocol.bootstrap import Bootstrap
from standpipe_protocol.context import ContextData
from standpipe_protocol.json_text import JsonValue, decode_json
from standpipe_protocol.limits import Limits
from standpipe_protocol.messages import (
    Closed,
    Log,
    Message,
    Opened,
    ReportAssetCheck,
    ReportAssetMaterialization,
    ReportAssetObservation,
    ReportCustomMessage,
)
from standpipe_protocol.problems import PROBLEM_MEDIA_TYPE, Problem

WAIT_SECONDS = 10.0

_M = TypeVar("_M", bound=Message)


class RecordingBroker:
    """One invocation, served on loopback. Made by `recording_broker`."""

    def __init__(self, *, context: ContextData, limits: Limits, base_path: str, lease_seconds: float) -> None:
        self.invocation = f"inv_{os.urandom(16).hex()}"
        self.token = f"token-{os.urandom(8).hex()}"
        self.limits = limits
        self.lease_seconds = lease_seconds
        self.recording = Recording(context, limits)
        self.requests: list[str] = []
        """Every request line that came, as `POST /path`."""
        self._base_path = base_path.rstrip("/")
        self._refusals: list[tuple[Problem, float | None]] = []
        self._cuts = 0
        self._gate = threading.Event()
        self._gate.set()
        self._server: _Server | None = None
        self._thread: threading.Thread | None = None
        self._port = 0
        self._reserved: socket | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}{self._base_path}"

    @property
    def bootstrap(self) -> Bootstrap:
        return Bootstrap(url=self.url, invocation=self.invocation, token=self.token)

    def environment(self) -> Environment:
        """The three variables, as a dictionary that is also a `with` block for this process."""
        return Environment(self.bootstrap.to_environment())

    @property
    def messages(self) -> Sequence[RecordedMessage]:
        """Everything that arrived, in order, rejected messages included."""
        return tuple(self.recording.messages)

    @property
    def rejected(self) -> Sequence[RecordedMessage]:
        return tuple(one for one in self.messages if one.problem is not None)

    @property
    def methods(self) -> Sequence[str]:
        return tuple(one.method for one in self.messages)

    @property
    def materializations(self) -> Mapping[str, ReportAssetMaterialization]:
        """Accepted materializations by asset key."""
        return {one.asset_key: one for one in self._accepted(ReportAssetMaterialization)}

    @property
    def checks(self) -> Sequence[ReportAssetCheck]:
        return self._accepted(ReportAssetCheck)

    @property
    def observations(self) -> Sequence[ReportAssetObservation]:
        return self._accepted(ReportAssetObservation)

    @property
    def custom_messages(self) -> Sequence[JsonValue]:
        """Payloads, in order."""
        return [one.payload for one in self._accepted(ReportCustomMessage)]

    @property
    def logs(self) -> Sequence[Log]:
        return self._accepted(Log)

    @property
    def opened(self) -> bool:
        return bool(self._accepted(Opened))

    @property
    def closed(self) -> Closed | None:
        """The last `closed`, or None."""
        return next(iter(self._accepted(Closed)[::-1]), None)

    @property
    def heartbeats(self) -> Sequence[Mapping[str, JsonValue]]:
        return tuple(self.recording.heartbeats)

    def request_cancel(self) -> None:
        """Asks the program to stop, in every answer from now on."""
        self.recording.change(cancel_requested=True)

    def end(self, verdict: str = "succeeded") -> None:
        """Ends the invocation: new messages are refused with `invocation-ended` after `succeeded` and `cancelled`."""
        self.recording.change(verdict=verdict)

    def wait_for(self, condition: Callable[[RecordingBroker], bool], *, timeout: float = WAIT_SECONDS) -> None:
        """Waits until the condition is true of this broker.

        Raises:
            TimeoutError: it is not within `timeout` seconds.
        """
        if not self.recording.wait_until(lambda: condition(self), timeout=timeout):
            raise TimeoutError(
                f"The condition was not true within {timeout} s; the broker has {', '.join(self.methods)}."
            )

    def refuse(self, times: int, *, problem: str = "overloaded", retry_after: float | None = None) -> None:
        """Refuses the next requests with a problem of the registry."""
        self._refusals += [(Problem(problem, "Refused on request of the test."), retry_after)] * times

    def cut_after_store(self, times: int = 1) -> None:
        """The next appends are stored, and their connections cut before an answer."""
        self._cuts += times

    def hold(self) -> None:
        """Lets every request wait until `let_go`."""
        self._gate.clear()

    def let_go(self) -> None:
        self._gate.set()

    def start(self) -> None:
        """Listens, on the same port as before when it was stopped."""
        if self._server is None:
            self._release_port()
            self._server = _Server(self, self._port)
            self._port = self._server.server_port
            self._thread = threading.Thread(
                target=self._server.serve_forever, args=(0.02,), name="recording-broker", daemon=True
            )
            self._thread.start()

    def stop(self) -> None:
        """Stops listening and cuts every connection; the recording stays, and no other program gets the port."""
        server, thread, self._server = self._server, self._thread, None
        # At the interpreter's end its thread is stopped already, and waiting for it would never end.
        if server is not None and thread is not None and not sys.is_finalizing():
            server.shutdown()
            thread.join(WAIT_SECONDS)
            self.let_go()
            server.cut_connections()
            server.server_close()
            self._reserved = socket()
            self._reserved.setsockopt(SOL_SOCKET, SO_REUSEADDR, 1)
            with suppress(OSError):
                self._reserved.bind(("127.0.0.1", self._port))

    def _release_port(self) -> None:
        if self._reserved is not None:
            self._reserved.close()

    def _next_refusal(self) -> tuple[Problem, float | None] | None:
        self._gate.wait(60.0)
        return self._refusals.pop(0) if self._refusals else None

    def _next_is_cut(self) -> bool:
        if self._cuts <= 0:
            return False
        self._cuts -= 1
        return True

    def _accepted(self, kind: type[_M]) -> list[_M]:
        return [one.message for one in self.messages if one.problem is None and isinstance(one.message, kind)]


@contextmanager
def recording_broker(
    *,
    asset_keys: Sequence[str] | None = None,
    extras: Mapping[str, object] | None = None,
    context: ContextData | None = None,
    limits: Limits | None = None,
    base_path: str = "",
    lease_seconds: float = 60.0,
) -> Generator[RecordingBroker]:
    """A broker with one invocation, listening until the end of the block.

    Args:
        asset_keys: the assets in scope, None for a step without assets.
        extras: the extras of the context.
        context: the whole context instead.
        limits: the limits it publishes, and keeps to as the server does.
        base_path: serve under this path, as behind a proxy.
        lease_seconds: the lease it publishes; heartbeats come three times as often.
    """
    context = context or ContextData(
        asset_keys=None if asset_keys is None else tuple(asset_keys),
        extras=dict(extras or {}),  # pyright: ignore[reportArgumentType]  encoding checks it
        run_id="test-run",
    )
    limits = limits or Limits()
    broker = RecordingBroker(context=context, limits=limits, base_path=base_path, lease_seconds=lease_seconds)
    # The test is the launcher, on this very disk.
    mark = LaunchMark(broker.invocation, environment=os.environ)
    broker.start()
    try:
        yield broker
    finally:
        broker.stop()
        broker._release_port()  # pyright: ignore[reportPrivateUsage]  the same module
        mark.release()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = True

    def __init__(self, broker: RecordingBroker, port: int) -> None:
        self.broker = broker
        self._connections: set[socket] = set()
        self._handlers: set[threading.Thread] = set()
        self._mutex = threading.Lock()
        super().__init__(("127.0.0.1", port), _Handler)

    def opened(self, connection: socket) -> None:
        with self._mutex:
            self._connections.add(connection)
            self._handlers.add(threading.current_thread())

    def ended(self, connection: socket) -> None:
        with self._mutex:
            self._connections.discard(connection)
            self._handlers.discard(threading.current_thread())

    def cut_connections(self) -> None:
        with self._mutex:
            connections, handlers = list(self._connections), list(self._handlers)
        for connection in connections:
            with suppress(OSError):
                connection.shutdown(SHUT_RDWR)
        for handler in handlers:
            handler.join(WAIT_SECONDS)

    def handle_error(self, request: object, client_address: object) -> None:
        """No traceback for each connection that is cut on purpose."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server  # pyright: ignore[reportIncompatibleVariableOverride]  it is always ours
    _PREFIX: ClassVar[str] = "/api/v1/invocations/"

    def setup(self) -> None:
        super().setup()
        self.server.opened(self.connection)

    def finish(self) -> None:
        with suppress(OSError):
            super().finish()
        self.server.ended(self.connection)

    def do_GET(self) -> None:
        self._serve()

    def do_POST(self) -> None:
        self._serve()

    def log_message(self, format: str, *args: object) -> None:
        """Nothing is printed."""

    def _serve(self) -> None:
        broker = self.server.broker
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        with broker.recording.changed:
            broker.requests.append(f"{self.command} {self.path}")
            broker.recording.changed.notify_all()
        refusal = broker._next_refusal()  # pyright: ignore[reportPrivateUsage]  the handler is the broker's own
        if refusal is not None:
            self._answer_problem(refusal[0], retry_after=refusal[1])
            return
        expected = broker.url.partition(f":{self.server.server_port}")[2] + self._PREFIX + broker.invocation
        if self.headers.get("Authorization") != f"Bearer {broker.token}":
            self._answer_problem(Problem("unauthorized", "The token is not valid."))
        elif not self.path.startswith(f"{expected}/"):
            self._answer_problem(Problem("not-found", "There is no such invocation, or it is not yours."))
        else:
            self._route(self.path.removeprefix(f"{expected}/"), body)

    def _route(self, call: str, body: bytes) -> None:
        broker = self.server.broker
        recording = broker.recording
        match self.command, call:
            case "GET", "context":
                answer: dict[str, JsonValue] = {
                    "context": recording.context.to_wire(),
                    "protocol": PROTOCOL_VERSION,
                    "limits": broker.limits.to_wire(),
                    "lease": {"seconds": broker.lease_seconds, "expires_at": None},
                    "control": recording.control,
                }
                self._answer(200, answer)
            case "POST", "events":
                self._append(body)
            case "POST", "heartbeat":
                heartbeat = decode_json(body) if body else {}
                recording.beat(heartbeat if isinstance(heartbeat, dict) else {})
                self._answer(200, {"control": recording.control})
            case _:
                self._answer_problem(Problem("not-found", f"There is no {self.command} {self.path}."))

    def _append(self, body: bytes) -> None:
        broker = self.server.broker
        try:
            request = read_append(self.headers.get, body, limits=broker.limits)
        except RequestRefused as refused:
            self._answer_problem(refused.problem, control=broker.recording.control)
            return
        status, answer = broker.recording.append(request)
        if broker._next_is_cut():  # pyright: ignore[reportPrivateUsage]  its own handler
            self.close_connection = True
            self.connection.shutdown(SHUT_RDWR)
        else:
            self._answer(status, answer)

    def _answer_problem(self, problem: Problem, *, retry_after: float | None = None, **members: JsonValue) -> None:
        self._answer(problem.status, {**problem.to_wire(), **members}, retry_after=retry_after)

    def _answer(self, status: int, body: Mapping[str, JsonValue], *, retry_after: float | None = None) -> None:
        # In one write: headers and body in two packets cost 40 ms each time on a keep-alive connection.
        content = json.dumps(body).encode()
        media = "application/json" if status < 300 else PROBLEM_MEDIA_TYPE
        lines = [f"HTTP/1.1 {status} Answer", f"Content-Type: {media}", f"Content-Length: {len(content)}"]
        if retry_after is not None:
            lines.append(f"Retry-After: {retry_after}")
        with suppress(OSError):
            self.wfile.write("\r\n".join([*lines, "", ""]).encode("latin-1") + content)
