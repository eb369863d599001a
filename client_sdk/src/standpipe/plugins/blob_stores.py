"""Message writers that upload messages in chunks, and Dagster's for the stores of three clouds and of Databricks.

The clients are the caller's; nothing of a cloud is imported here. The invariant: what a chunk holds is settled before
its first upload, so that one that was stored without an answer is written again as it was, and readers, which take each
number once, miss nothing. No upload raises into the job; what is not uploaded at its end is logged.
"""

from __future__ import annotations

import json
import logging
import threading
from abc import abstractmethod
from collections.abc import Generator
from contextlib import contextmanager
from io import StringIO
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, TypeVar, cast

from standpipe.http.decisions import backoff_delay
from standpipe.plugins.dagster_plugins import text_param
from standpipe.plugins.interfaces import PipesContextLoader, PipesMessageWriter, PipesMessageWriterChannel, ServerPlugin
from standpipe.runtime import clock
from standpipe.runtime.text import LONGEST_REASON, text_of

if TYPE_CHECKING:
    from standpipe.plugins.dagster_types import PipesContextData, PipesMessage, PipesParams

_CLOSING_SECONDS = 60.0
_CLOSING_TRIES = 5

_log = logging.getLogger("standpipe.outbox")


class PipesBlobStoreMessageWriterChannel(PipesMessageWriterChannel):
    """Gathers messages and uploads them, one message a line, every `interval` seconds and at the end."""

    def __init__(self, *, interval: float = 10) -> None:
        self._interval = interval
        self._lines: list[str] = []
        self._chunk: tuple[str, ...] = ()
        self._counter = 1
        self._trouble = ""

    def write_message(self, message: PipesMessage) -> None:
        self._lines.append(json.dumps(message))

    @abstractmethod
    def upload_messages_chunk(self, payload: StringIO, index: int) -> None:
        """Uploads the chunk with this number, from 1 on."""

    @contextmanager
    def buffered_upload_loop(self) -> Generator[None]:
        """Uploads while the block runs, and the rest when it is left.

        That takes a minute at most, and no upload raises: what is not uploaded is logged.
        """
        ended = threading.Event()
        thread = threading.Thread(target=self._run, args=(ended,), name="standpipe-uploads", daemon=True)
        try:
            thread.start()
        except RuntimeError:
            # The process gets no further thread: then all is uploaded at the end.
            thread = None
        try:
            yield
        finally:
            ended.set()
            if thread is None:
                self._run(ended)
            else:
                thread.join(_CLOSING_SECONDS)
            if left := len(self._chunk) + len(self._lines):
                _log.warning(
                    "%d message%s not uploaded before the end: %s.",
                    left,
                    " was" if left == 1 else "s were",
                    self._trouble.rstrip("."),
                )

    def _run(self, ended: threading.Event) -> None:
        while not ended.wait(clock.bounded(self._interval)):
            self._upload()
        failures = 0
        while (self._chunk or self._lines) and failures < _CLOSING_TRIES:
            if failures:
                clock.sleep(backoff_delay(attempt=failures - 1, jitter=1.0))
            failures += not self._upload()

    def _upload(self) -> bool:
        """Whether the next chunk, if there is any, is uploaded. Called by one thread only."""
        if not self._chunk:
            count = len(self._lines)
            self._chunk = tuple(self._lines[:count])
            del self._lines[:count]
        if not self._chunk:
            return True
        self._trouble = "the upload is still under way"
        try:
            self.upload_messages_chunk(StringIO("\n".join(self._chunk)), self._counter)
        except Exception as error:
            self._trouble = f"{type(error).__name__}: {text_of(error, most=LONGEST_REASON)}"
            return False
        self._chunk = ()
        self._counter += 1
        return True


class PipesBufferedFilesystemMessageWriterChannel(PipesBlobStoreMessageWriterChannel):
    """Chunks as files `1.json`, `2.json` … in a folder."""

    def __init__(self, path: str, *, interval: float = 10) -> None:
        super().__init__(interval=interval)
        self._path = path

    def upload_messages_chunk(self, payload: StringIO, index: int) -> None:
        (Path(self._path) / f"{index}.json").write_text(payload.read(), encoding="utf-8")


ChannelT_co = TypeVar("ChannelT_co", bound=PipesBlobStoreMessageWriterChannel, covariant=True)


class PipesBlobStoreMessageWriter(PipesMessageWriter[ChannelT_co]):
    """A message writer with a channel that uploads chunks; a subclass gives its channel by `make_channel`."""

    def __init__(self, *, interval: float = 10) -> None:
        self.interval = interval

    @contextmanager
    def open(self, params: PipesParams) -> Generator[ChannelT_co]:
        channel = self.make_channel(params)
        with channel.buffered_upload_loop():
            yield channel

    @abstractmethod
    def make_channel(self, params: PipesParams) -> ChannelT_co:
        """The channel of these params."""


class _ClientLoader(ServerPlugin, PipesContextLoader):
    def __init__(self, client: object) -> None:
        self._client: Any = client

    @contextmanager
    def load_context(self, params: PipesParams) -> Generator[PipesContextData]:
        text = self._read(text_param(params, "bucket", self), text_param(params, "key", self))
        yield cast("PipesContextData", json.loads(text.decode("utf-8")))

    @abstractmethod
    def _read(self, bucket: str, key: str) -> bytes: ...


