"""What a browser asks for beside the API: pages, their files, signing in and out.

| address | who | answer |
|---|---|---|
| `/login` | every client | a code or the operator key begins a session; without either, the form |
| a page, `/static/…` | a session, or the operator key | the shell, a file of the build |
| a page, from a browser without a session | | sent to `/login` |
"""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import Sequence
from typing import Final
from urllib.parse import parse_qs, quote, urlsplit

from standpipe_protocol.problems import Problem
from standpipe_server.api.access.guard import is_page, request_origin
from standpipe_server.api.access.sessions import SESSION_SECONDS
from standpipe_server.api.http.bodies import next_part
from standpipe_server.api.http.exchange import Exchange
from standpipe_server.api.http.problems import not_found
from standpipe_server.api.parts import ApiParts
from standpipe_server.broker.messages.splitting import Refused
from standpipe_server.broker.values.ids import token_digest
from standpipe_server.ui.built import Built
from standpipe_server.ui.shell import LOGIN_POLICY, PAGE_POLICY, again_page, login_page, page_shell, unbuilt_page

_HTML: Final = b"text/html; charset=utf-8"
_LONGEST_FORM: Final = 16 * 1024
_MOST_FIELDS: Final = 10
_WRONG_CODE: Final = "This link was used already, or its time is over. Run `standpipe open` for another."
_WRONG_KEY: Final = "That is not this server's operator key."
_FOREIGN: Final = "The form was sent from another site. Sign in here."
_KEPT: Final = ((b"cache-control", b"private, max-age=31536000, immutable"),)
Headers = Sequence[tuple[bytes, bytes]]


