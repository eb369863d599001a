"""The HTTP client of both distributions: its TLS context, proxy, time-outs and log filter, and what `Retry-After` says.

httpx is imported with the first client, never before. The invariant: proxies of the environment are obeyed, but never
for a loopback server, and no error shows the credentials that a proxy's address may have.
"""

from __future__ import annotations

import codecs
import logging
import os
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, cast

from standpipe.errors import PipesConfigurationError
from standpipe.http.proxies import environment_proxy
from standpipe.runtime.threads import in_sending_thread
from standpipe_protocol.bootstrap import is_loopback, without_password

if TYPE_CHECKING:
    import ssl
    from types import ModuleType

    import httpx

CA_FILE_VARIABLE = "STANDPIPE_CA_FILE"
CONNECT_SECONDS = 10.0
ANSWER_SECONDS = 30.0
KEEP_SECONDS = 50.0
"""How long an idle connection is kept: less than the server keeps it."""


def parsed_url(text: str, *, name: str) -> httpx.URL:
    """An address in its parts; raises PipesConfigurationError, which names `name`, where it is none."""
    httpx = import_httpx()
    try:
        url = httpx.URL(text)
        # Decoded only when asked for, and what cannot be decoded is no host's name.
        _ = url.host
        return url
    except (httpx.InvalidURL, ValueError) as error:
        raise PipesConfigurationError(f"{name} is {without_password(text)!r}, which is no address: {error}.") from None


def make_client(
    url: httpx.URL,
    *,
    headers: Mapping[str, str],
    environment: Mapping[str, str],
    connections: int | None,
    keep_connections: int,
    answer_seconds: float = ANSWER_SECONDS,
) -> httpx.Client:
    """A client for one server, which connects nowhere yet, with at most `connections` at a time (None: any number).
    Raises PipesConfigurationError where the CA file that `environment` names, or the proxy, cannot be used."""
    httpx, loopback = import_httpx(), is_loopback(url.host)
    proxy = None if loopback else environment_proxy(url.scheme, url.host, url.port)
    try:
        return httpx.Client(
            headers=headers,
            # httpx builds a TLS context of its own (some 40 ms) unless it is told not to. Without https nothing is
            # verified by it, unless an https proxy carries the request, and that one is not asked for on loopback.
            verify=False if url.scheme == "http" and loopback else _tls_context(environment),
            # Both halves of "the environment" are read here, so that an odd entry costs itself and not all.
            trust_env=False,
            proxy=proxy,
            timeout=httpx.Timeout(answer_seconds, connect=CONNECT_SECONDS),
            limits=httpx.Limits(
                max_connections=connections, max_keepalive_connections=keep_connections, keepalive_expiry=KEEP_SECONDS
            ),
            follow_redirects=False,
        )
    except PipesConfigurationError:
        raise
    except Exception as error:
        named = "" if proxy is None else f" by the proxy {proxy.rpartition('@')[2]!r}, which the environment names"
        # Other errors may quote their arguments, a token or a password.
        why = f": {error}" if isinstance(error, ImportError) else ""
        raise PipesConfigurationError(
            f"No client can be made for {url}{named} ({type(error).__name__}{why})."
        ) from None


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
    # The first look-up of a host would import it. A fork waits until everything is imported, and no longer.
    codecs.lookup("idna")
    logging.getLogger("httpx").addFilter(_not_our_own_requests)
    return httpx


def retry_after_seconds(text: str | None, *, most: float = 300.0) -> float | None:
    """`Retry-After` in seconds; None, which leaves the pause to the backoff, for a date or anything else."""
    try:
        seconds = float(cast("str", text))
    except (TypeError, ValueError):
        return None
    return min(max(seconds, 0.0), most) if seconds == seconds else None  # noqa: PLR0124  NaN


def _not_our_own_requests(record: logging.LogRecord) -> bool:
    """httpx logs every request as INFO: those of the program stay in its log, ours would be noise there."""
    return record.levelno >= logging.WARNING or not in_sending_thread()


def _tls_context(environment: Mapping[str, str]) -> ssl.SSLContext:
    """With the system's certificates and those of `STANDPIPE_CA_FILE`; raises PipesConfigurationError where that cannot
    be loaded."""
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
    if ca_file := environment.get(CA_FILE_VARIABLE):
        try:
            context.load_verify_locations(cafile=ca_file)
        except OSError as error:
            # ssl.SSLError, for a file without a certificate, is an OSError too.
            raise PipesConfigurationError(
                f"{CA_FILE_VARIABLE} is {ca_file!r}, which cannot be loaded: {error}."
            ) from None
    return context