class _ClientChannel(PipesBlobStoreMessageWriterChannel):
    def __init__(self, client: object, bucket: str, key_prefix: str | None, *, interval: float = 10) -> None:
        super().__init__(interval=interval)
        self._client: Any = client
        self._bucket = bucket
        self._key_prefix = key_prefix

    def upload_messages_chunk(self, payload: StringIO, index: int) -> None:
        self._write(f"{self._key_prefix}/{index}.json" if self._key_prefix else f"{index}.json", payload.read())

    @abstractmethod
    def _write(self, key: str, text: str) -> None: ...


class _ClientWriter(ServerPlugin, PipesBlobStoreMessageWriter[_ClientChannel]):
    channel_class: type[_ClientChannel]

    def __init__(self, client: object, *, interval: float = 10) -> None:
        super().__init__(interval=interval)
        self._client = client

    def make_channel(self, params: PipesParams) -> _ClientChannel:
        bucket = text_param(params, "bucket", self)
        prefix = None if params.get("key_prefix") is None else text_param(params, "key_prefix", self)
        return self.channel_class(self._client, bucket, prefix, interval=self.interval)


class PipesS3ContextLoader(_ClientLoader):
    """The context from the server, or from a JSON file on S3; `client` is a `boto3.client("s3")`."""

    def _read(self, bucket: str, key: str) -> bytes:
        return self._client.get_object(Bucket=bucket, Key=key)["Body"].read()


class PipesS3MessageWriterChannel(_ClientChannel):
    """Chunks as objects on S3."""

    def _write(self, key: str, text: str) -> None:
        self._client.put_object(Body=text, Bucket=self._bucket, Key=key)


class PipesS3MessageWriter(_ClientWriter):
    """Messages to the server, or in chunks to S3; `client` is a `boto3.client("s3")`."""

    channel_class = PipesS3MessageWriterChannel


class PipesGCSContextLoader(_ClientLoader):
    """The context from the server, or from a JSON file on GCS; `client` is a `google.cloud.storage.Client`."""

    def _read(self, bucket: str, key: str) -> bytes:
        return self._client.get_bucket(bucket).blob(key).download_as_bytes()


class PipesGCSMessageWriterChannel(_ClientChannel):
    """Chunks as blobs on GCS."""

    def _write(self, key: str, text: str) -> None:
        self._client.get_bucket(self._bucket).blob(key).upload_from_string(text)


class PipesGCSMessageWriter(_ClientWriter):
    """Messages to the server, or in chunks to GCS; `client` is a `google.cloud.storage.Client`."""

    channel_class = PipesGCSMessageWriterChannel


class PipesAzureBlobStorageContextLoader(_ClientLoader):
    """The context from the server, or from a blob; `client` is an `azure.storage.blob.BlobServiceClient`."""

    def _read(self, bucket: str, key: str) -> bytes:
        with self._client.get_blob_client(bucket, key) as blob:
            return blob.download_blob().readall()


class PipesAzureBlobStorageMessageWriterChannel(_ClientChannel):
    """Chunks as blobs on Azure."""

    def _write(self, key: str, text: str) -> None:
        with self._client.get_blob_client(self._bucket, key) as blob:
            # It may have been stored already, without an answer.
            blob.upload_blob(text, overwrite=True)


class PipesAzureBlobStorageMessageWriter(_ClientWriter):
    """Messages to the server, or in chunks to blobs; `client` is an `azure.storage.blob.BlobServiceClient`."""

    channel_class = PipesAzureBlobStorageMessageWriterChannel


class PipesUnityCatalogVolumesContextLoader(ServerPlugin, PipesContextLoader):
    """The context from the server, or from the file `path` on a volume."""

    @contextmanager
    def load_context(self, params: PipesParams) -> Generator[PipesContextData]:
        yield json.loads(Path(self._path_of(params)).read_text(encoding="utf-8"))

    def _path_of(self, params: PipesParams) -> str:
        return text_param(params, "path", self)


class PipesUnityCatalogVolumesMessageWriter(
    ServerPlugin, PipesBlobStoreMessageWriter[PipesBufferedFilesystemMessageWriterChannel]
):
    """Messages to the server, or in chunks to the folder `path` on a volume."""

    def make_channel(self, params: PipesParams) -> PipesBufferedFilesystemMessageWriterChannel:
        return PipesBufferedFilesystemMessageWriterChannel(self._path_of(params), interval=self.interval)

    def _path_of(self, params: PipesParams) -> str:
        return text_param(params, "path", self)


class PipesDbfsContextLoader(PipesUnityCatalogVolumesContextLoader):
    """The context from the server, or from the file `path` on DBFS."""

    def _path_of(self, params: PipesParams) -> str:
        return str(PurePosixPath("/dbfs", super()._path_of(params).lstrip("/")))


class PipesDbfsMessageWriter(PipesUnityCatalogVolumesMessageWriter):
    """Messages to the server, or in chunks to the folder `path` on DBFS."""

    def _path_of(self, params: PipesParams) -> str:
        return str(PurePosixPath("/dbfs", super()._path_of(params).lstrip("/")))
