"""The three requests of an external process.

One synchronous client a process. Every answer, and every failure to get one, is returned as a value of `decisions`;
nothing here retries or decides. The invariant: every call ends, in bounded memory, and raises nothing, for any bytes
that the network sends.
"""

from __future__ import annotations

import contextlib
import zlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal

from standpipe.errors import PipesConfigurationError
from standpipe.http.client import make_client, parsed_url, retry_after_seconds
from standpipe.http.decisions import Answer, NoAnswer
from standpipe.runtime.clock import monotonic
from standpipe.runtime.text import LONGEST_REASON, text_of
from standpipe_protocol import PROTOCOL_VERSION
from standpipe_protocol.bootstrap import Bootstrap, BootstrapError, is_loopback, read_token_file
from standpipe_protocol.invocation import FIRST_SEQ_HEADER, NUMBERED_HEADER, PRODUCER_HEADER
from standpipe_protocol.json_scan import replace_lone_surrogates
from standpipe_protocol.json_text import JsonValue, decode_json, encode_json
from standpipe_protocol.problems import PROBLEM_MEDIA_TYPE, Problem

if TYPE_CHECKING:
    import httpx

GZIP_FROM_BYTES = 8 * 1024
WHOLE_ANSWER_SECONDS = 300.0
LONGEST_ANSWER = 128 * 1024 * 1024
"""In bytes: a context is as large as its server's limit, 16 MiB."""

PATIENCE_SECONDS = 120.0
"""How long refusals of a file's token are not final, from the first on, and anew for each new token: a mounted secret
is renewed once in a minute or so."""

_GZIP = 16 + zlib.MAX_WBITS


class Transport:
    """The three requests, for one invocation. Used by one thread at a time."""

    def __init__(self, bootstrap: Bootstrap, *, environment: Mapping[str, str], compress: bool | None = None) -> None:
        """Imports httpx and prepares the client; connects nowhere yet.

        Args:
            compress: gzip large bodies; by default where the network is slower than the processor, so not on loopback.

        Raises:
            PipesConfigurationError: the address or the CA file cannot be used.
        """
        url = parsed_url(bootstrap.url, name="STANDPIPE_URL")
        if not (bootstrap.token.isascii() and bootstrap.token.isprintable()):
            raise PipesConfigurationError("STANDPIPE_TOKEN holds characters that no token has and no header carries.")
        loopback = is_loopback(url.host)
        self._compress = not loopback if compress is None else compress
        # A library's error about a header quotes it.
        self._token = bootstrap.token
        self._token_file = None
        if bootstrap.token_file is not None:
            self._token_file = TokenFile(bootstrap.token_file, token=bootstrap.token)
        self._base = f"{bootstrap.url}/api/v1/invocations/{bootstrap.invocation}"
        headers = {
            "Authorization": f"Bearer {bootstrap.token}",
            "User-Agent": f"standpipe-python protocol/{PROTOCOL_VERSION}",
            "Accept": f"application/json, {PROBLEM_MEDIA_TYPE}",
            # Context and acknowledgements are small or read once: not worth a decompressor's start.
            "Accept-Encoding": "identity" if loopback else "gzip",
        }
        self._client = make_client(url, headers=headers, environment=environment, connections=2, keep_connections=2)

    def get_context(self) -> Answer | NoAnswer:
        return self._request("GET", "/context", content=None, headers={})

    def append(self, body: bytes, *, producer: str, first_seq: int, numbered: int) -> Answer | NoAnswer:
        """Sends NDJSON lines as the messages `first_seq` and following of a producer."""
        headers = {
            "Content-Type": "application/x-ndjson",
            PRODUCER_HEADER: producer,
            FIRST_SEQ_HEADER: str(first_seq),
            NUMBERED_HEADER: str(numbered),
        }
        if self._compress and len(body) >= GZIP_FROM_BYTES:
            compressor = zlib.compressobj(level=1, wbits=_GZIP)
            body = compressor.compress(body) + compressor.flush()
            headers["Content-Encoding"] = "gzip"
        return self._request("POST", "/events", content=body, headers=headers)

    def heartbeat(self, *, producer: str, numbered: int) -> Answer | NoAnswer:
        body = encode_json({"producer": producer, "numbered": numbered})
        return self._request("POST", "/heartbeat", content=body, headers={"Content-Type": "application/json"})

    def close(self) -> None:
        # An error of a broken connection does not concern the program.
        with contextlib.suppress(Exception):
            self._client.close()

    def _request(
        self, method: Literal["GET", "POST"], path: str, *, content: bytes | None, headers: Mapping[str, str]
    ) -> Answer | NoAnswer:
        answer = self._send(method, path, content=content, headers=headers)
        file = self._token_file
        if file is not None and _is_refusal(answer) and (token := file.renewed()) is not None:
            self._token = token
            self._client.headers["Authorization"] = f"Bearer {token}"
            answer = self._send(method, path, content=content, headers=headers)
        if file is None or isinstance(answer, NoAnswer):
            return answer
        if not _is_refusal(answer):
            file.accepted()
            return answer
        # Also where another token was read: it may be written in part, or be replaced once more.
        return NoAnswer(reason=file.trouble) if file.may_change else answer

    def _send(
        self, method: Literal["GET", "POST"], path: str, *, content: bytes | None, headers: Mapping[str, str]
    ) -> Answer | NoAnswer:
        try:
            request = self._client.build_request(method, self._base + path, content=content, headers=headers)
            response = self._client.send(request, stream=True)
            try:
                return _answer(response, _content(response))
            finally:
                response.close()
        # Not only httpx's own: names that cannot be encoded, bodies that cannot be decoded, what has no memory.
        except Exception as error:
            return NoAnswer(reason=self._reason(error))

    def _reason(self, error: Exception) -> str:
        text = text_of(error, most=LONGEST_REASON).replace(self._token, "***")
        return f"{type(error).__name__}: {text}" if text else type(error).__name__


