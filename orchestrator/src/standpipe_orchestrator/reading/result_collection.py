"""What an invocation has reported so far, as results: filled by the reader's thread, read by any.

Nothing is consumed: every getter answers with everything until now, in reported order. A rejected event counts for
nothing here, and neither does a report that an attempt which counts more has replaced. The one cursor is `take_new`,
which gives each result once. Memory holds a bounded number; what is beyond is read again where it is asked for.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from itertools import islice
from typing import TypeVar, cast

from standpipe_orchestrator.errors import BrokerError
from standpipe_orchestrator.reading.bounded_items import (
    MOST_CHARACTERS,
    MOST_ITEMS,
    Item,
    ReadAgain,
    Retained,
    characters_of,
)
from standpipe_orchestrator.values import from_events
from standpipe_orchestrator.values.asset_key import AssetKey
from standpipe_orchestrator.values.results import (
    AssetObservation,
    MaterializeResult,
    PipesResult,
)
from standpipe_protocol import messages
from standpipe_protocol.invocation import Event
from standpipe_protocol.json_text import JsonValue

T = TypeVar("T")


class ResultCollection:
    """The results and custom messages of one invocation.

    Args:
        asset_keys: escaped texts of the keys the invocation targets; None and empty both mean none.
        read_again: reads stored events once more. Without it everything stays in memory.
    """

    def __init__(self, asset_keys: Sequence[str] | None, *, read_again: ReadAgain | None = None) -> None:
        targets = (AssetKey.from_escaped_user_string(text) for text in asset_keys or ())
        self._unreported = dict.fromkeys(targets)
        self._read_again = read_again
        self._changed = threading.Condition()
        bounded = read_again is not None
        self._results = Retained[PipesResult](bounded=bounded)
        self._messages = Retained[JsonValue](bounded=bounded)
        self._observations = Retained[AssetObservation](bounded=bounded)
        self._replaced: set[int] = set()
        self._replacing: set[int] = set()
        """Positions of reports that replaced one of an older attempt."""
        self._superseded: dict[int, from_events.ReportKey] = {}
        """Positions of reports by older attempts that stand only if there is no other."""
        self._superseded_producers: AbstractSet[str] = frozenset()
        self._fresh = _Fresh(bounded=bounded)
        self._streaming = threading.Lock()
        self._streamed_through = 0
        self._rest: Iterator[Item[PipesResult]] | None = None
        self._rest_through = 0
        self._ending_streamed = False
        self._implicit_streamed = False
        self._ended = False
        self._succeeded = False

    def add(
        self,
        event: Event,
        message: messages.ReportAssetMaterialization
        | messages.ReportAssetCheck
        | messages.ReportAssetObservation
        | messages.ReportCustomMessage,
    ) -> PipesResult | AssetObservation | None:
        """Adds one accepted message; answers the result or the observation it makes, if it makes one."""
        match message:
            case messages.ReportCustomMessage():
                self._retain(self._messages, event, message.payload)
                return None
            case messages.ReportAssetObservation():
                observation = from_events.observation_of(message)
                self._retain(self._observations, event, observation)
                return observation
            case _:
                return self._add_result(event, from_events.result_of(message))

    def _add_result(self, event: Event, result: PipesResult) -> PipesResult:
        characters = characters_of(event.params)
        replaces, superseded = from_events.replaced_position(event), from_events.is_superseded(event)
        with self._changed:
            item = Item(event.position, event.producer, result)
            self._results.add(item, characters=characters)
            if isinstance(result, MaterializeResult) and result.asset_key is not None:
                self._unreported.pop(result.asset_key, None)
            if replaces is not None:
                self._replaced.add(replaces)
                self._replacing.add(event.position)
            if superseded and replaces is None:
                self._superseded[event.position] = from_events.report_key(result)
            else:
                self._fresh.add(item, characters=characters)
            self._changed.notify_all()
        return result

    def _retain(self, retained: Retained[T], event: Event, value: T) -> None:
        with self._changed:
            retained.add(Item(event.position, event.producer, value), characters=characters_of(event.params))
            self._changed.notify_all()

    def end(self, *, succeeded: bool, superseded_producers: AbstractSet[str] = frozenset()) -> None:
        """The invocation has ended. Only from now on, and only if it succeeded, are there implicit results.

        Args:
            superseded_producers: of older attempts; their custom messages and observations count no longer.
        """
        with self._changed:
            self._ended, self._succeeded = True, succeeded
            self._superseded_producers = superseded_producers
            self._changed.notify_all()

    def wake(self) -> None:
        """Wakes threads that wait in `take_new`."""
        with self._changed:
            self._changed.notify_all()

    def iterate_reported(self) -> Iterator[PipesResult]:
        """The results until now, one by one; those that are not in memory are read again, and not kept."""
        with self._changed:
            through = self._results.last_position
        left_out = self._not_standing(through)
        return (item.value for item in self._all_results(through) if item.position not in left_out)

    def iterate_custom_messages(self) -> Iterator[JsonValue]:
        """The payloads until now, in the same way."""
        return self._of_newest_attempt(self._messages, methods=from_events.CUSTOM_MESSAGES)

    def iterate_observations(self) -> Iterator[AssetObservation]:
        """The observations until now, in the same way."""
        return self._of_newest_attempt(self._observations, methods=from_events.OBSERVATIONS)

    def _of_newest_attempt(self, retained: Retained[T], *, methods: Sequence[str]) -> Iterator[T]:
        with self._changed:
            through, left_out = retained.last_position, self._superseded_producers
        items = self._all(retained, through=through, methods=methods)
        return (item.value for item in items if item.producer not in left_out)

    def reported(self) -> tuple[PipesResult, ...]:
        return tuple(self.iterate_reported())

    def custom_messages(self) -> tuple[JsonValue, ...]:
        return tuple(self.iterate_custom_messages())

    def implicit(self) -> tuple[MaterializeResult, ...]:
        """An empty result, marked as implicit, for each target for which a succeeded invocation reported nothing.

        Dagster's rule, limited to invocations that reported success.
        """
        with self._changed:
            unreported = tuple(self._unreported) if self._succeeded else ()
        return tuple(MaterializeResult(asset_key=key, implicit=True) for key in unreported)

    def take_new(
        self, *, implicit: bool = True, wait: float = 0.0, or_until: Callable[[], bool] = lambda: False
    ) -> Iterator[PipesResult]:
        """The results that no earlier call gave; waits up to `wait` seconds for one, or until it makes no more sense.

        Once the invocation has ended the implicit ones come last, once.

        Raises:
            BrokerError: it has ended, and what had to be read again cannot be read.
        """
        with self._changed:
            self._changed.wait_for(
                lambda: self._streamed_through < self._fresh.last_position or self._ended or or_until(),
                timeout=wait or 0,
            )
            through, ended = self._fresh.last_position, self._ended
        while True:
            try:
                result = self._next(through)
            except BrokerError:
                if ended:
                    raise
                return  # the broker may be away for a while; the next call goes on from here
            if result is None:
                break
            yield result
        if ended and not self._ending_streamed:
            self._ending_streamed = True
            yield from self._standing_superseded()
        if ended and implicit and not self._implicit_streamed:
            self._implicit_streamed = True
            yield from self.implicit()

    def _next(self, through: int) -> PipesResult | None:
        """The next result that was not taken, up to a position."""
        with self._streaming:
            while self._streamed_through < through:
                with self._changed:
                    item = self._fresh.take()
                    if item is None and not self._fresh.behind:
                        return None
                if item is None:
                    item = self._next_of_rest(through)
                if item is None:
                    continue
                self._streamed_through = item.position
                if item.position not in self._replaced and item.position not in self._superseded:
                    replaces = item.position in self._replacing
                    return item.value.replace_normal(replaces=True) if replaces else item.value
            return None

    def _next_of_rest(self, through: int) -> Item[PipesResult] | None:
        """Reads again what came while there was no room for it; None once that is caught up with."""
        if self._rest is None:
            self._rest_through = through
            self._rest = self._again(
                self._results, after=self._streamed_through, through=through, methods=from_events.RESULTS
            )
        try:
            item = next(self._rest, None)
        except BaseException:
            self._rest = None
            raise
        if item is None:
            self._rest = None
            with self._changed:
                self._streamed_through = max(self._streamed_through, self._rest_through)
                self._fresh.caught_up(self._streamed_through)
        return item

    def _standing_superseded(self) -> Iterator[PipesResult]:
        if self._superseded:
            through = self._results.last_position
            standing = self._superseded.keys() - self._not_standing(through)
            yield from (item.value for item in self._all_results(through) if item.position in standing)

    def _not_standing(self, through: int) -> AbstractSet[int]:
        """The positions of reports that a newer attempt's has taken the place of."""
        with self._changed:
            replaced, superseded = set(self._replaced), dict(self._superseded)
        if not superseded:
            return replaced
        asked, others, last = set(superseded.values()), set[from_events.ReportKey](), dict[from_events.ReportKey, int]()
        for item in self._all_results(through):
            key = from_events.report_key(item.value)
            if key in asked and item.position not in replaced:
                if item.position in superseded:
                    last[key] = item.position
                else:
                    others.add(key)
        return replaced | {
            position for position, key in superseded.items() if key in others or last.get(key) != position
        }

    def _all_results(self, through: int) -> Iterator[Item[PipesResult]]:
        return self._all(self._results, through=through, methods=from_events.RESULTS)

    def _all(self, retained: Retained[T], *, through: int, methods: Sequence[str]) -> Iterator[Item[T]]:
        with self._changed:
            here, complete = len(retained.items), retained.complete
            last = retained.items[-1].position if retained.items else 0
        # The list only grows, so its beginning may be read without the lock.
        yield from islice(retained.items, here)
        if not complete:
            yield from self._again(retained, after=last, through=through, methods=methods)

    def _again(self, retained: Retained[T], *, after: int, through: int, methods: Sequence[str]) -> Iterator[Item[T]]:
        """The items of a list that are not in memory, made from the stored events once more."""
        assert self._read_again is not None  # noqa: S101  without it everything is here
        for event in self._read_again(after=after, methods=methods):
            if event.position > through:
                return
            if event.rejected or event.method not in methods:
                continue
            try:
                value = cast("T", from_events.value_of(from_events.message_of(event)))
            except Exception:  # noqa: S112  named when it was read for the first time
                continue
            yield Item(event.position, event.producer, value)


class _Fresh:
    """The results that `take_new` has not given yet, as many as fit; then those that come have to be read again."""

    def __init__(self, *, bounded: bool) -> None:
        self.last_position = 0
        self.behind = False
        self._bounded = bounded
        self._items: deque[tuple[Item[PipesResult], int]] = deque()
        self._characters = 0

    def add(self, item: Item[PipesResult], *, characters: int) -> None:
        self.last_position = item.position
        if self.behind:
            return
        if self._bounded and (
            len(self._items) >= MOST_ITEMS or (self._items and self._characters + characters > MOST_CHARACTERS)
        ):
            self.behind = True
            return
        self._characters += characters
        self._items.append((item, characters))

    def take(self) -> Item[PipesResult] | None:
        if not self._items:
            return None
        item, characters = self._items.popleft()
        self._characters -= characters
        return item

    def caught_up(self, through: int) -> None:
        self.behind = self.last_position > through
