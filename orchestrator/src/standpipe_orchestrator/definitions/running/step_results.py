"""From what a step's function gave back to what the run records.

The one invariant: a step that declares a result ends with exactly one of it, or fails and says which is missing; of a
skippable asset and its checks, with at most one. Nothing is recorded that was not declared.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import cast

from standpipe_orchestrator.definitions.naming import keys_named, output_names
from standpipe_orchestrator.definitions.output import Output
from standpipe_orchestrator.definitions.running.plan import PlannedStep
from standpipe_orchestrator.definitions.specs import AssetCheckKey
from standpipe_orchestrator.errors import InvalidResult
from standpipe_orchestrator.values.asset_key import AssetKey
from standpipe_orchestrator.values.metadata_conversion import RawMetadataValue
from standpipe_orchestrator.values.metadata_values import MetadataValue
from standpipe_orchestrator.values.results import NO_VALUE, AssetCheckResult, MaterializeResult

RESULT_TYPES = (MaterializeResult, AssetCheckResult, Output)


class ResultCollector:
    """Takes one step's results as they come, checks each against the declaration, stores values, records.

    Args:
        step: what was declared.
        store_value: keeps an asset's value and says what metadata that adds.
        record: called with each complete result, in order.
        added_metadata: the metadata of an asset that was added in the step's context.
    """

    def __init__(
        self,
        step: PlannedStep,
        *,
        store_value: Callable[[AssetKey, object], Mapping[str, MetadataValue]],
        record: Callable[[MaterializeResult | AssetCheckResult], None],
        added_metadata: Callable[[AssetKey], Mapping[str, MetadataValue]],
    ) -> None:
        self._step = step
        self._store_value = store_value
        self._record = record
        self._added_metadata = added_metadata
        self._made: set[AssetKey] = set()
        self._evaluated: set[AssetCheckKey] = set()
        self._several = len(step.specs) != 1
        self._skippable = frozenset(spec.key for spec in step.specs if spec.skippable)

    def take_returned(self, returned: object, *, required: Callable[[], str | None]) -> None:
        """Takes what the function returned: a result, several, an iterator that yields them, a plain value, or None.

        Args:
            returned: what it returned.
            required: asked at the end for what to say when nothing was returned although it had to be; None when
                nothing had to be.

        Raises:
            InvalidResult: it does not fit the declaration; the sentence says where.
        """
        if isinstance(returned, Iterator):
            self._take_yielded(cast("Iterator[object]", returned))
        elif isinstance(returned, (tuple, list)) and (items := cast("list[object]", returned)) and _all_results(items):
            for item in items:
                self.take(item)
        elif isinstance(returned, RESULT_TYPES):
            self.take(cast("object", returned))
        elif returned is None:
            if required() is None:
                self._take_nothing()
        elif isinstance(returned, (tuple, list)) and not returned and (self._several or required() is not None):
            pass  # no results, rather than an empty value: what is missing is said below
        elif hasattr(cast("object", returned), "get_materialize_result"):
            raise InvalidResult(
                f"The step `{self._step.name}` returned what `run` answers; return its results instead: "
                "`run(...).get_materialize_result()` or `run(...).get_results()`."
            )
        elif not self._several:
            self.take(Output(cast("object", returned)))
        else:
            self.take(cast("object", returned))
        self._finish(hint=required() or "")

    def _take_yielded(self, results: Iterator[object]) -> None:
        try:
            for item in results:
                self.take(item)
        finally:
            # What it holds open (a session, a running command) ends with the step, not with the last reference to it.
            close = getattr(results, "close", None)
            if callable(close):
                close()

    def take(self, item: object) -> None:
        """Takes one result."""
        match item:
            case AssetCheckResult():
                self._take_check(item)
            case MaterializeResult() | Output():
                self._take_asset(cast("MaterializeResult | Output[object]", item))
            case _:
                raise InvalidResult(
                    f"The step `{self._step.name}` returned or yielded {_shown(item)}; expected a MaterializeResult, "
                    f"an AssetCheckResult{'' if self._step.node.is_check else ' or an Output'}."
                )

    def _take_nothing(self) -> None:
        # `def my_asset(): ...` makes its asset by having run. Its value is None; several assets have none.
        if self._step.node.is_check:
            return
        if len(self._step.specs) == 1:
            self.take(Output(None))
        else:
            for spec in self._step.specs:
                self.take(MaterializeResult(asset_key=spec.key))

    def _take_asset(self, item: MaterializeResult | Output[object]) -> None:
        key = self._key_of(item)
        if key in self._made and not (isinstance(item, MaterializeResult) and item.replaces):
            raise InvalidResult(
                f"The step `{self._step.name}` returned an output {key.to_escaped_user_string()!r} multiple times."
            )
        if isinstance(item, MaterializeResult) and item.implicit and key in self._skippable:
            # No report says that it was made, and it need not be.
            return
        self._made.add(key)
        stored: Mapping[str, MetadataValue] = {}
        if item.value is not NO_VALUE:
            stored = self._store_value(key, item.value)
        reported = cast("Mapping[str, RawMetadataValue]", item.metadata)
        result = MaterializeResult(
            asset_key=key,
            metadata={**stored, **reported, **self._added_metadata(key)},
            data_version=item.data_version,
            check_results=item.check_results if isinstance(item, MaterializeResult) else None,
            tags=item.tags if isinstance(item, MaterializeResult) else None,
            implicit=isinstance(item, MaterializeResult) and item.implicit,
            replaces=isinstance(item, MaterializeResult) and item.replaces,
        )
        self._record(result)
        for check in result.check_results:
            self._take_check(check, made=key)

    def _take_check(self, check: AssetCheckResult, *, made: AssetKey | None = None) -> None:
        declared = [spec.key for spec in self._step.check_specs]
        key = check.asset_key or made
        fitting = [
            known
            for known in declared
            if (key is None or known.asset_key == key) and (check.check_name is None or known.name == check.check_name)
        ]
        if len(fitting) != 1:
            raise InvalidResult(_unexpected_check(self._step.name, check, key, declared, fitting))
        if fitting[0] in self._evaluated and not check.replaces:
            raise InvalidResult(f"The step `{self._step.name}` returned the check {fitting[0]} multiple times.")
        self._evaluated.add(fitting[0])
        self._record(check.replace(asset_key=fitting[0].asset_key, check_name=fitting[0].name))

    def _key_of(self, item: MaterializeResult | Output[object]) -> AssetKey:
        keys = self._step.keys
        names = ", ".join(repr(key.to_escaped_user_string()) for key in keys) or "no asset"
        if isinstance(item, MaterializeResult):
            named = item.asset_key
        elif item.output_name is None:
            named = None
        else:
            named = self._key_named(item.output_name)
        if named is None and len(keys) == 1:
            return keys[0]
        if named is None:
            what = "MaterializeResult without an asset_key" if isinstance(item, MaterializeResult) else "Output"
            raise InvalidResult(
                f"The step `{self._step.name}` returned a {what}; it makes {names}, so say which of them is meant."
            )
        if named not in keys:
            others = {spec.key for spec in self._step.node.definition.specs}
            why = "is not selected in this run" if named in others else "it does not declare"
            raise InvalidResult(
                f"The step `{self._step.name}` returned a result for the asset key "
                f"{named.to_escaped_user_string()!r}, which {why}. It makes {names}."
            )
        return named

    def _key_named(self, output_name: str) -> AssetKey:
        # Of all that are declared: one that is not selected in this run may be what is meant.
        fitting = keys_named(output_name, [spec.key for spec in self._step.node.definition.specs])
        if len(fitting) > 1:
            names = " and ".join(repr(key.to_escaped_user_string()) for key in fitting)
            raise InvalidResult(
                f"The step `{self._step.name}` returned an Output with the output_name {output_name!r}, which fits "
                f"{names}: say which one is meant, with MaterializeResult(asset_key=…, value=…)."
            )
        return fitting[0] if fitting else AssetKey([output_name])

    def _finish(self, *, hint: str) -> None:
        names = output_names(self._step.keys, [spec.key for spec in self._step.check_specs])
        left_out = self._skippable - self._made
        missing = {names[key] for key in self._step.keys if key not in self._made and key not in left_out}
        missing |= {
            names[spec.key]
            for spec in self._step.check_specs
            if spec.key not in self._evaluated and spec.asset_key not in left_out
        }
        if missing:
            raise InvalidResult(
                f"The step `{self._step.name}` did not yield or return expected outputs {{{_quoted(missing)}}}."
                + (f" {hint}" if hint else "")
            )


def _unexpected_check(
    step: str,
    check: AssetCheckResult,
    key: AssetKey | None,
    declared: list[AssetCheckKey],
    fitting: list[AssetCheckKey],
) -> str:
    head = f"The step `{step}`: Received unexpected AssetCheckResult."
    targets = {known.asset_key for known in declared}
    if not declared:
        return f"{head} The step declares no checks; add `check_specs`, or leave the result out."
    if fitting:
        return f"{head} It fits several checks ({_quoted(map(str, fitting))}); give it `asset_key` and `check_name`."
    if key is not None and key not in targets:
        return (
            f"{head} It targets asset {key.to_escaped_user_string()!r} which is not targeted by any of the checks "
            f"currently being evaluated. Targeted assets: {sorted(one.to_escaped_user_string() for one in targets)}."
        )
    return f"{head} No check {check.check_name!r} is being evaluated; expected one of {_quoted(map(str, declared))}."


def _all_results(items: list[object]) -> bool:
    return all(isinstance(item, RESULT_TYPES) for item in items)


def _quoted(names: object) -> str:
    return ", ".join(repr(name) for name in sorted(cast("set[str]", names)))


def _shown(item: object) -> str:
    return "None" if item is None else f"{str(item)[:60]!r} ({type(item).__name__})"