class Pages:
    """Answers every address that `is_page` names."""

    def __init__(self, parts: ApiParts, *, built: Built | None = None) -> None:
        self._parts = parts
        self._built = built or Built()
        self._base_path = parts.base_path

    async def serve(self, exchange: Exchange) -> None:
        """Answers a request that was let in."""
        match exchange.segments:
            case ["", "login"] if exchange.method == "POST":
                await self._sign_in_by_key(exchange)
            case ["", "login"] if exchange.method in ("GET", "HEAD"):
                await self._sign_in_by_code(exchange)
            case ["", "logout"] if exchange.method == "POST":
                await self._sign_out(exchange)
            case ["", "static", name] if exchange.method in ("GET", "HEAD"):
                await self._file(exchange, name)
            case ["", first, *_] if first not in ("login", "logout", "static") and exchange.method in ("GET", "HEAD"):
                await self._page(exchange)
            case _:
                raise Refused(not_found())

    async def invite(self, exchange: Exchange) -> bool:
        """Answers a browser that asks for a page without a session; False when it is none."""
        accepts = exchange.headers.get(b"accept", b"")
        if exchange.method != "GET" or b"text/html" not in accepts or exchange.segments[1] == "static":
            return False
        if exchange.headers.get(b"sec-fetch-site") == b"cross-site":
            # The person followed a link on another site. The cookie is strict, so it was not sent although there may be
            # one; a page of our own that loads the same address is asked with it.
            await self._answer(exchange, 200, again_page(), policy=LOGIN_POLICY)
            return True
        query = exchange.scope["query_string"].decode("latin-1")
        following = quote(exchange.path) + (f"?{query}" if query else "")
        await self._go(exchange, "/login" + ("" if following == "/" else f"?next={quote(following, safe='/')}"))
        return True

    async def _page(self, exchange: Exchange) -> None:
        entries = self._built.entries
        if not entries:
            await self._answer(exchange, 503, unbuilt_page(), policy=LOGIN_POLICY)
            return
        session = exchange.session
        shell = page_shell(
            entries,
            base_path=self._base_path,
            csrf_token=session.csrf_token if session else "",
            version=self._parts.server_version,
            public_url=self._parts.public_url or request_origin(exchange),
        )
        await self._answer(exchange, 200, shell, policy=PAGE_POLICY)

    async def _file(self, exchange: Exchange, name: str) -> None:
        file = self._built.file(name)
        if file is None:
            raise Refused(not_found())
        headers: list[tuple[bytes, bytes]] = [*_KEPT, (b"vary", b"accept-encoding")]
        body = file.plain
        if b"gzip" in exchange.headers.get(b"accept-encoding", b""):
            headers.append((b"content-encoding", b"gzip"))
            body = file.gzipped
        await exchange.answer(200, b"" if exchange.method == "HEAD" else body, media=file.media, headers=headers)

    async def _sign_in_by_code(self, exchange: Exchange) -> None:
        query = _fields(exchange.scope["query_string"])
        following = _own_address(query.get("next", ["/"])[-1])
        code = query.get("code", [""])[-1]
        if not code:
            if self._parts.sessions.read(exchange.headers.get(b"cookie")):
                await self._go(exchange, following)
                return
            await self._show_login(exchange, following=following)
        # Programs that look ahead at links (HEAD, prefetching) do not use them up.
        elif exchange.method == "GET" and self._parts.sessions.redeem(code):
            await self._begin(exchange, following)
        else:
            await self._show_login(exchange, following=following, wrong=_WRONG_CODE, status=403)

    async def _sign_in_by_key(self, exchange: Exchange) -> None:
        body = await self._form(exchange)
        form = _fields(body)
        following = _own_address(form.get("next", ["/"])[-1])
        key = form.get("key", [""])[-1].strip()
        if not self._is_our_own(exchange):
            await self._show_login(exchange, following=following, wrong=_FOREIGN, status=403)
        elif hmac.compare_digest(token_digest(key), self._parts.guard.operator_digest):
            await self._begin(exchange, following)
        else:
            await self._show_login(exchange, following=following, wrong=_WRONG_KEY, status=403)

    async def _sign_out(self, exchange: Exchange) -> None:
        self._parts.sessions.end(exchange.headers.get(b"cookie"))
        await asyncio.get_running_loop().run_in_executor(self._parts.executor, self._parts.sessions.ended.keep)
        await self._go(exchange, "/login", cookie=self._cookie(exchange, "", seconds=0))

    async def _form(self, exchange: Exchange) -> bytes:
        body = b""
        while True:
            message = await next_part(exchange, offset=len(body))
            body += message.get("body", b"")
            if len(body) > _LONGEST_FORM:
                return b""
            if not message.get("more_body", False):
                return body

    def _is_our_own(self, exchange: Exchange) -> bool:
        """Whether a form was sent by a page of ours, as far as the browser says."""
        site = exchange.headers.get(b"sec-fetch-site")
        if site is not None:
            return site in (b"same-origin", b"none")
        # Browsers leave the first header out where the address is neither HTTPS nor this machine's.
        origin = exchange.headers.get(b"origin")
        if origin is None:
            return True
        return urlsplit(origin.decode("latin-1")).netloc.encode("latin-1") == exchange.headers.get(b"host")

    async def _begin(self, exchange: Exchange, following: str) -> None:
        cookie = self._cookie(exchange, self._parts.sessions.new_cookie(), seconds=SESSION_SECONDS)
        await self._go(exchange, following, cookie=cookie)

    def _cookie(self, exchange: Exchange, value: str, *, seconds: int) -> str:
        secure = (self._parts.public_url or request_origin(exchange)).startswith("https:")
        return (
            f"{self._parts.sessions.cookie_name}={value}; Path={self._base_path or '/'}; Max-Age={seconds}; HttpOnly; "
            f"SameSite=Strict{'; Secure' if secure else ''}"
        )

    async def _show_login(self, exchange: Exchange, *, following: str, wrong: str = "", status: int = 200) -> None:
        page = login_page(base_path=self._base_path, following=following, wrong=wrong)
        await self._answer(exchange, status, page, policy=LOGIN_POLICY)

    async def _go(self, exchange: Exchange, address: str, *, cookie: str | None = None) -> None:
        headers = [(b"location", (self._base_path + address).encode("latin-1", "replace"))]
        if cookie is not None:
            headers.append((b"set-cookie", cookie.encode("latin-1")))
        await exchange.answer(303, b"", headers=headers)

    async def _answer(self, exchange: Exchange, status: int, page: str, *, policy: str) -> None:
        headers = [
            (b"content-security-policy", policy.encode()),
            (b"referrer-policy", b"same-origin"),
            (b"x-frame-options", b"DENY"),
            (b"cross-origin-opener-policy", b"same-origin"),
        ]
        body = b"" if exchange.method == "HEAD" else page.encode()
        await exchange.answer(status, body, media=_HTML, headers=headers)


def _fields(form: bytes) -> dict[str, list[str]]:
    try:
        return parse_qs(form.decode("latin-1"), max_num_fields=_MOST_FIELDS)
    except ValueError:
        detail = f"This page takes at most {_MOST_FIELDS} fields. Ask for /login without them."
        raise Refused(Problem("malformed", detail)) from None


def _own_address(address: str) -> str:
    """The address to go on to, if it is one of our pages; else the first page. Never another site."""
    path = address.partition("?")[0]
    printable = address.isascii() and address.isprintable() and "\\" not in address
    if printable and path.startswith("/") and not path.startswith("//") and is_page(path.split("/")):
        return address if path.split("/")[1] not in ("login", "logout", "static") else "/"
    return "/"
