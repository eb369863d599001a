"""The OpenAPI document: FastAPI's of the control plane, and by hand the two calls it does not route."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from html import escape
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from standpipe_protocol.invocation import FIRST_SEQ_HEADER, NUMBERED_HEADER, PRODUCER_HEADER
from standpipe_server.api.entrance import EVENTS_ROUTE
from standpipe_server.api.http.answers import describe, ref
from standpipe_server.api.http.parameters import DEFAULT_EVENTS, LONGEST_WAIT, MOST_EVENTS
from standpipe_server.resources import schemas

_DESCRIPTION = (
    "Dagster-style Pipes over HTTP. Authenticate with `Authorization: Bearer` and the operator key, or, for the calls "
    "of an external process, with the invocation's token."
)


def describe_api(app: FastAPI) -> dict[str, Any]:
    """The document for the whole surface, made once."""
    if app.openapi_schema is None:
        app.openapi_schema = _document(app)
    return app.openapi_schema


def _document(app: FastAPI) -> dict[str, Any]:
    document = get_openapi(title=app.title, version=app.version, description=_DESCRIPTION, routes=app.routes)
    components = document.setdefault("components", {})
    components["schemas"] = schemas()
    components["securitySchemes"] = {"bearer": {"type": "http", "scheme": "bearer"}}
    document["security"] = [{"bearer": []}]
    document["paths"][EVENTS_ROUTE] = {"post": _append(), "get": _read()}
    # FastAPI describes its own answer to a wrong parameter; ours is a problem like all others.
    for operations in document["paths"].values():
        for operation in operations.values():
            answers = operation.get("responses", {})
            if "422" in answers and "HTTPValidationError" in str(answers["422"]):
                answers["422"] = _strings(describe(None, "invalid-request"))["422"]
    return document


def _append() -> dict[str, Any]:
    message = ref("Message")
    body = {"schema": {"anyOf": [message, {"type": "array", "items": message}]}}
    problems = (
        "malformed",
        "sequence-gap",
        "invocation-ended",
        "duplicate-materialization",
        "idempotency-conflict",
        "too-large",
        "unsupported-media-type",
        "invalid-message",
        "rate-limited",
        "overloaded",
    )
    answers = _strings(describe("AppendAnswer", *problems))
    answers["207"] = {**answers["200"], "description": "Stored; `results` names the messages that break a rule."}
    return {
        "tags": ["external process"],
        "summary": "Append Events",
        "operationId": "append_events",
        "description": "Appends one message (an object) or many (an array, or lines); what is answered 2xx is on disk.",
        "parameters": [
            _path_id(),
            _parameter("header", PRODUCER_HEADER, "string", "Who numbered the messages."),
            _parameter("header", FIRST_SEQ_HEADER, "integer", "The number of the first message."),
            _parameter("header", NUMBERED_HEADER, "integer", "How many messages the producer has numbered so far."),
            _parameter("header", "Idempotency-Key", "string", "Makes a retry without numbers safe."),
            _parameter("header", "Content-Encoding", "string", "gzip or zstd."),
        ],
        "requestBody": {"required": True, "content": {"application/json": body, "application/x-ndjson": {}}},
        "responses": answers,
    }


def _read() -> dict[str, Any]:
    answers = _strings(describe("EventPage", "malformed", "invalid-request", "overloaded"))
    answers["200"]["content"]["application/json"]["schema"] = {"anyOf": [ref("EventPage"), ref("EarlierEventPage")]}
    answers["200"]["description"] = "A page; or with another `Accept` the events as they come, until the end."
    answers["200"]["content"] |= {
        "text/event-stream": {"schema": {"type": "string"}},
        "application/x-ndjson": {"schema": ref("Event")},
    }
    return {
        "tags": ["orchestrator"],
        "summary": "Read Events",
        "operationId": "read_events",
        "description": "Events after a position. `Accept: text/event-stream` and `application/x-ndjson` stream them.",
        "parameters": [
            _path_id(),
            _parameter("query", "after", "integer", "The position after which to begin (default 0)."),
            _parameter("query", "limit", "integer", f"Events a page: {DEFAULT_EVENTS}, at most {MOST_EVENTS}."),
            _parameter("query", "method", "string", "Only these methods; repeated or with commas."),
            _parameter("query", "text", "string", "Only with this in the parameters' strings, in any case."),
            _parameter("query", "level", "string", "Only logs of these levels; repeated or with commas."),
            _parameter("query", "stream", "string", "Only output of `stdout` or `stderr`."),
            _parameter("query", "producer", "string", "Only of these producers; repeated or with commas."),
            _parameter("query", "before", "string", "Reads backwards: the last events before this position, or `end`."),
            _parameter("query", "mask", "boolean", "With `***` in what ends a stream, and in `metadata`."),
            _parameter("query", "metadata", "string", "`normal`: reports have `metadata` in normal form, too."),
            _parameter("query", "control", "boolean", "With `control`; a wait ends once the work is to stop."),
            _parameter("query", "wait", "number", f"Seconds to wait for an event, at most {LONGEST_WAIT:g}."),
            _parameter("header", "Last-Event-ID", "integer", "The position a reader that comes again has seen."),
        ],
        "responses": answers,
    }


def _path_id() -> dict[str, Any]:
    return {"name": "invocation_id", "in": "path", "required": True, "schema": {"type": "string"}}


def _parameter(place: str, name: str, kind: str, description: str) -> dict[str, Any]:
    return {"name": name, "in": place, "required": False, "schema": {"type": kind}, "description": description}


def _strings(answers: dict[int | str, Any]) -> dict[str, Any]:
    return {str(status): answer for status, answer in answers.items()}


_STYLE = (
    "body{font:15px/1.5 system-ui,sans-serif;max-width:62rem;margin:2rem auto;padding:0 1rem;color:#1b1f24}"
    "code,pre{font:13px/1.45 ui-monospace,monospace}pre{background:#f4f5f7;padding:.7rem;overflow:auto}"
    "section{border-top:1px solid #d8dce2;padding:.6rem 0}h3{margin:.3rem 0}table{border-collapse:collapse}"
    "td,th{text-align:left;padding:.15rem .9rem .15rem 0;vertical-align:top}"
    "b.m{display:inline-block;min-width:4.5rem}"
)
_STYLE_HASH = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
CONTENT_SECURITY_POLICY = f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; frame-ancestors 'none'"


def docs_page(document: Mapping[str, Any]) -> str:
    """The page for an OpenAPI document."""
    info = document["info"]
    calls = "".join(
        _call(method, path, operation)
        for path, operations in document["paths"].items()
        for method, operation in operations.items()
    )
    schemas = "".join(
        f"<section><h3 id='{escape(name)}'>{escape(name)}</h3>"
        f"<pre>{escape(json.dumps(schema, indent=2))}</pre></section>"
        for name, schema in sorted(document.get("components", {}).get("schemas", {}).items())
    )
    title = f"{escape(info['title'])} {escape(info['version'])}"
    return (
        f"<!doctype html><html lang='en'><head><meta charset='utf-8'><title>{title}</title>"
        f"<style>{_STYLE}</style></head><body><h1>{title}</h1><p>{escape(info.get('description', ''))}</p>"
        f"{calls}<h2>Shapes</h2>{schemas}</body></html>"
    )


def _call(method: str, path: str, operation: Mapping[str, Any]) -> str:
    parameters = "".join(
        f"<tr><td><code>{escape(p['name'])}</code></td><td>{escape(p['in'])}</td>"
        f"<td>{escape(p.get('description', ''))}</td></tr>"
        for p in operation.get("parameters", ())
    )
    answers = "".join(
        f"<tr><td><code>{escape(status)}</code></td><td>{escape(answer.get('description', ''))}</td>"
        f"<td>{_shapes(answer)}</td></tr>"
        for status, answer in operation.get("responses", {}).items()
    )
    body = _shapes(operation.get("requestBody", {}))
    return (
        f"<section><h3><b class='m'>{escape(method.upper())}</b> <code>{escape(path)}</code></h3>"
        f"<p>{escape(operation.get('description', operation.get('summary', '')))}</p>"
        + (f"<p>Body: {body}</p>" if body else "")
        + (f"<table>{parameters}</table>" if parameters else "")
        + f"<table>{answers}</table></section>"
    )


def _shapes(content_of: Mapping[str, Any]) -> str:
    shapes: list[str] = []
    for media, content in content_of.get("content", {}).items():
        name = str(content.get("schema", {}).get("$ref", "")).rpartition("/")[2]
        link = f" <a href='#{escape(name)}'>{escape(name)}</a>" if name else ""
        shapes.append(f"<code>{escape(media)}</code>{link}")
    return ", ".join(shapes)
