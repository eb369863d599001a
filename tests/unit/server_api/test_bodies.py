"""Decompression: whatever was compressed in whatever pieces comes out the same, and never more than the limit."""

from __future__ import annotations

import asyncio
import gzip
import zlib
from concurrent.futures import ThreadPoolExecutor

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.types import Message

from standpipe_protocol.limits import Limits
from standpipe_server.api.http.bodies import Bodies, BodyBudget, gunzip, unzstd
from standpipe_server.api.http.exchange import Exchange
from standpipe_server.broker.messages.splitting import Refused

pytestmark = pytest.mark.anyio
pieces = st.lists(st.one_of(st.binary(max_size=400), st.integers(1, 300_000).map(bytes)), min_size=1, max_size=4)
zstd = zstandard.ZstdCompressor()


@settings(max_examples=60, deadline=None)
@given(pieces)
def test_gzip_members_come_out_as_one(parts: list[bytes]) -> None:
    whole = b"".join(parts)
    body = b"".join(gzip.compress(part, 1) for part in parts)
    assert gunzip(body, len(whole)) == whole
    if whole:
        with pytest.raises(Refused) as refused:
            gunzip(body, len(whole) - 1)
        assert refused.value.problem.name == "too-large"


@settings(max_examples=60, deadline=None)
@given(pieces)
def test_zstd_frames_come_out_as_one(parts: list[bytes]) -> None:
    whole = b"".join(parts)
    body = b"".join(zstd.compress(part) for part in parts)
    assert unzstd(body, len(whole)) == whole
    if whole:
        with pytest.raises(Refused) as refused:
            unzstd(body, len(whole) - 1)
        assert refused.value.problem.name == "too-large"


@settings(max_examples=100, deadline=None)
@given(st.binary(min_size=1, max_size=300), st.data())
def test_a_cut_off_body_never_passes_for_a_whole_one(whole: bytes, data: st.DataObject) -> None:
    for compress, decompress in ((zlib_gzip, gunzip), (zstd.compress, unzstd)):
        body = compress(whole)
        cut = data.draw(st.integers(1, len(body) - 1))
        with pytest.raises(Refused) as refused:
            decompress(body[:cut], 1_000_000)
        assert refused.value.problem.name == "malformed"


def test_a_bomb_is_stopped_long_before_it_is_unpacked() -> None:
    bomb = zstd.compress(bytes(200_000_000))
    with pytest.raises(Refused):
        unzstd(bomb, 1_000)


async def test_a_body_of_which_nothing_comes_is_not_waited_for_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    async def receive() -> Message:
        await asyncio.Event().wait()
        raise AssertionError

    async def send(message: Message) -> None:
        raise AssertionError(message)

    monkeypatch.setattr("standpipe_server.api.http.bodies._SILENCE_SECONDS", 0.01)
    with ThreadPoolExecutor(1) as executor:
        bodies = Bodies(limits=Limits(), executor=executor, budget=BodyBudget(1))
        with pytest.raises(Refused, match="did not go on"):
            await bodies.read(Exchange({"headers": [], "method": "POST", "path": "/"}, receive, send))


def zlib_gzip(data: bytes) -> bytes:
    compressor = zlib.compressobj(wbits=31)
    return compressor.compress(data) + compressor.flush()
