"""Who may call what: denied unless named here. Exact comparisons of parsed segments, never of beginnings or ends.

| caller | may call |
|---|---|
| a client without a credential | `/healthz`, `/readyz`, `/login` |
| an invocation's token | its own invocation's context (GET), events (POST) and heartbeat (POST) |
| a person's session cookie | everything; what changes something with the session's CSRF token only |
| the operator key | everything |
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Sequence
from typing import Final

from standpipe_protocol.problems import Problem
from standpipe_server.api.access.rate_limits import Rates
from standpipe_server.api.access.sessions import CSRF_HEADER, Sessions
from standpipe_server.api.http.exchange import Exchange
from standpipe_server.api.http.parameters import refuse_repeated
from standpipe_server.api.http.problems import malformed_header, not_found, rate_limited, unauthorized, wrong_csrf_token
from standpipe_server.broker.messages.splitting import Refused
from standpipe_server.broker.values.ids import token_digest
from standpipe_server.store import Callers

OPEN_PATHS: Final = frozenset({"/healthz", "/readyz", "/login"})
_PAGES: Final = frozenset({"", "login", "logout", "static", "invocations", "assets", "compare", "connect", "errors"})
_READING: Final = frozenset({"GET", "HEAD"})
_SAYING_WHO: Final = frozenset({"host", "authorization"})
PROCESS_CALLS: Final = frozenset({("GET", "context"), ("POST", "events"), ("POST", "heartbeat")})

# Host names and addresses with an optional port; this text goes into the address that processes are given.
_HOST = re.compile(r"(\[[0-9A-Fa-f:.]{2,45}\]|[A-Za-z0-9._-]{1,253})(:[0-9]{1,5})?")
_LONGEST_TOKEN = 1024
_KNOWN_HEADERS = 100


class Guard:
    """Decides about a request before anything of its body is read."""

    def __init__(
        self, *, callers: Callers, operator_key: str, sessions: Sessions, hosts: frozenset[str] | None, rates: Rates
    ) -> None:
        """`hosts`: the host names that requests may carry; None allows any."""
        self._callers = callers
        self.operator_digest = token_digest(operator_key)
        self._sessions = sessions
        self._hosts = hosts
        self._rates = rates
        # The few headers that clients really send, so that a request does not pay for taking one apart.
        self._known_headers: set[bytes] = set()

    async def admit(self, exchange: Exchange) -> None:
        """Lets a request pass; `exchange.target` is set when it speaks for an invocation.

        Raises:
            Refused: `malformed`, `forbidden-host`, `unauthorized`, `wrong-csrf-token`, `not-found` or `rate-limited`.
        """
        if exchange.repeated in _SAYING_WHO:
            refuse_repeated(exchange)
        self._check_host(exchange)
        if exchange.path in OPEN_PATHS:
            return
        digest = _given_digest(exchange.headers.get(b"authorization"))
        if digest is None:
            self._admit_person(exchange)
            return
        # Digests are compared, so that neither content nor length of the key shows in the time it takes.
        if hmac.compare_digest(digest, self.operator_digest):
            return
        caller = await self._callers.find(digest)
        if caller is None:
            raise Refused(unauthorized())
        if process_call(exchange.method, exchange.segments) != caller.id:
            raise Refused(not_found())
        exchange.target = caller
        early = self._rates.wait(caller.pk)
        if early > 0:
            raise Refused(rate_limited(early))

    def _admit_person(self, exchange: Exchange) -> None:
        """Lets a request with a session's cookie pass. A header, where there is one, counts alone."""
        if b"authorization" in exchange.headers:
            raise Refused(unauthorized())
        session = self._sessions.read(exchange.headers.get(b"cookie"))
        if session is None:
            raise Refused(unauthorized())
        if exchange.method not in _READING and not hmac.compare_digest(
            exchange.headers.get(CSRF_HEADER, b""), session.csrf_token.encode()
        ):
            raise Refused(wrong_csrf_token())
        exchange.session = session

    def _check_host(self, exchange: Exchange) -> None:
        header = exchange.headers.get(b"host", b"")
        if self._hosts is None or header in self._known_headers:
            return
        host = header.decode("latin-1")
        if host_name(host) in self._hosts:
            if len(self._known_headers) < _KNOWN_HEADERS:
                self._known_headers.add(header)
        else:
            detail = (
                f"The host name {host[:100]!r} is not served here. Use the address from the credentials file, or "
                "start the server with --allowed-host."
            )
            raise Refused(Problem("forbidden-host", detail))


def _given_digest(authorization: bytes | None) -> bytes | None:
    """The digest of the token that a request carries; None when it carries none."""
    if authorization is None or len(authorization) > _LONGEST_TOKEN:
        return None
    scheme, _, token = authorization.partition(b" ")
    token = token.strip()
    if scheme.lower() != b"bearer" or not token:
        return None
    return token_digest(token.decode("latin-1"))


def is_page(segments: Sequence[str]) -> bool:
    """Whether a path is one of the pages' (or their files'), and not of the API or of nothing."""
    return (
        len(segments) > 1 and segments[0] == "" and segments[1] in _PAGES and (segments[1] != "" or len(segments) == 2)
    )


def process_call(method: str, segments: Sequence[str]) -> str | None:
    """The invocation that a call of an external process is about; None when it is no such call."""
    match segments:
        case ["", "api", "v1", "invocations", invocation, word] if (method, word) in PROCESS_CALLS:
            return invocation
        case _:
            return None


def host_name(host: str) -> str | None:
    """The name in a Host header, without port, brackets and final dot; None when it is not one."""
    match = _HOST.fullmatch(host)
    return match.group(1).strip("[]").rstrip(".").lower() if match else None


def request_origin(exchange: Exchange) -> str:
    """Scheme and host under which the request was made.

    Raises:
        Refused: the Host header cannot be part of an address.
    """
    host = exchange.headers.get(b"host", b"").decode("latin-1")
    if not host and exchange.scope.get("server"):
        name, port = exchange.scope["server"]
        host = f"[{name}]:{port}" if ":" in name else f"{name}:{port}"
    if host_name(host) is None:
        raise Refused(malformed_header("Host", expected="a host name with an optional port", got=host))
    return f"{exchange.scope['scheme']}://{host}"
