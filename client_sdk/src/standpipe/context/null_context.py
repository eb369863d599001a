"""Outside an orchestrator: a real context with the same types and rules that logs what it would have sent.

Its extras come from `STANDPIPE_EXTRAS` (a JSON object), so that a script can be tried out by itself. It is never truthy
where the real one would not be: an undefined extra raises, there is no partition and no asset in scope. One rule gives
way: an asset key that was left out is taken as the step's own, because inside the orchestrator there may be one.
"""

from __future__ import annotations

import json
import logging
import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar, cast

from standpipe.context import open_contexts
from standpipe.context.pipes_context import PipesContext
from standpipe.delivery_report import DeliveryReport
from standpipe.errors import DagsterPipesWarning, PipesConfigurationError
from standpipe_protocol.bootstrap import DAGSTER_CONTEXT_VARIABLE, INVOCATION_VARIABLE
from standpipe_protocol.context import ContextData
from standpipe_protocol.invocation import Control
from standpipe_protocol.json_text import JsonValue, encode_json
from standpipe_protocol.messages import Log, Message, message_to_wire

if TYPE_CHECKING:
    from standpipe.context.channels import ContextSource, MessageChannel

EXTRAS_VARIABLE = "STANDPIPE_EXTRAS"
ASSET_OF_THE_STEP = "(the asset of the step)"
LOGGED_CHARACTERS = 2000

_log = logging.getLogger("standpipe.null_context")


class NullPipesContext(PipesContext):
    """A context of a process that no orchestrator launched."""

    is_null: ClassVar[bool] = True

    def __init__(self, *, extras: Mapping[str, JsonValue] | None = None) -> None:
        self._null_data = ContextData(extras=dict(extras or {}))
        source: ContextSource = self
        channel: MessageChannel = LoggingChannel()
        super().__init__(source=source, channel=channel)

    def context(self) -> ContextData:
        return self._null_data

    def _resolve_asset_key(self, asset_key: str | None, method: str) -> str:
        return super()._resolve_asset_key(ASSET_OF_THE_STEP if asset_key in (None, "") else asset_key, method)


class LoggingChannel:
    """A channel that leads into the log."""

    control = Control()

    def __init__(self) -> None:
        self._count = 0

    def send(self, message: Message) -> None:
        # Encoded all the same: what could not be sent must not pass here.
        text = encode_json(message_to_wire(message)).decode()
        self._count += 1
        if isinstance(message, Log):
            from standpipe.context.log_handler import LEVELS

            _log.log(LEVELS.get(message.level, logging.INFO), "%s", message.message)
        else:
            cut = text if len(text) <= LOGGED_CHARACTERS else f"{text[:LOGGED_CHARACTERS]}…"
            _log.info("Not launched by an orchestrator; would have sent %s", cut)

    def flush(self, timeout: float) -> bool:
        return True

    def close(self, timeout: float | None = None) -> DeliveryReport:
        return DeliveryReport(
            producer="", numbered=self._count, acknowledged=0, error="not launched by an orchestrator"
        )


def open_null_context(environment: Mapping[str, str], *, variables: Mapping[str, str]) -> NullPipesContext:
    """A null context for the calling task or thread, with a warning to the caller of `open_pipes`. Raises
    PipesConfigurationError where Dagster launched the process (`variables` are those that name no invocation), or where
    `STANDPIPE_EXTRAS` is not a JSON object."""
    if variables.get(DAGSTER_CONTEXT_VARIABLE):
        raise PipesConfigurationError(
            f"{DAGSTER_CONTEXT_VARIABLE} is set and {INVOCATION_VARIABLE} is not: Dagster itself launched this"
            " process, and Standpipe does not speak Dagster's own channels, so that nothing would arrive. Launch the"
            " process through Standpipe, import `open_dagster_pipes` from `dagster_pipes` for launches by Dagster, or"
            f" unset {DAGSTER_CONTEXT_VARIABLE} to report nowhere."
        )
    extras: object = {}
    if text := environment.get(EXTRAS_VARIABLE):
        try:
            extras = json.loads(text)
        except ValueError:
            extras = None
        if not isinstance(extras, dict):
            raise PipesConfigurationError(f"{EXTRAS_VARIABLE} is {text[:100]!r}; expected a JSON object.")
    warnings.warn(
        f"This process was not launched by an orchestrator ({INVOCATION_VARIABLE} is not set). What it reports is"
        " checked, written to the log and sent nowhere.",
        category=DagsterPipesWarning,
        stacklevel=4,
    )
    context = NullPipesContext(extras=cast("dict[str, JsonValue]", extras))
    open_contexts.enter(context)
    return context
