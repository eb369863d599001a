"""Reference pages that are made from the code: messages, metadata types, environment, the two Python interfaces.

Called by scripts/generate, which writes them. The one invariant: what a page says of a name comes from that name's
declaration; what cannot be read from code (what a variable is for) is told here, and a name without it is an error.
"""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from message_schemas import schema_documents
from python_interface import interface

from standpipe_protocol.json_text import JsonValue
from standpipe_protocol.messages import MESSAGE_CLASSES, PIPES_VERSION_FIELD, message_to_wire
from standpipe_protocol.metadata import METADATA_TYPES, normalise_entry
from standpipe_protocol.process_end import Cause

ROOT = Path(__file__).resolve().parents[1]
SOURCES = ("client_sdk/src", "server/src", "orchestrator/src")
NOTE = "<!-- Made by scripts/generate from the code; do not edit. -->"
Page = Iterator[tuple[str, str]]


def index() -> Page:
    yield from _page(
        "README.md",
        [
            "# Reference",
            "",
            "Made from the code by `scripts/generate`; `scripts/lint` and the tests say when a page is stale.",
            "",
            "- [Commands](commands.md) and their arguments; [environment variables](environment.md)",
            "- [Messages](messages.md), [metadata types](metadata-types.md), [problem types](problems.md),",
            "  [limits](limits.md)",
            "- [The SDK](python-sdk.md): `import standpipe`, and `standpipe.testing`",
            "- [The orchestration package](python-orchestrator.md): `import standpipe_orchestrator`, and its",
            "  `launchers` and `testing`",
            "- [JSON Schema](schema) of the vocabulary, [OpenAPI](openapi.json) of the server",
            *(["- [Performance](performance.md), as `scripts/bench` printed it"] if _exists("performance.md") else []),
            "",
            "What they mean together is in [the protocol](../protocol.md).",
        ],
    )


def messages() -> Page:
    lines = [
        "# Messages",
        "",
        "From `standpipe_protocol.messages`; as JSON Schema in [schema](schema/message.schema.json). Parameters that",
        "are not named here are kept. [The protocol](../protocol.md#6-messages) says what is accepted.",
    ]
    document = schema_documents()["message"]
    described = {str(kind["title"]): kind for kind in _objects(document["oneOf"])}
    for kind in MESSAGE_CLASSES:
        schema = described[kind.method]
        params = _object(_object(schema["properties"])["params"])
        params = _objects(params["anyOf"])[0] if "anyOf" in params else params
        required = [str(name) for name in _list(params.get("required", []))]
        lines += ["", f"## {kind.method}", "", inspect.cleandoc(kind.__doc__ or ""), ""]
        properties = _object(params.get("properties", {}))
        if properties:
            lines += ["| parameter | required | JSON | |", "|---|---|---|---|"]
        for name, about in properties.items():
            words = _one_line(str(_object(about).get("description", "")))
            told = "yes" if name in required else ""
            lines.append(f"| `{name}` | {told} | {_json_type(_object(about))} | {words} |")
        lines += ["", "```json", json.dumps(_example(kind.method), indent=2), "```"]
    lines += [
        "",
        "## Beside method and params",
        "",
        "| member | on | |",
        "|---|---|---|",
        "| `sent_at` | any | when it was sent, RFC 3339 in UTC |",
        "| `details` | `log` | logger, thread, time, exception and fields of the record |",
        "| `ledger` | `closed` | what the producer counted; better in the params |",
        f"| `{PIPES_VERSION_FIELD}` | any | upstream's marker: accepted, never required |",
    ]
    yield from _page("messages.md", lines)


_EXAMPLES: Mapping[str, Mapping[str, Any]] = {
    "opened": {"extras": {"host": "worker-7"}},
    "closed": {},
    "log": {"message": "half way", "level": "INFO"},
    "log_external_stream": {"stream": "stdout", "text": "a line\n"},
    "report_asset_materialization": {
        "asset_key": "raw/orders",
        "data_version": "2026-01",
        "metadata": {"rows": {"type": "int", "raw_value": 3}},
    },
    "report_asset_check": {"asset_key": "raw/orders", "check_name": "not_empty", "passed": True, "severity": "WARN"},
    "report_asset_observation": {
        "asset_key": "raw/orders",
        "data_version": "2026-01",
        "metadata": {"rows": {"type": "int", "raw_value": 3}},
        "partition": "2026-01-31",
        "tags": {"source": "warehouse"},
    },
    "report_custom_message": {"payload": {"any": "JSON"}},
    "report_process_end": {
        "outcome": "failed",
        "exit_code": 137,
        "cause": Cause(code="out-of-memory", detail="OOMKilled", signal="SIGKILL", peak_memory_bytes=536_870_912),
    },
}


def _example(method: str) -> Mapping[str, JsonValue]:
    kind = next(kind for kind in MESSAGE_CLASSES if kind.method == method)
    return message_to_wire(kind(**_EXAMPLES[method]))


