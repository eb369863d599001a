"""Results that are read again where memory does not hold them: the same ones, in the same order, each once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import islice

import pytest
from hypothesis import given
from hypothesis import strategies as st

from standpipe_orchestrator import AssetCheckResult, AssetKey, MaterializeResult
from standpipe_orchestrator.errors import BrokerUnreachable
from standpipe_orchestrator.reading.bounded_items import Item, Retained
from standpipe_orchestrator.reading.result_collection import ResultCollection
from standpipe_orchestrator.values.from_events import message_of, report_key
from standpipe_orchestrator.values.results import PipesResult
from standpipe_protocol.invocation import Event
from standpipe_protocol.json_text import JsonObject
from standpipe_protocol.messages import (
    Message,
    ReportAssetCheck,
    ReportAssetMaterialization,
    ReportCustomMessage,
)

Reported = ReportAssetMaterialization | ReportAssetCheck | ReportCustomMessage


@pytest.fixture(autouse=True)
def room_for_three(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("bounded_items", "result_collection"):
        monkeypatch.setattr(f"standpipe_orchestrator.reading.{module}.MOST_ITEMS", 3)


class History:
    """Stored events, and what has been collected of them."""

    def __init__(self, *asset_keys: str) -> None:
        self.events: list[Event] = []
        self.pages: list[tuple[int, Sequence[str]]] = []
        self.failures: list[Exception | None] = []
        self.collected = ResultCollection(asset_keys, read_again=self.read)

    def read(self, *, after: int, methods: Sequence[str]) -> Iterator[Event]:
        self.pages.append((after, methods))
        failure = self.failures.pop(0) if self.failures else None
        if failure is not None:
            raise failure
        yield from (event for event in self.events if event.position > after and event.method in methods)

    def add(self, message: Reported, *, producer: str = "p", replaces: int | None = None, old: bool = False) -> int:
        notes: list[JsonObject] = [{"code": "superseded", "detail": ""}] if old else []
        if replaces is not None:
            notes.append({"code": "replaces", "detail": "", "position": replaces})
        event = _event(len(self.events) + 1, message, producer=producer, notes=notes)
        self.events.append(event)
        self.collected.add(event, message)
        return event.position

    def reject(self, message: Message) -> None:
        position = len(self.events) + 1
        self.events.append(_event(position, message, problem={"type": "/problems/invalid-message"}))


def _event(
    position: int,
    message: Message,
    *,
    producer: str = "p",
    notes: Sequence[JsonObject] = (),
    problem: JsonObject | None = None,
) -> Event:
    return Event(
        position=position,
        producer=producer,
        seq=position,
        method=message.method,
        params=message.params(),
        received_at="2026-01-01T00:00:00Z",
        notes=notes,
        problem=problem,
    )


def made(key: str) -> ReportAssetMaterialization:
    return ReportAssetMaterialization(asset_key=key)


def checked(name: str, *, passed: bool = True) -> ReportAssetCheck:
    return ReportAssetCheck(asset_key="a", check_name=name, passed=passed)


def keys(results: Iterator[PipesResult] | Sequence[PipesResult]) -> list[str]:
    return [str(result.asset_key.path[0] if result.asset_key else None) for result in results]


def test_what_memory_does_not_hold_is_read_again_from_where_it_ends() -> None:
    history = History()
    for number in range(8):
        history.add(made(f"a{number}"))
        history.add(ReportCustomMessage(payload=number))
    assert keys(history.collected.iterate_reported()) == [f"a{number}" for number in range(8)]
    assert list(history.collected.iterate_custom_messages()) == list(range(8))
    assert history.pages == [
        (5, ("report_asset_materialization", "report_asset_check")),
        (6, ("report_custom_message",)),
    ]


def test_an_iterator_ends_where_it_was_when_it_was_asked_for() -> None:
    history = History()
    for number in range(5):
        history.add(made(f"a{number}"))
    results = history.collected.iterate_reported()
    history.add(made("later"))
    assert keys(results) == [f"a{number}" for number in range(5)]
    assert keys(history.collected.iterate_reported())[-1] == "later"


def test_what_was_rejected_or_could_not_be_handled_is_left_out_again() -> None:
    history = History()
    for number in range(4):
        history.add(made(f"a{number}"))
    history.reject(made("rejected"))
    odd = made("odd")
    history.events.append(_event(6, odd, notes=()))
    object.__setattr__(history.events[-1], "params", {"asset_key": 7})
    history.add(made("a4"))
    assert keys(history.collected.reported()) == ["a0", "a1", "a2", "a3", "a4"]


def test_one_large_message_is_not_held_either(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("standpipe_orchestrator.reading.bounded_items.MOST_CHARACTERS", 1000)
    history = History()
    payloads = ["small", "x" * 2000, "small again"]
    for payload in payloads:
        history.add(ReportCustomMessage(payload=payload))
    assert history.collected.custom_messages() == tuple(payloads)
    assert history.pages == [(1, ("report_custom_message",))]


def test_without_a_way_to_read_again_everything_is_held() -> None:
    retained = Retained[int](bounded=False)
    for number in range(100):
        retained.add(Item(number, "p", number), characters=10**9)
    assert (len(retained.items), retained.complete) == (100, True)


def test_targets_without_a_report_are_known_however_many_were_reported() -> None:
    history = History("a0", "a9", "missing")
    for number in range(10):
        history.add(made(f"a{number}"))
    assert history.collected.implicit() == ()
    history.collected.end(succeeded=True)
    assert history.collected.implicit() == (MaterializeResult("missing", implicit=True),)


@given(st.lists(st.sampled_from(["result", "result", "message", "take", "take some"]), max_size=60))
def test_whatever_the_pace_of_the_taking_each_result_is_taken_once_and_in_order(steps: list[str]) -> None:
    history, taken, reported = History(), list[str](), 0
    for step in steps:
        match step:
            case "result":
                history.add(made(f"a{reported}"))
                reported += 1
            case "message":
                history.add(ReportCustomMessage(payload=None))
            case "take":
                taken += keys(history.collected.take_new())
            case _:
                taken += keys(islice(history.collected.take_new(), 2))
    taken += keys(history.collected.take_new())
    assert taken == [f"a{number}" for number in range(reported)]


def test_a_broker_that_is_away_keeps_nothing_back_for_good() -> None:
    history, taken = History(), list[str]()
    for number in range(5):
        history.add(made(f"a{number}"))
    away = BrokerUnreachable("away", call="GET", url="http://x")
    history.failures = [away, away, away]
    for _ in range(3):
        taken += keys(history.collected.take_new())
    assert taken == ["a0", "a1", "a2"]
    history.failures = [away]
    history.collected.end(succeeded=True)
    with pytest.raises(BrokerUnreachable):
        list(history.collected.take_new())
    assert keys(history.collected.take_new()) == ["a3", "a4"]


def results_of_attempts(history: History) -> list[tuple[AssetKey | None, str | None, object]]:
    """Key, check and what tells one report from another."""
    return [
        (*report_key(result), result.passed if isinstance(result, AssetCheckResult) else None)
        for result in history.collected.reported()
    ]


FILLED: Sequence[Callable[[History], object]] = (
    lambda history: None,
    lambda history: [history.add(made(f"before{number}")) for number in range(5)],
)


@pytest.mark.parametrize("fill", FILLED, ids=["held", "read again"])
def test_of_the_reports_of_several_attempts_the_newest_ones_stand(fill: Callable[[History], object]) -> None:
    history = History()
    fill(history)
    before = results_of_attempts(history)
    first = history.add(made("a"))
    failed = history.add(checked("c", passed=False))
    history.add(made("b"))
    history.add(made("a"), replaces=first)
    history.add(checked("c"), replaces=failed)
    history.add(checked("c", passed=False), old=True)  # a word of the first attempt that comes late
    history.add(checked("only the old one said it"), old=True)
    assert results_of_attempts(history) == [
        *before,
        (AssetKey("b"), None, None),
        (AssetKey("a"), None, None),
        (AssetKey("a"), "c", True),
        (AssetKey("a"), "only the old one said it", True),
    ]


@pytest.mark.parametrize("fill", FILLED, ids=["held", "read again"])
def test_a_stream_marks_what_takes_the_place_of_an_earlier_result(fill: Callable[[History], object]) -> None:
    history = History()
    fill(history)
    first = history.add(made("a"))
    assert list(history.collected.take_new())[-1] == MaterializeResult("a")
    fill(history)
    second = history.add(made("a"), replaces=first)
    history.add(checked("c"), old=True)
    new = list(history.collected.take_new())
    assert new[-1] == MaterializeResult("a", replaces=True)
    assert repr(new[-1]).endswith("replaces=True)")
    history.add(made("a"), replaces=second)
    history.collected.end(succeeded=True)
    assert list(history.collected.take_new()) == [
        MaterializeResult("a", replaces=True),
        AssetCheckResult(passed=True, asset_key="a", check_name="c"),
    ]
    assert [result for result in history.collected.reported() if result.asset_key == AssetKey("a")] == [
        AssetCheckResult(passed=True, asset_key="a", check_name="c"),
        MaterializeResult("a"),
    ]


def test_custom_messages_of_older_attempts_count_until_the_end() -> None:
    history = History()
    for number in range(6):
        history.add(ReportCustomMessage(payload=number), producer="old" if number % 2 else "new")
    assert history.collected.custom_messages() == (0, 1, 2, 3, 4, 5)
    history.collected.end(succeeded=True, superseded_producers={"old"})
    assert history.collected.custom_messages() == (0, 2, 4)


def test_an_event_is_the_message_it_was_made_of() -> None:
    assert message_of(_event(1, checked("c"))) == checked("c")
