"""Answers of the control plane: values of the store as JSON, and how a route describes them."""

# No `from __future__ import annotations`: FastAPI reads the dependency's signature while it is made.

from collections.abc import Mapping
from typing import Annotated, Any, Final

from fastapi import Depends, Path, Query, Request, Response
from pydantic import AfterValidator

from standpipe_protocol.json_text import encode_json
from standpipe_protocol.problems import PROBLEM_MEDIA_TYPE, PROBLEM_TYPES
from standpipe_server.api.http.exchange import SCOPE_KEY, Exchange
from standpipe_server.api.http.problems import not_found
from standpipe_server.broker.messages.splitting import Refused
from standpipe_server.broker.values.ids import INVOCATION_ID
from standpipe_server.resources import COMPONENTS
from standpipe_server.store import Page

_JSON: Final = "application/json"


async def _invocation_id(invocation_id: Annotated[str, Path(description="`inv_` and a UUIDv7.")]) -> str:
    # Not a plain function: FastAPI would run it on a thread of its own, which costs more than all it does.
    # Ids have a fixed grammar: what is none of them is nowhere, and reaches no database.
    if not INVOCATION_ID.fullmatch(invocation_id):
        raise Refused(not_found())
    return invocation_id


InvocationId = Annotated[str, Depends(_invocation_id)]


MOST_ITEMS = 500
Limit = Annotated[
    int,
    Query(ge=1, description=f"Items a page; at most {MOST_ITEMS} are given."),
    AfterValidator(lambda limit: min(limit, MOST_ITEMS)),
]
Cursor = Annotated[str | None, Query(description="`next_cursor` of the page before, with the same filter.")]
Since = Annotated[str | None, Query(description="Received at or after this RFC 3339 time.")]
Until = Annotated[str | None, Query(description="Received before this RFC 3339 time.")]
Mask = Annotated[bool, Query(description="With `***` for what looks like a credential.")]


def exchange_of(request: Request) -> Exchange:
    return request.scope[SCOPE_KEY]


def json_answer(
    value: Mapping[str, object] | bytes, *, status: int = 200, headers: Mapping[str, str] | None = None
) -> Response:
    """JSON from a value, or from bytes that are JSON already."""
    body = value if isinstance(value, bytes) else encode_json(value)
    return Response(body, status, media_type=_JSON, headers=dict(headers or {}))


def page_answer(page: Page) -> Response:
    return json_answer(b'{"items":[%b],"next_cursor":%b}' % (b",".join(page.items), encode_json(page.next_cursor)))


def not_modified(request: Request, etag: str) -> bool:
    """Whether the reader already has this state (`If-None-Match`; compared weakly, as RFC 9110 says)."""
    tags = request.headers.get("if-none-match", "")
    return tags.strip() == "*" or etag in (tag.strip() for tag in tags.split(","))


def ref(schema: str) -> dict[str, Any]:
    """A resource in the OpenAPI document, by its name."""
    return {"$ref": COMPONENTS + schema}


def describe(schema: str | None, *problems: str, status: int = 200, media: str = _JSON) -> dict[int | str, Any]:
    """A route's answers for the OpenAPI document: the good one by schema, the others by problem name."""
    good: dict[str, Any] = {"description": "Done."}
    if schema:
        good["content"] = {media: {"schema": ref(schema)}}
    answers: dict[int | str, Any] = {status: good}
    for name in ("unauthorized", "not-found", *problems):
        kind = PROBLEM_TYPES[name]
        known = answers.setdefault(
            kind.status,
            {
                "description": "",
                "content": {PROBLEM_MEDIA_TYPE: {"schema": ref("Problem")}},
            },
        )
        known["description"] = f"{known['description']} `{name}`: {kind.title}.".strip()
    return answers


def describe_body(schema: str, *, required: bool) -> dict[str, Any]:
    """A route's request body for the OpenAPI document; the route itself reads the bytes."""
    content = {_JSON: {"schema": ref(schema)}}
    return {"requestBody": {"required": required, "content": content}}
