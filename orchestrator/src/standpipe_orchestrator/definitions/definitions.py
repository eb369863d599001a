"""A set of definitions that belong together: what a file hands to `standpipe materialize`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from standpipe_orchestrator.definitions.graph import AssetGraph
from standpipe_orchestrator.definitions.specs import AssetSpec
from standpipe_orchestrator.definitions.steps import StepDefinition
from standpipe_orchestrator.errors import InvalidDefinition


class Definitions:
    """Assets, checks, and the resources their functions take by name.

    The resource `io_manager` stores the values handed between assets; without one they are files under the home.

    Raises:
        InvalidDefinition: they do not fit together; the sentence says where.
    """

    def __init__(
        self,
        *,
        assets: Iterable[StepDefinition | AssetSpec] | None = None,
        asset_checks: Iterable[StepDefinition] | None = None,
        resources: Mapping[str, object] | None = None,
    ) -> None:
        steps: list[StepDefinition] = []
        external: list[AssetSpec] = []
        for item in (*(assets or ()), *(asset_checks or ())):
            if isinstance(item, StepDefinition):
                steps.append(item)
            elif isinstance(item, AssetSpec):  # pyright: ignore[reportUnnecessaryIsInstance]  callers without a type checker
                external.append(item)
            else:
                raise InvalidDefinition(
                    f"Expected what @asset, @multi_asset or @asset_check make, or an AssetSpec, got {item!r}."
                )
        self.steps = tuple(dict.fromkeys(steps))
        self.external = tuple(external)
        self.resources: Mapping[str, object] = dict(resources or {})
        self.graph = AssetGraph.build(self.steps, external=self.external, resources=self.resources)

    def with_resources(self, resources: Mapping[str, object]) -> Definitions:
        """The same definitions, with these resources added or replaced."""
        return Definitions(assets=(*self.steps, *self.external), resources={**self.resources, **resources})
