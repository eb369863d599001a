"""Errors as answers: every failure leaves the server as `application/problem+json` from the one registry."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TypeAlias

from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from standpipe_protocol.json_text import JsonValue, encode_json
from standpipe_protocol.problems import Problem

HeaderList: TypeAlias = list[tuple[bytes, bytes]]


def not_found() -> Problem:
    """The same words for "not yours" and "not there"."""
    return Problem("not-found", "There is nothing at this address, or it is not yours.")


def unauthorized() -> Problem:
    return Problem(
        "unauthorized",
        "Expected `Authorization: Bearer` with the operator key or with the token of the invocation.",
    )


def rate_limited(early: float) -> Problem:
    """The invocation's tokens make more requests than they may; the next one in `early` seconds."""
    seconds = max(1, math.ceil(early))
    detail = (
        f"The process of this invocation makes more requests than the limit `requests_per_second` allows: put several "
        f"messages into one request, and come again in {seconds} s. Nothing was stored."
    )
    return Problem("rate-limited", detail, {"retry_after": seconds})


def wrong_csrf_token() -> Problem:
    return Problem(
        "wrong-csrf-token",
        "A session's cookie may change something only together with the header `Standpipe-CSRF`, whose value is in the "
        "page. Reload the page; programs use the operator key instead of a cookie.",
    )


def invalid_parameter(name: str, *, expected: str, got: str) -> Problem:
    """A query parameter has a wrong value."""
    return Problem(
        "invalid-request",
        f"The query parameter `{name}` is {got[:100]!r}; expected {expected}.",
        {"pointer": f"/query/{name}", "expected": expected},
    )


def malformed_header(name: str, *, expected: str, got: str) -> Problem:
    return Problem(
        "malformed",
        f"The header `{name}` is {got[:100]!r}; expected {expected}. Nothing was stored.",
        {"header": name},
    )


def problem_headers(problem: Problem) -> HeaderList:
    """The headers that go with a problem: when to come back, how to authenticate, what is allowed."""
    headers: HeaderList = []
    retry_after = problem.members.get("retry_after")
    if isinstance(retry_after, (int, float)):
        headers.append((b"retry-after", b"%d" % max(1, math.ceil(retry_after))))
    elif problem.status in (429, 503):
        headers.append((b"retry-after", b"1"))
    if problem.status == 401:
        headers.append((b"www-authenticate", b'Bearer realm="standpipe"'))
    allowed = problem.members.get("allowed")
    if isinstance(allowed, list):
        headers.append((b"allow", ", ".join(str(method) for method in allowed).encode()))
    return headers


def problem_body(problem: Problem, more: Mapping[str, JsonValue] | None = None) -> bytes:
    return encode_json({**problem.to_wire(), **(more or {})})


def from_http_exception(error: HTTPException) -> Problem:
    """What the framework itself refuses: an unknown path, a method that a path does not take."""
    if error.status_code == 404:
        return not_found()
    if error.status_code == 405:
        allowed: list[JsonValue] = [
            word.strip() for word in (error.headers or {}).get("Allow", "").split(",") if word.strip()
        ]
        return Problem("method-not-allowed", "This resource does not take this method.", {"allowed": allowed})
    if error.status_code < 500:
        return Problem("malformed", f"The request could not be read: {error.detail}.")
    return Problem("internal", "The server failed.")


def from_validation_error(error: RequestValidationError) -> Problem:
    """A query, path or header parameter that the framework could not read."""
    errors = error.errors()
    first = errors[0] if errors else {"loc": (), "msg": "a valid request"}
    # A parameter is named by its name, also where it may be given several times.
    pointer = "".join(f"/{part}" for part in first["loc"][:2])
    expected = str(first["msg"])
    return Problem("invalid-request", f"At `{pointer}`: {expected}.", {"pointer": pointer, "expected": expected})
