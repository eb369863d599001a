"""What an invocation is expected to report, against what it has reported so far. Pure; the verdict asks the same."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from standpipe_protocol.invocation import Expected, ExpectedCheck
from standpipe_protocol.json_text import JsonValue
from standpipe_server.broker.values.state import ProducerState

_CUSTOM = "report_custom_message"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reported:
    """What was accepted, as far as the invocation's `expected` needs it."""

    materialized: frozenset[str] = frozenset()
    checked: frozenset[tuple[str, str]] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """What of the expected has come and what is missing, each in the order of the registration."""

    asset_keys: tuple[str, ...]
    missing_asset_keys: tuple[str, ...]
    checks: tuple[ExpectedCheck, ...]
    missing_checks: tuple[ExpectedCheck, ...]
    custom_messages: int
    """Reported and accepted."""
    expected_custom_messages: int

    @property
    def complete(self) -> bool:
        return not (
            self.missing_asset_keys or self.missing_checks or self.custom_messages < self.expected_custom_messages
        )

    def to_wire(self) -> dict[str, JsonValue]:
        return {
            "complete": self.complete,
            "asset_keys": {"reported": list(self.asset_keys), "missing": list(self.missing_asset_keys)},
            "checks": {"reported": _checks(self.checks), "missing": _checks(self.missing_checks)},
            "custom_messages": {"reported": self.custom_messages, "expected": self.expected_custom_messages},
        }


def expected_assets(expected: Expected) -> set[str]:
    """The assets of which reports have to be looked up."""
    return {*expected.asset_keys, *(check.asset_key for check in expected.checks)}


def progress_of(expected: Expected, reported: Reported, producers: Sequence[ProducerState]) -> Progress:
    def came(check: ExpectedCheck) -> bool:
        return (check.asset_key, check.check_name) in reported.checked

    return Progress(
        asset_keys=tuple(key for key in expected.asset_keys if key in reported.materialized),
        missing_asset_keys=tuple(key for key in expected.asset_keys if key not in reported.materialized),
        checks=tuple(check for check in expected.checks if came(check)),
        missing_checks=tuple(check for check in expected.checks if not came(check)),
        custom_messages=sum(
            p.counts.get(_CUSTOM, 0) - p.rejected_counts.get(_CUSTOM, 0) for p in producers if not p.superseded
        ),
        expected_custom_messages=expected.custom_messages or 0,
    )


def _checks(checks: Sequence[ExpectedCheck]) -> list[JsonValue]:
    return [{"asset_key": check.asset_key, "check_name": check.check_name} for check in checks]