class TokenFile:
    """A token that is read from a file, and read again when the server refuses it, and at no other time.

    What writes the file (a secret's volume, a sidecar) may write a new token later than the server expects it.
    """

    def __init__(self, path: str, *, token: str) -> None:
        self._path = path
        self._token = token
        self._refused_at: float | None = None
        self.trouble = ""
        """Why there is no other token."""

    def renewed(self) -> str | None:
        """After a refusal: the new token in the file; None while it is the refused one, or cannot be read."""
        if self._refused_at is None:
            self._refused_at = monotonic()
        self.trouble = f"the token in {self._path} is still the one that the server refuses"
        try:
            token = read_token_file(self._path)
        except BootstrapError as error:
            self.trouble = str(error)
            return None
        if token == self._token:
            return None
        self._token, self._refused_at = token, monotonic()
        return token

    @property
    def may_change(self) -> bool:
        """Whether a new token may still be written."""
        return self._refused_at is None or monotonic() - self._refused_at < PATIENCE_SECONDS

    def accepted(self) -> None:
        """The server took the token."""
        self._refused_at = None


def _is_refusal(answer: Answer | NoAnswer) -> bool:
    return isinstance(answer, Answer) and answer.status == 401


def _answer(response: httpx.Response, content: bytes) -> Answer:
    body: dict[str, JsonValue] | None = None
    try:
        # Its texts go into logs and files, which take no lone surrogates.
        decoded = decode_json(replace_lone_surrogates(content))
        body = decoded if isinstance(decoded, dict) else None
    except ValueError:
        # A proxy's HTML page: the status says enough.
        body = None
    return Answer(
        status=response.status_code,
        body=body,
        problem=Problem.from_answer(
            body, content_type=response.headers.get("content-type", ""), status=response.status_code
        ),
        retry_after=retry_after_seconds(response.headers.get("retry-after")),
        location=response.headers.get("location"),
    )


def _content(response: httpx.Response) -> bytes:
    """The body, decompressed; raises where it does not come to its end, or is larger, slower or otherwise encoded than
    an answer of the server."""
    encoding = response.headers.get("content-encoding", "").strip().lower()
    if encoding not in ("", "identity", "gzip"):
        raise ValueError(f"an answer in the encoding {encoding[:100]!r}, which was not asked for")
    unpacking = zlib.decompressobj(wbits=_GZIP) if encoding == "gzip" else None
    until = monotonic() + WHOLE_ANSWER_SECONDS
    content = bytearray()
    for part in response.iter_raw():
        content += part if unpacking is None else unpacking.decompress(part, LONGEST_ANSWER + 1 - len(content))
        if len(content) > LONGEST_ANSWER:
            raise ValueError(f"an answer of more than {LONGEST_ANSWER} bytes")
        if monotonic() > until:
            raise ValueError(f"an answer that was not whole after {WHOLE_ANSWER_SECONDS:g} s")
    if unpacking is not None and not unpacking.eof:
        raise ValueError("an answer with a compressed body that was cut off")
    return bytes(content)
