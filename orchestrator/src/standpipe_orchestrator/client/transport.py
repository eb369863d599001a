"""HTTP to the broker: the one module of this distribution that imports an HTTP client.

It carries a call and its answer and knows how to try again; what is called and what an answer means is the client's
matter. Every failure leaves as one of this distribution's errors, naming call and address and never the key.
"""

from __future__ import annotations

import contextlib
import os
import socket
import threading
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias, TypedDict, TypeVar, Unpack, cast
from urllib.parse import urlsplit

import httpx
import httpx_sse

from standpipe import orchestration as sdk
from standpipe.errors import PipesConfigurationError
from standpipe_orchestrator.client.pages import Page
from standpipe_orchestrator.client.problem_errors import error_for_problem
from standpipe_orchestrator.errors import BrokerNotFound, BrokerUnreachable, UnexpectedAnswer
from standpipe_protocol import PROTOCOL_VERSION
from standpipe_protocol.bootstrap import BootstrapError, secret_word, server_address, without_password
from standpipe_protocol.json_text import JsonObject, JsonValue, decode_json, encode_json
from standpipe_protocol.limits import LONGEST_INTEGER
from standpipe_protocol.problems import Problem

API_PATH = "/api/v1"
RETRY_SECONDS = 30.0
"""How long a call that may be repeated is repeated."""
STREAM_SILENCE_SECONDS = 45.0
"""Three of the server's keep-alive comments: after that a stream is taken for dead."""

Query: TypeAlias = Mapping[str, str | int | Sequence[str] | None]
"""Members of None are left out; one with several values is repeated."""

T = TypeVar("T")

_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 5.0
_WORTH_ANOTHER_TRY = frozenset({429, 502, 503, 504})
_MAX_RETRY_AFTER = 60.0


class CallOptions(TypedDict, total=False):
    """What a call carries besides its method and path."""

    query: Query | None
    body: JsonValue
    headers: Mapping[str, str] | None
    answer_seconds: float | None
    """How long the answer may take; the client's own time-out when not given."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A successful answer: its decoded JSON body, None for an empty one."""

    status: int
    body: JsonValue
    replayed: bool = False
    """What was asked for was there already, under the same idempotency key."""


def broker_address(text: str, *, name: str = "The broker's address") -> str:
    """A broker's address as it is used: without space around it, its scheme in lower case.

    Raises:
        BrokerNotFound: it is none.
    """
    try:
        address = server_address(text, name=name)
        _ = urlsplit(address).port
    except BootstrapError as error:
        raise BrokerNotFound(str(error)) from None
    except ValueError:
        raise BrokerNotFound(
            f"{name} is {without_password(text.strip())!r}, which has no valid host or port."
        ) from None
    return address


def operator_key(text: str, *, name: str = "The operator key") -> str:
    """A key without the space around it.

    Raises:
        BrokerNotFound: HTTP cannot carry it.
    """
    try:
        return secret_word(text, name=name)
    except BootstrapError as error:
        raise BrokerNotFound(str(error)) from None


class EventStream:
    """An open stream of server-sent events."""

    def __init__(self, response: httpx.Response, *, call: str, url: str) -> None:
        self._response = response
        self._call, self._url = call, url

    def frames(self) -> Iterator[httpx_sse.ServerSentEvent]:
        """The events as they come; ends when the server closes the stream.

        Raises:
            BrokerUnreachable: the connection broke, or was silent for too long.
            UnexpectedAnswer: what came is no event stream.
        """
        try:
            yield from httpx_sse.EventSource(self._response).iter_sse()
        except httpx_sse.SSEError as error:
            raise UnexpectedAnswer(
                f"`{self._call}` on {self._url} was answered with something that is no event stream: {error}.",
                call=self._call,
                url=self._url,
            ) from None
        except (httpx.HTTPError, httpx.StreamError, OSError) as error:
            raise _unreachable(error, call=self._call, url=self._url) from error

    def abort(self) -> None:
        """Ends the stream from another thread, also while that one waits for bytes."""
        network = self._response.extensions.get("network_stream")
        raw = None if network is None else network.get_extra_info("socket")
        if isinstance(raw, socket.socket):
            # Closing the descriptor would not wake a thread that sits in recv; shutting the connection down does.
            with contextlib.suppress(OSError):
                raw.shutdown(socket.SHUT_RDWR)


