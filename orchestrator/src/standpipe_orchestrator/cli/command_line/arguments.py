"""Arguments that several verbs take, and what a shell may put in their place.

Knows no broker but to suggest ids and keys: a suggestion that cannot be had at once is none.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta

from standpipe_orchestrator.values.asset_key import AssetKey

Suggest = Callable[[str], Iterable[str] | dict[str, str]]
"""What may stand for a word that begins like this; as a mapping with what each is."""

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_AGO = re.compile(r"(\d{1,6})([smhdw])")
_SUGGESTED = 50
_ID = "the invocation's id, as `standpipe ls` lists it"


def add_id(parser: argparse.ArgumentParser, *, several: bool = False, help: str = _ID) -> None:
    if several:
        action = parser.add_argument("ids", metavar="ID", type=invocation_id, nargs="+", help=help)
    else:
        action = parser.add_argument("id", metavar="ID", type=invocation_id, help=help)
    suggest(action, invocation_ids)


def add_json(parser: argparse.ArgumentParser, help: str) -> None:
    parser.add_argument("--json", action="store_true", help=help)


def add_span(parser: argparse.ArgumentParser, what: str) -> None:
    times = "a time (2026-01-31, 2026-01-31T12:00), or so long ago (90m, 12h, 7d)"
    parser.add_argument("--since", metavar="TIME", type=moment, help=f"{what} at or after {times}")
    parser.add_argument("--until", metavar="TIME", type=moment, help=f"{what} before it")


def suggest(action: argparse.Action, suggestions: Suggest) -> None:
    """Lets a shell complete the argument; argcomplete looks for it under this name."""

    def completer(prefix: str, **_: object) -> Iterable[str] | dict[str, str]:
        return suggestions(prefix)

    vars(action)["completer"] = completer


def positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a number from 1 on, got {text!r}")
    return int(text)


def whole(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"expected a number from 0 on, got {text!r}")
    return int(text)


def seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 86_400:
        raise argparse.ArgumentTypeError(f"expected seconds, from 0 to 86400, got {text!r}")
    return value


def invocation_id(text: str) -> str:
    if not text:
        raise argparse.ArgumentTypeError("expected an invocation's id, as `standpipe ls` lists it, got an empty text")
    return text


def asset_key(text: str) -> AssetKey:
    if not text.strip("/"):
        raise argparse.ArgumentTypeError(f"expected an asset's key, as `standpipe assets` lists it, got {text!r}")
    return AssetKey.from_escaped_user_string(text)


def moment(text: str) -> str:
    """An RFC 3339 time in UTC for what a person types; without a zone it is this machine's."""
    ago = _AGO.fullmatch(text)
    try:
        if ago is not None:
            point = datetime.now(UTC) - timedelta(**{_UNITS[ago[2]]: int(ago[1])})
        else:
            point = datetime.fromisoformat(text).astimezone(UTC)
    except (ValueError, OverflowError):
        raise argparse.ArgumentTypeError(
            f"expected a time like 2026-01-31 or 2026-01-31T12:00:00Z, or so long ago like 90m, 12h or 7d, got {text!r}"
        ) from None
    return point.isoformat(timespec="microseconds").replace("+00:00", "Z")


def invocation_ids(prefix: str) -> dict[str, str]:
    """The latest invocations with ids that begin like this, each with its state, job and assets."""
    from standpipe_orchestrator.cli.command_line.answering import asset_keys, broker_at_hand, context_text, standing

    with broker_at_hand() as client:
        invocations = client.invocations.list(limit=_SUGGESTED).items
    return {
        invocation.id: " ".join(
            word
            for word in (standing(invocation), context_text(invocation, "job_name"), *asset_keys(invocation)[:3])
            if word
        )
        for invocation in invocations
        if invocation.id.startswith(prefix)
    }


def asset_key_texts(prefix: str) -> list[str]:
    """The keys of assets that begin like this."""
    from standpipe_orchestrator.cli.command_line.answering import broker_at_hand

    with broker_at_hand() as client:
        assets = client.assets.list(text=prefix or None, limit=500).items
    return [key for item in assets if (key := str(item.get("asset_key", ""))).startswith(prefix)]
