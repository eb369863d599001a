"""Messages that are uploaded in chunks: each once, whatever the store does, and at no cost to the job."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from io import StringIO
from typing import Any

import pytest

import standpipe as dagster_pipes
from standpipe.plugins import blob_stores
from tests.support.waiting import wait_until

METHODS = ["opened", "report_custom_message", "report_custom_message", "closed"]


class Params(dagster_pipes.PipesParamsLoader):
    def is_dagster_pipes_process(self) -> bool:
        return True

    def load_context_params(self) -> Mapping[str, Any]:
        return {"data": {"run_id": "r"}}

    def load_messages_params(self) -> Mapping[str, Any]:
        return {"bucket": "b", "key_prefix": "m"}


class Store:
    """Objects by key; `misbehave` is called after each was stored."""

    def __init__(self, misbehave: Callable[[int], object] = lambda _: None) -> None:
        self.writes: list[tuple[str, str]] = []
        self.done = 0
        self.misbehave = misbehave

    def put(self, key: str, text: str) -> None:
        self.writes.append((key, text))
        self.misbehave(len(self.writes))
        self.done += 1

    def read(self) -> list[str]:
        """The methods of the messages, as a reader gets them that takes each chunk once, when it is there first."""
        first: dict[str, str] = {}
        for key, text in self.writes:
            first.setdefault(key, text)
        chunks = [first[f"m/{number}.json"] for number in range(1, len(first) + 1)]
        return [json.loads(line)["method"] for chunk in chunks for line in chunk.splitlines()]


class StoreChannel(dagster_pipes.PipesBlobStoreMessageWriterChannel):
    def __init__(self, store: Store, *, interval: float) -> None:
        super().__init__(interval=interval)
        self.store = store

    def upload_messages_chunk(self, payload: StringIO, index: int) -> None:
        self.store.put(f"m/{index}.json", payload.read())


class StoreWriter(dagster_pipes.PipesBlobStoreMessageWriter[StoreChannel]):
    def __init__(self, store: Store, *, interval: float) -> None:
        super().__init__(interval=interval)
        self.store = store

    def make_channel(self, params: dagster_pipes.PipesParams) -> StoreChannel:
        return StoreChannel(self.store, interval=self.interval)


class AzureClient:
    """As much of an Azure client as is used: a blob that exists is written over only by who says so."""

    def __init__(self, store: Store) -> None:
        self.store = store

    @contextmanager
    def get_blob_client(self, bucket: str, key: str) -> Generator[AzureBlob]:
        yield AzureBlob(self.store, key)


class AzureBlob:
    def __init__(self, store: Store, key: str) -> None:
        self.store, self.key = store, key

    def upload_blob(self, text: str, *, overwrite: bool = False) -> None:
        if not overwrite and any(key == self.key for key, _ in self.store.writes):
            raise FileExistsError(f"ResourceExistsError: {self.key}")
        self.store.put(self.key, text)


class S3Client:
    def __init__(self, store: Store) -> None:
        self.store = store

    def put_object(self, *, Body: str, Bucket: str, Key: str) -> None:
        self.store.put(Key, Body)


WRITERS: dict[str, Callable[[Store], dagster_pipes.PipesMessageWriter[Any]]] = {
    "one of the user's own": lambda store: StoreWriter(store, interval=0.01),
    "S3": lambda store: dagster_pipes.PipesS3MessageWriter(client=S3Client(store), interval=0.01),
    "Azure": lambda store: dagster_pipes.PipesAzureBlobStorageMessageWriter(client=AzureClient(store), interval=0.01),
}


def opened(writer: dagster_pipes.PipesMessageWriter[Any]) -> dagster_pipes.PipesContext:
    return dagster_pipes.open_dagster_pipes(
        context_loader=dagster_pipes.PipesDefaultContextLoader(), message_writer=writer, params_loader=Params()
    )


@pytest.mark.parametrize("kind", WRITERS)
def test_a_chunk_that_was_stored_without_an_answer_is_uploaded_again_as_it_was(kind: str) -> None:
    more_is_reported = threading.Event()

    def lose_the_first_answer(write: int) -> None:
        if write == 1:
            assert more_is_reported.wait(10)
            raise ConnectionError("the answer was lost")

    store = Store(lose_the_first_answer)
    with opened(WRITERS[kind](store)) as pipes:
        pipes.report_custom_message(1)
        wait_until(lambda: store.writes, what="the first upload")
        pipes.report_custom_message(2)
        more_is_reported.set()
        wait_until(lambda: store.done, what="an upload that is answered")
    assert store.read() == METHODS
    assert len(set(store.writes)) == len({key for key, _ in store.writes}), "a chunk was changed"


def test_at_the_end_an_upload_that_failed_is_tried_again() -> None:
    def fail_twice(write: int) -> None:
        if write <= 2:
            raise ConnectionError("the store is away")

    store = Store(fail_twice)
    with opened(StoreWriter(store, interval=60)) as pipes:
        pipes.report_custom_message(1)
        pipes.report_custom_message(2)
    assert store.done == 1
    assert store.read() == METHODS


def test_an_upload_that_hangs_holds_the_end_up_for_a_while_only(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(blob_stores, "_CLOSING_SECONDS", 0.2)
    released = threading.Event()
    store = Store(lambda _: released.wait(10))
    with opened(StoreWriter(store, interval=0.01)) as pipes:
        wait_until(lambda: store.writes, what="the upload that hangs")
        pipes.report_custom_message(1)
    assert store.done == 0
    (told,) = [record.getMessage() for record in caplog.records]
    assert told.startswith("3 messages were not uploaded")
    assert "still under way" in told
    released.set()
    wait_until(lambda: store.done == 2, what="the uploads that were waited for no longer")


def test_a_store_that_takes_nothing_is_told_and_not_raised_into_the_job(caplog: pytest.LogCaptureFixture) -> None:
    def refuse(_: int) -> None:
        raise PermissionError("no right to write there")

    store = Store(refuse)
    with opened(StoreWriter(store, interval=60)) as pipes:
        pipes.report_custom_message(1)
    assert store.done == 0
    (told,) = [record.getMessage() for record in caplog.records]
    assert told.startswith("3 messages were not uploaded")
    assert "PermissionError: no right to write there" in told
