"""HTTP: the only module that imports httpx, and it does so when the first `Transport` is made, never before.

One synchronous client a process. Every answer, and every failure to get one, comes back as a value of `delivery`;
nothing here retries or decides. Proxies of the environment are obeyed, but never for a loopback server.
"""

from __future__ import annotations

import codecs
import logging
import os
import sys
import zlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal, cast

from standpipe.delivery import Answer, NoAnswer
from standpipe.errors import PipesConfigurationError
from standpipe.sender_threads import in_sender_thread
from standpipe_protocol import PROTOCOL_VERSION
from standpipe_protocol.bootstrap import Bootstrap
from standpipe_protocol.invocation import FIRST_SEQ_HEADER, NUMBERED_HEADER, PRODUCER_HEADER
from standpipe_protocol.json_text import JsonValue, decode_json, encode_json
from standpipe_protocol.problems import PROBLEM_MEDIA_TYPE, Problem

if TYPE_CHECKING:
    import ssl
    from types import ModuleType

    import httpx

CA_FILE_VARIABLE = "STANDPIPE_CA_FILE"
GZIP_FROM_BYTES = 8 * 1024
CONNECT_SECONDS = 10.0
ANSWER_SECONDS = 30.0

_GZIP = 16 + zlib.MAX_WBITS


class Transport:
    """The three calls of an external process, for one invocation. Used by one thread at a time."""

    def __init__(self, bootstrap: Bootstrap, *, environment: Mapping[str, str], compress: bool | None = None) -> None:
        """Imports httpx and prepares the client; connects nowhere yet.

        Args:
            compress: gzip large bodies; by default where the network is slower than the processor, so not on loopback.

        Raises:
            PipesConfigurationError: the address or the CA file cannot be used.
        """
        self._httpx = httpx = import_httpx()
        try:
            url = httpx.URL(bootstrap.url)
        except httpx.InvalidURL as error:
            raise PipesConfigurationError(
                f"STANDPIPE_URL is {bootstrap.url!r}, which is no address: {error}."
            ) from None
        loopback = is_loopback(url.host)
        self._compress = not loopback if compress is None else compress
        # What a library tells of a header that it does not take has the header in it.
        self._token = bootstrap.token
        self._base = f"{bootstrap.url}/api/v1/invocations/{bootstrap.invocation}"
        self._client = httpx.Client(
            headers={
                "Authorization": f"Bearer {bootstrap.token}",
                "User-Agent": f"standpipe-python protocol/{PROTOCOL_VERSION}",
                "Accept": f"application/json, {PROBLEM_MEDIA_TYPE}",
                # Context and acknowledgements are small or read once: not worth a decompressor's start.
                "Accept-Encoding": "identity" if loopback else "gzip",
            },
            # httpx builds a TLS context of its own (some 40 ms) unless it is told not to. Without https nothing is
            # verified by it, unless an https proxy carries the request, and that one is not asked for on loopback.
            verify=False if url.scheme == "http" and loopback else _tls_context(environment),
            trust_env=not loopback,
            timeout=httpx.Timeout(ANSWER_SECONDS, connect=CONNECT_SECONDS),
            limits=httpx.Limits(max_connections=2, max_keepalive_connections=2, keepalive_expiry=50.0),
            follow_redirects=False,
        )

    def get_context(self) -> Answer | NoAnswer:
        return self._ask("GET", "/context", content=None, headers={})

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
        return self._ask("POST", "/events", content=body, headers=headers)

    def heartbeat(self, *, producer: str, numbered: int) -> Answer | NoAnswer:
        body = encode_json({"producer": producer, "numbered": numbered})
        return self._ask("POST", "/heartbeat", content=body, headers={"Content-Type": "application/json"})

    def close(self) -> None:
        self._client.close()

    def _ask(
        self, method: Literal["GET", "POST"], path: str, *, content: bytes | None, headers: Mapping[str, str]
    ) -> Answer | NoAnswer:
        try:
            response = self._client.request(method, self._base + path, content=content, headers=headers)
        except (self._httpx.HTTPError, OSError) as error:
            told = str(error).replace(self._token, "***")
            return NoAnswer(reason=f"{type(error).__name__}: {told}" if told else type(error).__name__)
        return _answer(response)


def import_httpx() -> ModuleType:
    """httpx without its command line, which it imports where rich and click are installed: more than the rest of it."""
    command_line = "httpx._main"
    blocked = "httpx" not in sys.modules
    if blocked:
        # None makes the import of it fail, for which httpx is prepared.
        sys.modules[command_line] = cast("ModuleType", None)
    try:
        import httpx
    finally:
        if blocked:
            sys.modules.pop(command_line, None)
    # What the first look-up of a host would import. Until everything is imported a fork waits, and not any longer.
    codecs.lookup("idna")
    logging.getLogger("httpx").addFilter(_not_our_own_requests)
    return httpx


def _not_our_own_requests(record: logging.LogRecord) -> bool:
    """httpx logs every request as INFO; those of a program are its own affair, ours are noise in it."""
    return record.levelno >= logging.WARNING or not in_sender_thread()


def is_loopback(host: str) -> bool:
    """Whether a host name or address is this machine itself."""
    return host in ("localhost", "::1", "[::1]") or host.endswith(".localhost") or host.startswith("127.")


def _answer(response: httpx.Response) -> Answer:
    body: dict[str, JsonValue] | None = None
    try:
        decoded = decode_json(response.content)
        body = decoded if isinstance(decoded, dict) else None
    except ValueError:
        # A proxy's HTML page: the status says enough.
        body = None
    told = response.headers.get("content-type", "").partition(";")[0].strip() == PROBLEM_MEDIA_TYPE
    return Answer(
        status=response.status_code,
        body=body,
        problem=Problem.from_wire(body) if told and body is not None else None,
        retry_after=_seconds(response.headers.get("retry-after")),
        location=response.headers.get("location"),
    )


def _seconds(text: str | None) -> float | None:
    """`Retry-After` in seconds; its other form, a date, is left to the backoff."""
    try:
        return min(max(float(cast("str", text)), 0.0), 300.0)
    except (TypeError, ValueError):
        return None


def _tls_context(environment: Mapping[str, str]) -> ssl.SSLContext:
    import ssl

    # Loads the system's certificates, and obeys SSL_CERT_FILE and SSL_CERT_DIR.
    context = ssl.create_default_context()
    if not (os.environ.get("SSL_CERT_FILE") or os.environ.get("SSL_CERT_DIR")):
        import certifi

        context.load_verify_locations(cafile=certifi.where())
    if given := environment.get(CA_FILE_VARIABLE):
        try:
            context.load_verify_locations(cafile=given)
        except OSError as error:
            # ssl.SSLError, for a file without a certificate, is an OSError too.
            raise PipesConfigurationError(
                f"{CA_FILE_VARIABLE} is {given!r}, which cannot be loaded: {error}."
            ) from None
    return context
