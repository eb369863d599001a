"""How a module's public interface is written down: signatures and docstrings of what stands in its `__all__`.

Reads what is declared and runs nothing. The one invariant: the same code gives the same text on every Python version.
"""

from __future__ import annotations

import enum
import inspect
import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import fields, is_dataclass
from types import ModuleType
from typing import Any

_SECTION = re.compile(r"(Args|Raises|Attributes|Returns):")
_ENTRY = re.compile(r"(?P<name>[A-Za-z_][\w., ]*): (?P<words>.+)")
_WIDTH = 100
_PARTS = ("ContextProperties", "ResultGetters")
"""Classes that are documented as a part of their subclass."""
_GROUPS = ("Operations", "InvocationReading", "LaunchReports")
"""Ends of the names of classes that are documented as a part of the class that has an attribute of them."""


def interface(module: ModuleType) -> list[str]:
    """What a module offers: functions, then classes, then errors, each by name."""
    names: list[str] = list(module.__all__)
    groups: dict[str, list[str]] = {"Functions": [], "Classes": [], "Errors": []}
    for name in sorted(names, key=str.lower):
        value: object = getattr(module, name)
        if inspect.isclass(value):
            groups["Errors" if issubclass(value, BaseException) else "Classes"] += _class(name, value)
        elif inspect.isfunction(value):
            groups["Functions"] += _function(name, value, level=3)
    lines: list[str] = []
    for title, entries in groups.items():
        if entries:
            lines += ["", f"## {title}", *entries]
    return lines


def _class(name: str, kind: type) -> list[str]:
    lines = ["", f"### {name}", ""]
    if name != kind.__name__:
        return [*lines, f"Another name of `{kind.__name__}`."]
    words = _own_words(kind)
    signature = "" if issubclass(kind, (enum.Enum, BaseException)) else _signature(kind)
    if signature and "Made by" not in words:
        lines += ["```python", _wrapped(f"{name}{signature.removesuffix(' -> None')}"), "```", ""]
    names = [base.__name__ for base in kind.__bases__ if base is not object and base.__name__ not in _PARTS]
    bases = [base for base in names if not base.startswith("_")]
    if bases:
        lines += [f"Extends {', '.join(f'`{base}`' for base in bases)}.", ""]
    lines += [*_markdown(words), ""]
    if issubclass(kind, enum.Enum):
        lines += ["Members: " + ", ".join(f"`{member.name}`" for member in kind), ""]
    if is_dataclass(kind):
        shown = ", ".join(f"`{field.name}`" for field in fields(kind) if not field.name.startswith("_"))
        lines += [f"Fields: {shown}", ""]
    properties, methods = _members(name, kind)
    for attribute, group in _groups(kind):
        of_group, operations = _members(f"{name}.{attribute}", group)
        properties += [row.replace("| `", f"| `{attribute}.", 1) for row in of_group]
        methods += operations
    if properties:
        lines += ["| property | |", "|---|---|", *properties]
    return [*lines, *methods]


def _groups(kind: type) -> Iterator[tuple[str, type]]:
    """Attributes that hold no value but group calls: those declared with a class of `_GROUPS`."""
    for attribute, hint in inspect.get_annotations(kind).items():
        if str(hint).endswith(_GROUPS):
            yield attribute, vars(sys.modules[kind.__module__])[hint]


def _members(name: str, kind: type) -> tuple[list[str], list[str]]:
    """The rows of a class's public properties, and the sections of its public methods."""
    properties: list[str] = []
    methods: list[str] = []
    parts = [base for base in kind.__bases__ if base.__name__ in _PARTS]
    for member, value in sorted({name: value for one in (*parts, kind) for name, value in vars(one).items()}.items()):
        if member.startswith("_"):
            continue
        if isinstance(value, property):
            properties.append(f"| `{member}` | {_first_paragraph(inspect.getdoc(value) or '')} |")
        elif isinstance(value, (staticmethod, classmethod)):
            methods += _function(f"{name}.{member}", value.__func__, level=4)
        elif inspect.isfunction(value):
            methods += _function(f"{name}.{member}", value, level=4)
    return properties, methods


def _function(name: str, function: Callable[..., object], *, level: int) -> list[str]:
    own = function.__name__
    if level == 3 and own != name:
        return ["", f"### {name}", "", f"Another name of `{own}`."]
    lines = ["", f"{'#' * level} {name}", "", "```python", _wrapped(f"{name}{_signature(function)}"), "```", ""]
    if hasattr(function, "__wrapped__") and "-> Generator[" in lines[4]:
        lines += ["A context manager.", ""]
    return [*lines, *_markdown(inspect.getdoc(function) or "")]


def _own_words(kind: type) -> str:
    """The class's own docstring: a base's would be said of the wrong thing, a dataclass's default is its signature."""
    words = inspect.cleandoc(kind.__doc__ or "") if "__doc__" in vars(kind) else ""
    return "" if words.startswith(f"{kind.__name__}(") else words


def _markdown(words: str) -> list[str]:
    """A docstring with its sections (Args, Raises) as lists."""
    lines: list[str] = []
    in_section = False
    for line in words.splitlines():
        if _SECTION.fullmatch(line.strip()):
            lines += ["", f"**{line.strip().rstrip(':')}**", ""]
            in_section = True
        elif in_section and (entry := _ENTRY.fullmatch(line.strip())) and len(line) - len(line.lstrip()) <= 4:
            lines.append(f"- `{entry['name']}`: {entry['words']}")
        elif in_section and line.strip():
            lines.append(f"  {line.strip()}")
        else:
            in_section = in_section and not line.strip()
            lines.append(line)
    return lines


def _signature(function: Callable[..., Any]) -> str:
    try:
        signature = inspect.signature(function)
    except (ValueError, TypeError):
        return ""
    parameters = [p for p in signature.parameters.values() if p.name not in ("self", "cls", "mcs")]
    text = re.sub(r"<factory>|<(?:[^<>]|<[^<>]*>)* at 0x\w+>", "...", str(signature.replace(parameters=parameters)))
    # Annotations are texts, so they come with quotes.
    return re.sub(r"""(?<=: )(["'])(.*?)\1(?=[,)]| =)|(?<=-> )(["'])(.*?)\3$""", _unquoted, text)


def _unquoted(found: re.Match[str]) -> str:
    return found.group(2) or found.group(4) or ""


def _wrapped(text: str) -> str:
    """A signature, one parameter a line when it is long."""
    if len(text) <= _WIDTH:
        return text
    head, _, rest = text.partition("(")
    inside, _, tail = rest.rpartition(") ->")
    if not inside:
        inside, tail = rest.removesuffix(")"), ""
    parts: list[str] = []
    depth = start = 0
    for place, character in enumerate(inside):
        depth += (character in "([{") - (character in ")]}")
        if character == "," and depth == 0:
            parts.append(inside[start:place].strip())
            start = place + 1
    parts.append(inside[start:].strip())
    lines = [f"    {part}," for part in parts]
    return "\n".join([f"{head}(", *lines, f") ->{tail}" if tail else ")"])


def _first_paragraph(text: str) -> str:
    return " ".join(text.partition("\n\n")[0].split()).replace("|", "\\|")