_RAW_EXAMPLES: Mapping[str, Sequence[JsonValue]] = {
    "text": ["as it is", None],
    "url": ["https://example.com"],
    "path": ["/data/orders.parquet", None],
    "notebook": ["/notebooks/orders.ipynb"],
    "json": [{"any": ["JSON"]}, "a string", 7],
    "md": ["**bold**", None],
    "float": [0.25, 1, "NaN", "0.25"],
    "int": [3, 3.0],
    "bool": [True, 1],
    "dagster_run": ["0192-…"],
    "asset": ["pre/orders", ["pre", "orders"]],
    "null": [None],
    "table": [{"records": [{"id": 1}], "schema": [{"name": "id", "type": "int", "constraints": {"min": 0}}]}],
    "table_schema": [
        {"columns": [{"name": "id", "type": "int", "constraints": {"nullable": False, "unique": True}}]},
        [{"name": "id"}],
    ],
    "table_column_lineage": [
        {"deps_by_column": {"id": [{"asset_key": "pre/orders", "column_name": "order_id"}]}},
        {"table_column_lineage": {"id": [{"asset_key": ["pre", "orders"], "column": "order_id"}]}},
    ],
    "timestamp": [1769860800, "2026-01-31"],
    "__infer__": ["text", 3, 0.25, True, None, {"any": ["JSON"]}],
}


def metadata_types() -> Page:
    lines = [
        "# Metadata types",
        "",
        'An entry is `{"type": …, "raw_value": …}`, or a plain value, which means `__infer__`. On the left what is',
        "sent, on the right what comes out of the lists by asset and of orchestration code, computed by",
        "`standpipe_protocol.metadata.normalise_entry`. A value that does not fit is kept as JSON with a `problem`;",
        "its siblings are untouched. The normal form as JSON Schema is in [schema](schema/metadata.schema.json).",
    ]
    if missing := METADATA_TYPES - _RAW_EXAMPLES.keys():
        raise LookupError(f"There is no example for the metadata types {sorted(missing)}; add it to _RAW_EXAMPLES.")
    for kind, raw_values in _RAW_EXAMPLES.items():
        lines += ["", f"## {kind}", "", "| raw_value | comes out as |", "|---|---|"]
        for raw in raw_values:
            entry = normalise_entry({"type": kind, "raw_value": raw})
            problem = f"; problem: {entry.problem}" if entry.problem else ""
            lines.append(f"| {_code(raw)} | `{entry.type}` {_code(entry.raw_value)}{problem} |")
    yield from _page("metadata-types.md", lines)


# For whom, and what it says.
_VARIABLES: Mapping[str, tuple[str, str]] = {
    "STANDPIPE_URL": ("process, orchestrator, terminal", "the server: origin and base path, without `/api/v1`"),
    "STANDPIPE_INVOCATION": (
        "process",
        "the invocation's id; without it the process was not launched by an orchestrator",
    ),
    "STANDPIPE_TOKEN": ("process", "the invocation's token; a secret"),
    "STANDPIPE_TOKEN_FILE": (
        "process",
        "a file that holds the token, where the variable does not; read again when the server refuses the token",
    ),
    "STANDPIPE_API_KEY": ("orchestrator, terminal, server", "the operator key; for a server the one it is to have"),
    "STANDPIPE_API_KEY_FILE": ("server", "a file that holds the operator key, instead of the variable"),
    "STANDPIPE_HOME": (
        "all",
        "the data folder, with any name; a relative one is below the folder in which the process starts; by default "
        "the platform's user data folder",
    ),
    "STANDPIPE_DATABASE": (
        "server",
        "`sqlite:///FILE` or `postgresql://…`, in which `%`, `?` and `@` of names and passwords are written as `%25`, "
        "`%3F` and `%40`; by default a file in the home",
    ),
    "STANDPIPE_HOST": ("server", "the address to listen on; 127.0.0.1"),
    "STANDPIPE_PORT": (
        "server",
        "the port to listen on; 8787, 0 for any free one; `tcp://…`, which Kubernetes sets for a Service called "
        "`standpipe`, counts for nothing",
    ),
    "STANDPIPE_PUBLIC_URL": ("server", "the address under which others reach it"),
    "STANDPIPE_ALLOWED_HOSTS": ("server", "further host names that requests may carry, with commas or spaces"),
    "STANDPIPE_MIGRATE": ("server", "`auto`, `check` or `off`"),
    "STANDPIPE_SYNCHRONOUS": (
        "server",
        "SQLite: `FULL` (on disk when acknowledged) or `NORMAL` (not after a power cut)",
    ),
    "STANDPIPE_REQUESTS_PER_SECOND": ("server", "requests of one invocation's processes, on average; 1000, 0 for any"),
    "STANDPIPE_OPEN_TIMEOUT": ("process", "seconds that the first use of the context waits for it; 60"),
    "STANDPIPE_CLOSE_TIMEOUT": (
        "process",
        "seconds that closing, and a report of a strict context, waits for the server; 30",
    ),
    "STANDPIPE_SPOOL": (
        "process",
        "`first`: each report is on disk before it returns; `later`: when memory is full or the server away; `later`",
    ),
    "STANDPIPE_SPOOL_FOLDER": (
        "process",
        "set by a launcher: where it delivers from what the process leaves; by default `spool` in the home",
    ),
    "STANDPIPE_SPOOL_BYTES": ("process", "how large one spool file may grow; 1 GiB"),
    "STANDPIPE_ATTEMPT": (
        "process",
        "set by a launcher: which run of the work this is, whole numbers with dots between them (`2`, `1.2`)",
    ),
    "STANDPIPE_ATTEMPT_NAME": ("process", "set by a launcher: a name of this run that has no order, a pod's uid"),
    "STANDPIPE_PARENT": ("process", "set by a process that opens, for those that it starts: whose children they are"),
    "STANDPIPE_CA_FILE": ("process, orchestrator, terminal", "certificates to trust besides the usual ones"),
    "STANDPIPE_EXTRAS": ("process", "outside an orchestrator: the extras of the null context, a JSON object"),
}


