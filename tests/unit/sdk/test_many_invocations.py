"""One process serves many invocations, one after the other and at once: whose context a call gets that names none."""

from __future__ import annotations

import asyncio
import contextvars
import logging
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest

from standpipe import (
    DagsterPipesError,
    DagsterPipesWarning,
    PipesContext,
    PipesContextLoader,
    PipesMappingParamsLoader,
    PipesMessageWriter,
    PipesMessageWriterChannel,
    PipesParamsLoader,
    StandpipeHandler,
    open_pipes,
)
from standpipe.testing import RecordingBroker, recording_broker

Broker = RecordingBroker
SEVERAL = r"has 2 contexts open .*belongs to none of them\. Pass the context"


@pytest.fixture
def first() -> Iterator[Broker]:
    with recording_broker(asset_keys=["orders"], extras={"day": 1}) as running:
        yield running


@pytest.fixture
def second() -> Iterator[Broker]:
    with recording_broker(asset_keys=["orders"], extras={"day": 2}) as running:
        yield running


def opened_for(broker: Broker) -> PipesContext:
    """As a handler opens that gets the three variables with its event."""
    return open_pipes(params_loader=PipesMappingParamsLoader(dict(broker.environment())))


def in_thread(work: Any) -> Any:
    """What `work` answers in a thread that belongs to no context; what it raises is raised here."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(work).result(20)


def test_a_handler_that_raised_does_not_swallow_the_reports_of_the_next_invocation(
    first: Broker, second: Broker
) -> None:
    def handle(broker: Broker, *, fails: bool) -> None:
        context = opened_for(broker)
        if fails:
            raise ValueError("the download failed")
        context.report_asset_materialization(metadata={"day": context.get_extra("day")})
        context.close()

    with pytest.raises(ValueError, match="download"):
        handle(first, fails=True)
    handle(second, fails=False)
    assert second.materializations["orders"].metadata == {"day": {"raw_value": 2, "type": "__infer__"}}
    assert second.methods == ("opened", "report_asset_materialization", "closed")
    first.wait_for(lambda broker: broker.opened)
    assert first.methods == ("opened",)


def test_the_environment_may_name_one_invocation_after_the_other(
    first: Broker, second: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    for broker in (first, second):
        for name, value in broker.environment().items():
            monkeypatch.setenv(name, value)
        context = open_pipes()
        assert open_pipes() is PipesContext.get() is context
        context.report_custom_message(context.get_extra("day"))
        # The first is left open, as by a handler that raised.
    assert PipesContext.get().close().complete
    assert second.custom_messages == [2]
    first.wait_for(lambda broker: broker.custom_messages == [1])
    assert first.closed is None


def test_the_same_invocation_is_answered_with_the_context_that_is_open(first: Broker, second: Broker) -> None:
    one, other = opened_for(first), opened_for(second)
    assert one is not other
    assert opened_for(first) is one
    assert in_thread(lambda: opened_for(second)) is other
    mine = dict(first.environment(), STANDPIPE_URL=f"{first.url}/", STANDPIPE_TOKEN=first.token)
    assert open_pipes(params_loader=PipesMappingParamsLoader(mine)) is one
    for context in (one, other):
        assert context.close().complete
    assert first.methods == second.methods == ("opened", "closed")


def test_a_closed_invocation_is_opened_anew_and_knows_what_was_materialized(first: Broker, second: Broker) -> None:
    with opened_for(first) as before:
        before.report_asset_materialization()
    with opened_for(second) as between:
        between.report_asset_materialization()
    with in_thread(lambda: opened_for(first)) as again:
        assert again is not before
        with pytest.raises(DagsterPipesError, match="already been materialized"):
            again.report_asset_materialization()
    assert first.methods == ("opened", "report_asset_materialization", "closed", "opened", "closed")
    assert first.rejected == ()


def test_two_threads_that_open_one_invocation_at_once_get_one_context(first: Broker) -> None:
    barrier = threading.Barrier(8)

    def open_together() -> PipesContext:
        barrier.wait(20)
        return opened_for(first)

    with ThreadPoolExecutor(8) as pool:
        contexts = [future.result(20) for future in [pool.submit(open_together) for _ in range(8)]]
    assert len(set(map(id, contexts))) == 1
    assert contexts[0].close().complete
    assert first.methods == ("opened", "closed")


def test_threads_serve_their_own_invocations_at_once(first: Broker, second: Broker) -> None:
    together = threading.Barrier(2)
    logger = logging.getLogger("a.library.of.the.worker")
    logger.setLevel(logging.INFO)
    handler = StandpipeHandler()

    def handle(broker: Broker) -> None:
        with opened_for(broker) as context:
            together.wait(20)
            day = PipesContext.get().get_extra("day")
            for _ in range(50):
                assert open_pipes() is context
                PipesContext.get().report_custom_message(day)
                logger.info("day %s", day)
            together.wait(20)
        # What is logged after the end is of this invocation, and not of the other, which may still be open.
        logger.info("after the end of %s", day)

    logger.addHandler(handler)
    try:
        with ThreadPoolExecutor(2) as pool:
            for future in [pool.submit(handle, broker) for broker in (first, second)]:
                future.result(60)
    finally:
        logger.removeHandler(handler)
    for day, broker in enumerate((first, second), 1):
        assert broker.custom_messages == [day] * 50
        assert {log.message for log in broker.logs} == {f"day {day}"}
        assert broker.methods[-1] == "closed"


def test_tasks_serve_their_own_invocations_at_once_and_so_does_what_they_start(first: Broker, second: Broker) -> None:
    async def report(n: int) -> None:
        await asyncio.sleep(0)
        PipesContext.get().report_custom_message(n)

    async def handle(broker: Broker, both_open: asyncio.Event) -> None:
        with await asyncio.to_thread(opened_for, broker) as context:
            if broker is second:
                both_open.set()
            await both_open.wait()
            assert PipesContext.get() is context
            day = await asyncio.to_thread(lambda: PipesContext.get().get_extra("day"))
            assert isinstance(day, int)
            await asyncio.gather(*(report(n * day) for n in range(5)))
            assert open_pipes() is context

    async def serve() -> None:
        both_open = asyncio.Event()
        await asyncio.gather(handle(first, both_open), handle(second, both_open))

    asyncio.run(serve())
    assert first.custom_messages == [0, 1, 2, 3, 4]
    assert second.custom_messages == [0, 2, 4, 6, 8]


def test_a_thread_that_belongs_to_none_gets_the_only_open_one(first: Broker, second: Broker) -> None:
    with opened_for(first) as context:
        assert in_thread(PipesContext.get) is in_thread(open_pipes) is context
    with opened_for(second) as context:
        # A pool's thread that helped with the one before is not bound to it.
        assert in_thread(PipesContext.get) is context


def test_a_pools_thread_helps_one_invocation_after_the_other(first: Broker, second: Broker) -> None:
    with ThreadPoolExecutor(1) as pool:
        for broker in (first, second):
            with opened_for(broker) as context:
                assert pool.submit(open_pipes).result(20) is context
                assert pool.submit(PipesContext.get).result(20) is context


def test_where_several_are_open_a_thread_that_belongs_to_none_is_told_to_take_one(
    first: Broker, second: Broker
) -> None:
    with opened_for(first), opened_for(second) as inner:
        for call in (PipesContext.get, open_pipes):
            with pytest.raises(DagsterPipesError, match=SEVERAL) as caught:
                in_thread(call)
            assert first.invocation in str(caught.value)
            assert second.invocation in str(caught.value)
            assert first.token not in str(caught.value)
        assert in_thread(PipesContext.is_initialized)
        with ThreadPoolExecutor(1) as pool:
            assert pool.submit(contextvars.copy_context().run, PipesContext.get).result(20) is inner

            def take() -> PipesContext:
                PipesContext.set(inner)
                return PipesContext.get()

            assert pool.submit(take).result(20) is inner


def test_a_record_of_a_thread_that_belongs_to_none_is_an_error_once_where_several_are_open(
    first: Broker, second: Broker, capsys: pytest.CaptureFixture[str]
) -> None:
    logger = logging.getLogger("a.thread.of.a.library")
    logger.setLevel(logging.INFO)
    handler = StandpipeHandler()
    logger.addHandler(handler)
    try:
        with opened_for(first), opened_for(second):
            in_thread(lambda: [logger.info("poll") for _ in range(100)])
            logger.info("of the second")
    finally:
        logger.removeHandler(handler)
    assert [log.message for log in second.logs] == ["of the second"]
    assert first.logs == []
    assert capsys.readouterr().err.count("belongs to none of them. Pass the context") == 1


def test_behind_its_block_a_thread_belongs_to_the_context_around_it(first: Broker, second: Broker) -> None:
    with opened_for(first) as outer:
        with opened_for(second) as inner:
            assert PipesContext.get() is open_pipes() is inner
        assert PipesContext.get() is open_pipes() is outer
        PipesContext.get().report_custom_message("around")
    assert PipesContext.get() is outer
    assert first.custom_messages == ["around"]


def test_an_invocation_of_the_environment_goes_on_around_those_of_events(first: Broker, second: Broker) -> None:
    with first.environment():
        open_pipes()
        for _ in range(2):
            with opened_for(second):
                open_pipes().report_custom_message("event")
        assert in_thread(open_pipes) is open_pipes() is PipesContext.get()
        open_pipes().report_custom_message("worker")
        assert open_pipes().close().complete
    assert first.custom_messages == ["worker"]
    assert second.custom_messages == ["event"] * 2


def test_the_main_thread_opens_what_the_environment_names_and_others_help_with_what_is_open(
    first: Broker, second: Broker
) -> None:
    with first.environment():
        event = in_thread(lambda: opened_for(second))
        assert in_thread(open_pipes) is event
        with open_pipes() as own:
            assert own is not event
            own.report_custom_message(1)
            with pytest.raises(DagsterPipesError, match=SEVERAL):
                in_thread(open_pipes)
        assert event.close().complete
    assert (first.custom_messages, second.custom_messages) == ([1], [])


def test_threads_of_one_event_each_may_take_it_from_the_environment(
    first: Broker, second: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    def handle() -> None:
        open_pipes().report_custom_message(PipesContext.get().get_extra("day"))

    with recording_broker(extras={"day": 3}) as third:
        for broker in (first, second, third):
            for name, value in broker.environment().items():
                monkeypatch.setenv(name, value)
            # None of them closes, as when the handlers raise.
            in_thread(handle)
        for day, broker in enumerate((first, second, third), 1):
            broker.wait_for(lambda broker, day=day: broker.custom_messages == [day])


def test_a_loader_that_finds_nothing_gives_a_null_context_also_beside_an_open_one(first: Broker) -> None:
    with opened_for(first) as context:
        with pytest.warns(DagsterPipesWarning, match="not launched by an orchestrator"):
            null = open_pipes(params_loader=PipesMappingParamsLoader({}))
        assert null.is_null
        assert PipesContext.get() is null
        null.report_custom_message("nowhere")
        assert open_pipes(params_loader=PipesMappingParamsLoader({})) is null
        assert in_thread(PipesContext.get) is context
        null.close()
    assert first.custom_messages == []


def test_another_token_is_tried_when_the_server_refused_the_first(first: Broker) -> None:
    wrong = dict(first.environment(), STANDPIPE_TOKEN="wrong")
    refused = open_pipes(params_loader=PipesMappingParamsLoader(wrong))
    with pytest.raises(Exception, match="STANDPIPE_TOKEN"):
        refused.get_extra("day")
    with opened_for(first) as context:
        assert context.get_extra("day") == 1
        assert opened_for(first) is context
    refused.close()


def test_plugs_of_other_ways_are_told_apart_by_their_params() -> None:
    written: dict[str, list[str]] = {}

    class Params(PipesParamsLoader):
        def __init__(self, job: str) -> None:
            self.job = job

        def is_dagster_pipes_process(self) -> bool:
            return True

        def load_context_params(self) -> Mapping[str, Any]:
            return {"path": f"/in/{self.job}"}

        def load_messages_params(self) -> Mapping[str, Any]:
            return {"path": self.job, "nested": {"a": [1]}}

    class Loader(PipesContextLoader):
        @contextmanager
        def load_context(self, params: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
            yield {"extras": {"from": params["path"]}}

    class Channel(PipesMessageWriterChannel):
        def __init__(self, job: str) -> None:
            self.job = job

        def write_message(self, message: Mapping[str, Any]) -> None:
            written.setdefault(self.job, []).append(message["method"])

    class Writer(PipesMessageWriter[PipesMessageWriterChannel]):
        @contextmanager
        def open(self, params: Mapping[str, Any]) -> Iterator[PipesMessageWriterChannel]:
            yield Channel(params["path"])

    def opened(job: str) -> PipesContext:
        return open_pipes(context_loader=Loader(), message_writer=Writer(), params_loader=Params(job))

    with opened("one") as one:
        with opened("other") as other:
            assert other is not one
            assert other.get_extra("from") == "/in/other"
            assert opened("one") is one
        one.report_custom_message(1)
    assert written == {"one": ["opened", "report_custom_message", "closed"], "other": ["opened", "closed"]}


def test_none_makes_a_thread_as_if_it_had_opened_none(first: Broker, second: Broker) -> None:
    with opened_for(first) as one:
        PipesContext.set(None)
        assert not PipesContext.is_initialized()
        with pytest.raises(DagsterPipesError, match="not been initialized"):
            PipesContext.get()
        other = in_thread(lambda: opened_for(second))
        assert PipesContext.get() is other
        assert other.close().complete
        one.report_custom_message("still open")
    assert first.custom_messages == ["still open"]