class Transport:
    """Calls to one broker with one operator key. Safe to use from several threads."""

    def __init__(
        self,
        url: str,
        *,
        api_key: str,
        request_id: str | None = None,
        environment: Mapping[str, str] | None = None,
        retry_seconds: float = RETRY_SECONDS,
        answer_seconds: float = sdk.ANSWER_SECONDS,
        clock: Callable[[], float] = sdk.monotonic,
        jitter: Callable[[], float] = sdk.random_part,
    ) -> None:
        """Prepares; connects nowhere yet.

        Raises:
            BrokerNotFound: the address or the CA file cannot be used.
        """
        environment = os.environ if environment is None else environment
        self.url = broker_address(url)
        headers = {
            "Authorization": f"Bearer {operator_key(api_key)}",
            "User-Agent": f"standpipe-orchestrator protocol/{PROTOCOL_VERSION}",
            **({} if request_id is None else {"X-Request-ID": request_id}),
        }
        self._retry_seconds, self._clock, self._jitter = retry_seconds, clock, jitter
        self._closed = threading.Event()
        try:
            self._client = sdk.make_client(
                sdk.parsed_url(self.url, name="The broker's address"),
                headers=headers,
                environment=environment,
                # Each running invocation holds one stream, so the number of connections has no bound of its own.
                connections=None,
                keep_connections=4,
                answer_seconds=answer_seconds,
            )
        except PipesConfigurationError as error:
            raise BrokerNotFound(str(error)) from None

    def call(self, method: str, path: str, *, retry: bool = True, **options: Unpack[CallOptions]) -> Answer:
        """One call below `/api/v1`, repeated while that is worth it.

        Args:
            retry: the call may be repeated (it is idempotent, or carries a key that makes it so).

        Raises:
            BrokerUnreachable: no answer came within the retry budget.
            UnexpectedAnswer: the answer is not this protocol's.
            ProblemError: the broker refused.
        """
        deadline = self._clock() + (self._retry_seconds if retry else 0.0)
        attempt = 0
        while True:
            try:
                return self._try(method, path, **options)
            except _TryAgain as again:
                delay = sdk.backoff_delay(attempt=attempt, jitter=self._jitter(), base=_FIRST_PAUSE, cap=_LONGEST_PAUSE)
                pause = max(delay, again.retry_after)
                if self._clock() + pause >= deadline:
                    raise again.error from again.error.__cause__
                attempt += 1
                if self._closed.wait(pause):
                    raise again.error from again.error.__cause__

    def call_object(self, method: str, path: str, *, retry: bool = True, **options: Unpack[CallOptions]) -> JsonObject:
        """The JSON object that a call is answered with.

        Raises:
            UnexpectedAnswer: the answer is no JSON object; otherwise as `call`.
        """
        body = self.call(method, path, retry=retry, **options).body
        if not isinstance(body, dict):
            raise self.unexpected(method, path, "without a JSON object")
        return body

    def page(
        self, path: str, *, query: Mapping[str, object], read: Callable[[JsonObject], T] = lambda item: item
    ) -> Page[T]:
        """One page of a list, of what `read` makes of each item."""
        body = self.call_object("GET", path, query=cast("Query", query))
        items, cursor = body.get("items"), body.get("next_cursor")
        return Page(
            items=tuple(read(item) for item in (items if isinstance(items, list) else []) if isinstance(item, dict)),
            next_cursor=cursor if isinstance(cursor, str) else None,
        )

    def unexpected(
        self, method: str, path: str, answer: str, *, response: httpx.Response | None = None
    ) -> UnexpectedAnswer:
        """The error for an answer that is not this protocol's.

        Args:
            answer: completes "was answered".
        """
        call = f"{method} {API_PATH}{path}"
        return UnexpectedAnswer(
            f"`{call}` on {self.url} was answered {answer}.",
            call=call,
            url=self.url,
            request_id=None if response is None else response.headers.get("x-request-id"),
        )

    @contextlib.contextmanager
    def stream(self, path: str, *, query: Query) -> Generator[EventStream]:
        """Opens a stream of server-sent events; tried once.

        Raises:
            BrokerUnreachable, UnexpectedAnswer, ProblemError: it could not be opened.
        """
        call = f"GET {API_PATH}{path}"
        opened = self._client.stream(
            "GET",
            f"{self.url}{API_PATH}{path}",
            params=_without_none(query),
            headers={"Accept": "text/event-stream", "Cache-Control": "no-cache"},
            timeout=httpx.Timeout(STREAM_SILENCE_SECONDS, connect=sdk.CONNECT_SECONDS),
        )
        try:
            with sdk.sending():
                response = opened.__enter__()
        except Exception as error:
            raise _unreachable(error, call=call, url=self.url) from error
        try:
            if response.status_code != 200:
                response.read()
                self._refuse(response, "GET", path)
            yield EventStream(response, call=call, url=self.url)
        except (httpx.HTTPError, httpx.StreamError) as error:
            raise _unreachable(error, call=call, url=self.url) from error
        finally:
            response.close()

    def ask_identity(self, nonce: str, *, header: str, proof_header: str) -> str | None:
        """The proof that the server there gives for a nonce; None without an answer. The key is not sent."""
        request = self._client.build_request("GET", f"{self.url}/healthz", headers={header: nonce}, timeout=2.0)
        del request.headers["Authorization"]
        try:
            with sdk.sending():
                return cast("str | None", self._client.send(request).headers.get(proof_header))
        except Exception:
            return None

    def close(self) -> None:
        self._closed.set()
        self._client.close()

    def _try(
        self,
        method: str,
        path: str,
        *,
        query: Query | None = None,
        body: JsonValue = None,
        headers: Mapping[str, str] | None = None,
        answer_seconds: float | None = None,
    ) -> Answer:
        call = f"{method} {API_PATH}{path}"
        sent = dict(headers or {})
        content = None
        if body is not None:
            content = encode_json(body)
            sent["Content-Type"] = "application/json"
        try:
            with sdk.sending():
                response = self._client.request(
                    method,
                    f"{self.url}{API_PATH}{path}",
                    params=_without_none(query or {}),
                    content=content,
                    headers=sent,
                    timeout=httpx.USE_CLIENT_DEFAULT
                    if answer_seconds is None
                    else httpx.Timeout(answer_seconds, connect=sdk.CONNECT_SECONDS),
                )
        # Not only httpx's own: names that cannot be encoded, bodies that cannot be decoded.
        except Exception as error:
            unreachable = _unreachable(error, call=call, url=self.url)
            unreachable.__cause__ = error
            raise _TryAgain(unreachable) from None
        if not 200 <= response.status_code < 300:
            try:
                self._refuse(response, method, path)
            except Exception as error:
                if response.status_code in _WORTH_ANOTHER_TRY:
                    named = sdk.retry_after_seconds(response.headers.get("retry-after"), most=_MAX_RETRY_AFTER)
                    raise _TryAgain(error, retry_after=named or 0.0) from None
                raise
        if not response.content:
            return Answer(response.status_code, None)
        try:
            decoded = decode_json(response.content, longest_integer=LONGEST_INTEGER)
        except ValueError:
            raise self._not_ours(response, method, path) from None
        replayed = response.headers.get("idempotency-replayed") == "true"
        return Answer(response.status_code, decoded, replayed)

    def _refuse(self, response: httpx.Response, method: str, path: str) -> None:
        kind, status = response.headers.get("content-type", ""), response.status_code
        try:
            problem = Problem.from_answer(decode_json(response.content), content_type=kind, status=status)
        except ValueError:
            problem = None
        if problem is None:
            raise self._not_ours(response, method, path)
        raise error_for_problem(
            problem,
            status=status,
            call=f"{method} {API_PATH}{path}",
            url=self.url,
            request_id=response.headers.get("x-request-id"),
        )

    def _not_ours(self, response: httpx.Response, method: str, path: str) -> UnexpectedAnswer:
        if response.has_redirect_location:
            answer = f"with a redirect to {response.headers['location']}: give the address that it leads to"
        else:
            kind = response.headers.get("content-type", "no content type")
            answer = (
                f"with status {response.status_code} and {kind}, which is not a Standpipe broker's: check its address"
            )
        return self.unexpected(method, path, answer, response=response)


class _TryAgain(Exception):
    """A failure that may pass; `error` is what it is when it does not."""

    def __init__(self, error: Exception, *, retry_after: float = 0.0) -> None:
        super().__init__(str(error))
        self.error = error
        self.retry_after = retry_after


def _unreachable(error: Exception, *, call: str, url: str) -> BrokerUnreachable:
    reason = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    return BrokerUnreachable(
        f"`{call}` got no answer from {url} ({reason}). Is the server running there? `standpipe serve` starts one.",
        call=call,
        url=url,
        connected=not isinstance(error, httpx.ConnectError | httpx.ConnectTimeout),
    )


def _without_none(query: Query) -> dict[str, str | int | Sequence[str]]:
    return {name: value for name, value in query.items() if value is not None}
