"""The OpenAPI document as one HTML page of our own: no scripts, nothing loaded from anywhere."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from html import escape
from typing import Any

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
