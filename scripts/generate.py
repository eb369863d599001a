"""Writes the documents that are made from code, or says which of them are stale.

A document is a path from docs/reference and its text. To add one, add a function to `DOCUMENTS` that yields it, here
or (for pages about the code itself) in docs/generate_reference.py.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Iterator
from dataclasses import fields
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, cast

from standpipe.cli import GROUP, Command
from standpipe_protocol.limits import Limits
from standpipe_protocol.problems import PROBLEM_TYPES

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "docs"))
import generate_reference  # noqa: E402
from message_schemas import DIALECT, ID, schema_documents  # noqa: E402

REFERENCE = ROOT / "docs" / "reference"
_NOTE = "<!-- Made by scripts/generate from the code; do not edit. -->"


_ANSWERS = {"event": "A stored event", "invocation": "An invocation", "problem": "An error of the HTTP surface"}


def schemas() -> Iterator[tuple[str, str]]:
    from standpipe_server import resources

    for name, schema in schema_documents().items():
        yield f"schema/{name}.schema.json", json.dumps(schema, indent=2, ensure_ascii=False) + "\n"
    yield "schema/metadata.schema.json", json.dumps(_metadata_schema(), indent=2, ensure_ascii=False) + "\n"
    for name, title in _ANSWERS.items():
        text = json.dumps(_answer_schema(name, title, resources.schemas()), indent=2, ensure_ascii=False)
        yield f"schema/{name}.schema.json", text.replace(resources.COMPONENTS, "#/$defs/") + "\n"


def _metadata_schema() -> dict[str, Any]:
    import msgspec

    from standpipe_server.resources.reports import METADATA_VALUES

    values, shapes = msgspec.json.schema_components(METADATA_VALUES.values(), ref_template="#/$defs/{name}")
    kinds = [
        {"title": kind, "properties": {"type": {"const": kind}, "raw_value": value}}
        for kind, value in zip(METADATA_VALUES, values, strict=True)
    ]
    return {
        "$schema": DIALECT,
        "$id": ID + "metadata",
        "title": "One metadata entry in normal form",
        "description": "What comes out of history. What may be sent is wider: docs/protocol.md lists the shapes.",
        "type": "object",
        "required": ["type", "raw_value"],
        "properties": {
            "type": {"enum": [*METADATA_VALUES]},
            "problem": {"type": "string", "description": "Why the entry was kept as JSON and not as what it said."},
        },
        "oneOf": kinds,
        "$defs": shapes,
    }


def _answer_schema(name: str, title: str, components: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """A resource as a document of its own, with what it refers to."""
    whole, found, waiting = components[name.capitalize()], dict[str, Any](), [name.capitalize()]
    while waiting:
        for other in re.findall(r'"#/components/schemas/(\w+)"', json.dumps(components[waiting.pop()])):
            if other not in found:
                found[other] = components[other]
                waiting.append(other)
    return {"$schema": DIALECT, "$id": ID + name, "title": title, **whole, "$defs": dict(sorted(found.items()))}


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
        rows.append(_item(f"`{entry.name}`: {entry.default:,}. {text}"))
    lines = [
        _NOTE,
        "# Limits",
        "",
        "The defaults. A server publishes its own at `GET /api/v1/limits` and with each context; the SDK obeys them.",
        "Sizes are in bytes.",
        "",
        *rows,
    ]
    yield "limits.md", "\n".join(lines) + "\n"


def openapi() -> Iterator[tuple[str, str]]:
    # Imported here: the other documents need no server.
    from standpipe_protocol.home import Credentials
    from standpipe_server.app import create_control_plane
    from standpipe_server.settings import Settings
    from standpipe_server.wiring import open_wiring

    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(home=Path(folder), database_url=f"sqlite:///{folder}/standpipe.db")
        with open_wiring(settings, Credentials(url="", api_key="unused", identity="unused")) as wiring:
            document = create_control_plane(wiring.api).openapi()
    yield "openapi.json", json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def page_types() -> Iterator[tuple[str, str]]:
    """The types of the pages, by the ready-made program that server/pages/package.json names."""
    from standpipe_server import resources

    command = [sys.executable, str(ROOT / "server" / "build_pages.py"), "types"]
    schemas = json.dumps(resources.schemas())
    text = subprocess.run(command, input=schemas, stdout=subprocess.PIPE, text=True, check=True).stdout
    yield "../../server/pages/src/lib/resources.ts", text


def commands() -> Iterator[tuple[str, str]]:
    lines = [
        _NOTE,
        "# Commands",
        "",
        "`standpipe VERB`; each installed distribution adds its verbs. `standpipe VERB --help` says the same.",
    ]
    for entry in sorted(entry_points(group=GROUP), key=lambda entry: entry.name):
        command = cast("Command", entry.load())
        parser = argparse.ArgumentParser(prog=f"standpipe {entry.name}", add_help=False)
        command.configure(parser)
        home = entry.dist.name if entry.dist else "?"
        lines += ["", f"## standpipe {entry.name}", "", f"{_sentence(command.help)} Comes with `{home}`.", ""]
        # argparse words its help differently from one Python to the next, so the list is made from its parts.
        arguments = [action for action in parser._actions if action.help != argparse.SUPPRESS]  # pyright: ignore[reportPrivateUsage]  there is no public list
        lines += map(_argument_item, arguments)
    yield "commands.md", "\n".join(lines) + "\n"


def _argument_item(action: argparse.Action) -> str:
    shown = action.metavar or action.dest.upper()
    if action.choices is not None:
        shown = "{" + ",".join(str(choice) for choice in action.choices) + "}"
    words = shown if isinstance(shown, str) else " ".join(shown)
    value = "" if action.nargs == 0 else f" {words}"
    name = ", ".join(f"`{option}{value}`" for option in action.option_strings) or f"`{words}`"
    text = (action.help or "").replace("%%", "%").replace("%(default)s", str(action.default))
    return _item(f"{name}: {text}")


def _item(text: str) -> str:
    return "\n".join(textwrap.wrap(text, 118, initial_indent="- ", subsequent_indent="  ", break_long_words=False))


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:].rstrip(".") + "."


def reference_pages() -> Iterator[tuple[str, str]]:
    for make in generate_reference.DOCUMENTS:
        yield from make()


DOCUMENTS = (schemas, problems, limits, openapi, page_types, commands, reference_pages)


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
        shown = (REFERENCE / name).resolve().relative_to(ROOT)
        print(f"{shown} {'is stale: run scripts/generate.' if arguments else 'was written.'}")
    return 1 if stale and arguments else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
