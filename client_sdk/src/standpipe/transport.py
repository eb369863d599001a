"""HTTP: the only module that imports httpx, and it does so when the first `Transport` is made, never before.

One synchronous client a process. Every answer, and every failure to get one, comes back as a value of `delivery`;
nothing here retries or decides. Proxies of the environment are obeyed, but never for a loopback server. The invariant:
whatever a network sends, a call ends, with bounded memory, and raises nothing.
"""

from __future__ import annotations

import codecs
import contextlib
import logging
import os
import sys
import zlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal, cast

from standpipe.clock import monotonic
from standpipe.delivery import Answer, NoAnswer
from standpipe.errors import PipesConfigurationError
from standpipe.proxies import Target, proxy_for
from standpipe.sender_threads import in_sender_thread
from standpipe.texts import LONGEST_REASON, text_of
from standpipe.token_file import TokenFile
from standpipe_protocol import PROTOCOL_VERSION
from standpipe_protocol.bootstrap import Bootstrap, without_password
from standpipe_protocol.invocation import FIRST_SEQ_HEADER, NUMBERED_HEADER, PRODUCER_HEADER
from standpipe_protocol.json_text import JsonValue, decode_json, encode_json, replace_lone_surrogates
from standpipe_protocol.problems import PROBLEM_MEDIA_TYPE, Problem

if TYPE_CHECKING:
    import ssl
    from types import ModuleType

    import httpx

CA_FILE_VARIABLE = "STANDPIPE_CA_FILE"
GZIP_FROM_BYTES = 8 * 1024
CONNECT_SECONDS = 10.0
ANSWER_SECONDS = 30.0
WHOLE_ANSWER_SECONDS = 300.0
LONGEST_ANSWER = 128 * 1024 * 1024
"""In bytes: a context is as large as its server's limit, 16 MiB."""

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
        except (httpx.InvalidURL, ValueError) as error:
            raise PipesConfigurationError(
                f"STANDPIPE_URL is {without_password(bootstrap.url)!r}, which is no address: {error}."
            ) from None
        if not (bootstrap.token.isascii() and bootstrap.token.isprintable()):
            raise PipesConfigurationError("STANDPIPE_TOKEN holds characters that no token has and no header carries.")
        loopback = is_loopback(url.host)
        self._compress = not loopback if compress is None else compress
        # What a library tells of a header that it does not take has the header in it.
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
        self._client = self._make_client(url, headers=headers, environment=environment)

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
        # What is left of a broken connection is no trouble of the program's.
        with contextlib.suppress(Exception):
            self._client.close()

    def _make_client(
        self, url: httpx.URL, *, headers: Mapping[str, str], environment: Mapping[str, str]
    ) -> httpx.Client:
        httpx, loopback = self._httpx, is_loopback(url.host)
        proxy = None if loopback else environment_proxy(url.scheme, url.host, url.port)
        try:
            return httpx.Client(
                headers=headers,
                # httpx builds a TLS context of its own (some 40 ms) unless it is told not to. Without https nothing is
                # verified by it, unless an https proxy carries the request, and that one is not asked for on loopback.
                verify=False if url.scheme == "http" and loopback else tls_context(environment),
                # Both halves of "the environment" are read here, so that an odd entry costs itself and not all.
                trust_env=False,
                timeout=httpx.Timeout(ANSWER_SECONDS, connect=CONNECT_SECONDS),
                limits=httpx.Limits(max_connections=2, max_keepalive_connections=2, keepalive_expiry=50.0),
                follow_redirects=False,
                **({} if proxy is None else {"proxy": proxy}),
            )
        except PipesConfigurationError:
            raise
        except Exception as error:
            raise PipesConfigurationError(cannot_be_made(error, url=str(url), proxy=proxy)) from None

    def _ask(
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
        # Also where another token was read: half of it may be written, or it may be replaced once more.
        return NoAnswer(reason=file.trouble) if file.is_waited_for else answer

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
        told = text_of(error, most=LONGEST_REASON).replace(self._token, "***")
        return f"{type(error).__name__}: {told}" if told else type(error).__name__


def _is_refusal(answer: Answer | NoAnswer) -> bool:
    return isinstance(answer, Answer) and answer.status == 401


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


def _answer(response: httpx.Response, content: bytes) -> Answer:
    body: dict[str, JsonValue] | None = None
    try:
        # What is told of it goes into logs and files, which take no halves of characters.
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
    """The body, decompressed, within bounds: what is larger, slower or otherwise encoded is not the server's.

    Raises:
        httpx.HTTPError: it does not come to its end.
        ValueError, zlib.error: it is beyond the bounds.
    """
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
        raise ValueError("an answer whose compressed body was cut off")
    return bytes(content)


def retry_after_seconds(text: str | None, *, most: float = 300.0) -> float | None:
    """`Retry-After` in seconds; its other form, a date, and what is no number of seconds are left to the backoff."""
    try:
        seconds = float(cast("str", text))
    except (TypeError, ValueError):
        return None
    return min(max(seconds, 0.0), most) if seconds == seconds else None  # noqa: PLR0124  NaN


def environment_proxy(scheme: str, host: str, port: int | None) -> str | None:
    """The proxy that this process's environment, or its system, names for requests to an address."""
    from urllib.request import getproxies

    target = Target(scheme=scheme, host=host.strip("[]"), port=port or (443 if scheme == "https" else 80))
    return proxy_for(target, proxies=getproxies())


def cannot_be_made(error: Exception, *, url: str, proxy: str | None) -> str:
    """Why there is no client for an address, without the credentials that the proxy's address may have."""
    named = "" if proxy is None else f" by the proxy {proxy.rpartition('@')[2]!r}, which the environment names"
    # Others may quote what they were given, a token or a password.
    why = f": {error}" if isinstance(error, ImportError) else ""
    return f"No client can be made for {url}{named} ({type(error).__name__}{why})."


def tls_context(environment: Mapping[str, str]) -> ssl.SSLContext:
    """With the system's certificates and those of `STANDPIPE_CA_FILE`.

    Raises:
        PipesConfigurationError: that file cannot be loaded.
    """
    import ssl

    try:
        # Loads the system's certificates, and obeys SSL_CERT_FILE and SSL_CERT_DIR.
        context = ssl.create_default_context()
    except OSError:
        # SSLKEYLOGFILE names a file that cannot be written.
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_default_certs()
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
