"""What an invocation has reported so far, as results: filled by the reader's thread, read by any.

Nothing is consumed: every getter answers with everything until now, in reported order. A rejected event counts for
nothing here. The one cursor is `take_new`, which gives each result once.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence

from standpipe_orchestrator.asset_key import AssetKey
from standpipe_orchestrator.metadata import MetadataValue
from standpipe_orchestrator.metadata_wire import metadata_from_wire
from standpipe_orchestrator.results import AssetCheckResult, AssetCheckSeverity, MaterializeResult, PipesResult
from standpipe_protocol.json_text import JsonValue
from standpipe_protocol.messages import ReportAssetCheck, ReportAssetMaterialization, ReportCustomMessage


class CollectedResults:
    """The results and custom messages of one invocation.

    Args:
        asset_keys: escaped texts of the keys the invocation targets; None and empty both mean none.
    """

    def __init__(self, asset_keys: Sequence[str] | None) -> None:
        self._asset_keys = tuple(asset_keys or ())
        self._changed = threading.Condition()
        self._reported: list[PipesResult] = []
        self._custom_messages: list[JsonValue] = []
        self._taken = 0
        self._implicit_taken = False
        self._ended = False
        self._succeeded = False

    def add(self, message: ReportAssetMaterialization | ReportAssetCheck | ReportCustomMessage) -> PipesResult | None:
        """Adds one accepted message; answers the result it makes, if it makes one."""
        match message:
            case ReportCustomMessage():
                with self._changed:
                    self._custom_messages.append(message.payload)
                    self._changed.notify_all()
                return None
            case ReportAssetMaterialization():
                result = MaterializeResult(
                    asset_key=AssetKey.from_escaped_user_string(message.asset_key),
                    metadata=metadata_from_wire(message.metadata),
                    data_version=message.data_version,
                )
            case ReportAssetCheck():
                result = AssetCheckResult(
                    passed=message.passed,
                    asset_key=AssetKey.from_escaped_user_string(message.asset_key),
                    check_name=message.check_name,
                    metadata=metadata_from_wire(message.metadata),
                    severity=AssetCheckSeverity(message.severity),
                )
        with self._changed:
            self._reported.append(result)
            self._changed.notify_all()
        return result

    def end(self, *, succeeded: bool) -> None:
        """The invocation has ended. Only from now on, and only if it succeeded, are there implicit results."""
        with self._changed:
            self._ended, self._succeeded = True, succeeded
            self._changed.notify_all()

    def wake(self) -> None:
        """Lets whoever waits in `take_new` look again."""
        with self._changed:
            self._changed.notify_all()

    def reported(self) -> tuple[PipesResult, ...]:
        with self._changed:
            return tuple(self._reported)

    def custom_messages(self) -> tuple[JsonValue, ...]:
        with self._changed:
            return tuple(self._custom_messages)

    def implicit(self) -> tuple[MaterializeResult, ...]:
        """An empty result, marked as implicit, for each target for which a succeeded invocation reported nothing.

        Upstream's rule, kept to invocations that said that they succeeded.
        """
        with self._changed:
            return self._implicit()

    def take_new(
        self, *, implicit: bool = True, wait: float = 0.0, or_until: Callable[[], bool] = lambda: False
    ) -> tuple[PipesResult, ...]:
        """The results that no earlier call took; waits up to `wait` seconds for one, or until it makes no more sense.

        Once the invocation has ended the implicit ones come last, once.
        """
        with self._changed:
            self._changed.wait_for(
                lambda: self._taken < len(self._reported) or self._ended or or_until(), timeout=wait or 0
            )
            new = tuple(self._reported[self._taken :])
            self._taken = len(self._reported)
            if self._ended and implicit and not self._implicit_taken:
                self._implicit_taken = True
                new += self._implicit()
            return new

    def _implicit(self) -> tuple[MaterializeResult, ...]:
        if not self._succeeded:
            return ()
        seen = {result.asset_key for result in self._reported if isinstance(result, MaterializeResult)}
        targets = (AssetKey.from_escaped_user_string(text) for text in self._asset_keys)
        return tuple(MaterializeResult(asset_key=key, implicit=True) for key in targets if key not in seen)


def with_metadata(results: Iterable[PipesResult], metadata: Mapping[str, MetadataValue]) -> tuple[PipesResult, ...]:
    """The results with metadata of the whole invocation merged in; the invocation's values win, as upstream has it."""
    if not metadata:
        return tuple(results)
    return tuple(result.replace(metadata={**result.metadata, **metadata}) for result in results)