def environment() -> Page:
    used = set(_variables_in_code())
    if used != _VARIABLES.keys():
        raise LookupError(
            f"The variables in the code and those of _VARIABLES differ: {sorted(used ^ _VARIABLES.keys())}."
        )
    rows = [f"| `{name}` | {whom} | {words} |" for name, (whom, words) in _VARIABLES.items()]
    yield from _page(
        "environment.md",
        [
            "# Environment variables",
            "",
            "*process*: external code. *orchestrator*: code that launches it. *terminal*: `standpipe ls` and its like.",
            "",
            "| variable | for | |",
            "|---|---|---|",
            *rows,
            "",
            "The SDK and the orchestration package obey `HTTP_PROXY`, `HTTPS_PROXY`, `ALL_PROXY` and `NO_PROXY`, but",
            "never for a server on loopback, and `SSL_CERT_FILE` and `SSL_CERT_DIR`.",
            "",
            "Space around a value, such as the end of the line in a file that a secret was made from, is no part of it",
            "(except in `STANDPIPE_HOME`). A token or key with space, control characters or other than ASCII inside is",
            "refused without being shown, and so is an address with a user name or password in it.",
        ],
    )


def _variables_in_code() -> Iterator[str]:
    for source in SOURCES:
        for path in (ROOT / source).rglob("*.py"):
            yield from re.findall(r'"(STANDPIPE_[A-Z_]+)"', path.read_text(encoding="utf-8"))


def python_sdk() -> Page:
    import standpipe
    import standpipe.testing

    lines = ["# The SDK", "", "`import standpipe`. Python 3.10 and later.", *interface(standpipe)]
    lines += ["", "# standpipe.testing", "", *interface(standpipe.testing)]
    yield from _page("python-sdk.md", lines)


def python_orchestrator() -> Page:
    import standpipe_orchestrator
    from standpipe_orchestrator import launchers, testing

    lines = ["# The orchestration package", "", "`import standpipe_orchestrator`. Python 3.11 and later."]
    lines += interface(standpipe_orchestrator)
    for package in (launchers, testing):
        lines += ["", f"# {package.__name__}", "", *interface(package)]
    yield from _page("python-orchestrator.md", lines)


DOCUMENTS: Sequence[Callable[[], Page]] = (
    index,
    messages,
    metadata_types,
    environment,
    python_sdk,
    python_orchestrator,
)


def _json_type(schema: Mapping[str, JsonValue]) -> str:
    if "enum" in schema:
        return ", ".join(f"`{json.dumps(value)}`" for value in _list(schema["enum"]))
    if "examples" in schema:
        return ", ".join(f"`{value}`" for value in _list(schema["examples"])) + ", in any case"
    kind = schema.get("type")
    if isinstance(kind, list):
        return " or ".join(str(each) for each in kind)
    if kind is not None:
        return str(kind)
    if "anyOf" in schema:
        return "an exception, or null" if "$ref" in json.dumps(schema) else "see the schema"
    return "an exception" if "$ref" in schema else "any"


def _one_line(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def _code(value: JsonValue) -> str:
    return f"`{json.dumps(value, ensure_ascii=False)}`".replace("|", "\\|")


def _object(value: JsonValue) -> Mapping[str, JsonValue]:
    if not isinstance(value, dict):
        raise TypeError(f"Expected an object in the schema, got {value!r}.")
    return value


def _list(value: JsonValue) -> Sequence[JsonValue]:
    if not isinstance(value, list):
        raise TypeError(f"Expected a list in the schema, got {value!r}.")
    return value


def _objects(value: JsonValue) -> list[Mapping[str, JsonValue]]:
    return [_object(item) for item in _list(value)]


def _exists(name: str) -> bool:
    return (ROOT / "docs" / "reference" / name).exists()


def _page(name: str, lines: Sequence[str]) -> Page:
    text = "\n".join([NOTE, *lines])
    yield name, re.sub(r"\n{3,}", "\n\n", text).strip() + "\n"
