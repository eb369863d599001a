"""Writes the documents that are made from code, or says which of them are stale.

A document is a path under docs/reference and its text. To add one, add a function to `DOCUMENTS` that yields it.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

from standpipe_protocol.limits import Limits
from standpipe_protocol.problems import PROBLEM_TYPES
from standpipe_protocol.schema import schema_documents

REFERENCE = Path(__file__).resolve().parents[1] / "docs" / "reference"
_NOTE = "<!-- Made by scripts/generate from the code; do not edit. -->"


def schemas() -> Iterator[tuple[str, str]]:
    for name, schema in schema_documents().items():
        yield f"schema/{name}.schema.json", json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


def problems() -> Iterator[tuple[str, str]]:
    rows = [
        f"| `{kind.name}` | {kind.status} | {kind.title} | {', '.join(f'`{name}`' for name in kind.members)} |"
        for kind in sorted(PROBLEM_TYPES.values(), key=lambda kind: (kind.status, kind.name))
    ]
    lines = [
        _NOTE,
        "# Problem types",
        "",
        "Every error of the HTTP surface is `application/problem+json` (RFC 9457) with `type` = `/problems/<name>`,",
        "`title`, `status`, `detail`, and the members named here.",
        "",
        "| name | status | title | members |",
        "|---|---|---|---|",
        *rows,
    ]
    yield "problems.md", "\n".join(lines) + "\n"


def limits() -> Iterator[tuple[str, str]]:
    described = schema_documents()["limits"]["properties"]
    rows: list[str] = []
    for entry in fields(Limits):
        words = described.get(entry.name) if isinstance(described, dict) else None
        text = words.get("description", "") if isinstance(words, dict) else ""
        rows.append(f"| `{entry.name}` | {entry.default:,} | {text} |")
    lines = [
        _NOTE,
        "# Limits",
        "",
        "The defaults. A server publishes its own at `GET /api/v1/limits` and with each context; the SDK obeys them.",
        "Sizes are in bytes.",
        "",
        "| name | default | what it limits |",
        "|---|---|---|",
        *rows,
    ]
    yield "limits.md", "\n".join(lines) + "\n"


DOCUMENTS = (schemas, problems, limits)


def main(arguments: list[str]) -> int:
    if arguments not in ([], ["--check"]):
        print("Usage: scripts/generate [--check]", file=sys.stderr)
        return 2
    stale: list[str] = []
    for make in DOCUMENTS:
        for name, text in make():
            path = REFERENCE / name
            if path.exists() and path.read_text(encoding="utf-8") == text:
                continue
            stale.append(name)
            if not arguments:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text, encoding="utf-8")
    if not stale:
        print("All generated documents are current.")
    for name in stale:
        print(f"docs/reference/{name} {'is stale: run scripts/generate.' if arguments else 'was written.'}")
    return 1 if stale and arguments else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
