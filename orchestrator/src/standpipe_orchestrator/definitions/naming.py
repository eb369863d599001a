"""The names that outputs and steps have after their keys, as Dagster makes them.

A name is for people and for `output_name`; it is never what keys are compared by. Two keys may have one identifier
(`daily-orders` and `daily_orders`), and where they do, the text of the key is the name instead.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from standpipe_orchestrator.definitions.specs import AssetCheckKey
from standpipe_orchestrator.definitions.steps import StepDefinition
from standpipe_orchestrator.values.asset_key import AssetKey


def keys_named(output_name: str, keys: Iterable[AssetKey]) -> tuple[AssetKey, ...]:
    """The keys that an `output_name` fits, by their identifier or by their text."""
    return tuple(key for key in keys if output_name in (key.to_python_identifier(), key.to_escaped_user_string()))


def output_names(
    keys: Sequence[AssetKey], checks: Sequence[AssetCheckKey] = ()
) -> Mapping[AssetKey | AssetCheckKey, str]:
    """A name for each output of a step, different from those of the others."""
    identifiers: dict[AssetKey | AssetCheckKey, str] = {key: key.to_python_identifier() for key in keys}
    identifiers |= {check: check.asset_key.to_python_identifier(check.name) for check in checks}
    count = Counter(identifiers.values())
    return {key: name if count[name] == 1 else _text_of(key) for key, name in identifiers.items()}


def with_distinct_names(steps: Sequence[StepDefinition]) -> tuple[StepDefinition, ...]:
    """The steps; those that are named after their keys, and share that name with another step, by the keys' texts."""
    count = Counter(step.name for step in steps)
    return tuple(
        replace(step, name=_text_of(step.check_specs[0].key if not step.specs else step.specs[0].key))
        if step.named_after_key and count[step.name] > 1
        else step
        for step in steps
    )


def _text_of(key: AssetKey | AssetCheckKey) -> str:
    if isinstance(key, AssetKey):
        return key.to_escaped_user_string()
    return f"{key.name} on {key.asset_key.to_escaped_user_string()}"
