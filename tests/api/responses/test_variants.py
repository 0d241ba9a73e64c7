"""Compressed bodies are made once, whoever asks, and a store's failure costs no response."""

from __future__ import annotations

import asyncio
import hashlib
import threading
from collections.abc import Awaitable, Callable

import pytest

from perflab.api.responses import (
    Coding,
    MemoryVariants,
    Responder,
    ResponseError,
    VariantStore,
    content_hash,
)
from perflab.api.responses.responder import APART_BYTES, HASHED_APART_BYTES
from perflab.cache import CacheError

from .support import BODY, GZIP, NOW, ZSTD, decoded, page, run

Make = Callable[[], Awaitable[bytes]]


class Counting:
    """A coding that counts, and says in which thread."""

    def __init__(self) -> None:
        self.calls = 0
        self.threads: set[int] = set()
        self.coding = Coding("gzip", GZIP.version, self._compress)

    def _compress(self, body: bytes) -> bytes:
        self.calls += 1
        self.threads.add(threading.get_ident())
        return GZIP.compress(body)


def responder(counting: Counting, store: VariantStore | None = None) -> Responder:
    return Responder([ZSTD, counting.coding], store=store, clock=lambda: NOW)


REQUEST = {"accept-encoding": "gzip"}


def test_the_same_body_is_compressed_once_in_memory() -> None:
    async def scenario() -> None:
        counting = Counting()
        own = responder(counting)
        one = await own.respond(REQUEST, "GET", page())
        two = await own.respond(REQUEST, "GET", page(etag='"other"', status=404))
        assert one.body == two.body
        assert counting.calls == 1
        await own.respond(REQUEST, "GET", page(body=BODY + b" "))
        await own.respond({"accept-encoding": "zstd"}, "GET", page())
        assert counting.calls == 2

    run(scenario)


def test_large_bodies_are_compressed_apart_and_once_for_all_who_wait() -> None:
    async def scenario() -> None:
        for size in (APART_BYTES, HASHED_APART_BYTES):
            counting = Counting()
            store = MemoryVariants()
            own = responder(counting, store)
            body = (BODY * 200)[:size]
            many = [own.respond(REQUEST, "GET", page(body=body)) for _ in range(20)]
            responses = await asyncio.gather(*many)
            assert all(decoded(one) == body for one in responses)
            assert counting.calls == 1
            assert threading.get_ident() not in counting.threads
            stats = store.stats()
            assert (stats.made, stats.joined + stats.hits) == (1, 19)
            assert responses[0].field("etag") == f'"{content_hash(body)}-{GZIP.tag}"'

    run(scenario)


def test_a_304_for_the_coded_tag_compresses_nothing() -> None:
    async def scenario() -> None:
        counting = Counting()
        own = responder(counting)
        tag = f'"{content_hash(BODY)}-{GZIP.tag}"'
        response = await own.respond(REQUEST | {"if-none-match": tag}, "GET", page())
        assert (response.status, response.field("etag")) == (304, tag)
        assert counting.calls == 0

    run(scenario)


def test_who_gives_up_leaves_the_work_to_the_others() -> None:
    async def scenario() -> None:
        store = MemoryVariants()
        go, makes = asyncio.Event(), 0

        async def make() -> bytes:
            nonlocal makes
            makes += 1
            await go.wait()
            return b"coded"

        first = asyncio.create_task(store.get("k", make))
        second = asyncio.create_task(store.get("k", make))
        await asyncio.sleep(0)
        first.cancel()
        await asyncio.sleep(0)
        go.set()
        assert await second == b"coded"
        assert makes == 1
        with pytest.raises(asyncio.CancelledError):
            await first

    run(scenario)


def test_a_failure_reaches_all_who_wait_and_is_not_kept() -> None:
    async def scenario() -> None:
        store = MemoryVariants()

        async def fails() -> bytes:
            await asyncio.sleep(0)
            raise ZeroDivisionError

        both = await asyncio.gather(
            store.get("k", fails), store.get("k", fails), return_exceptions=True
        )
        assert [type(one) for one in both] == [ZeroDivisionError] * 2

        async def works() -> bytes:
            return b"coded"

        assert await store.get("k", works) == b"coded"

    run(scenario)


def test_memory_stays_within_its_budget() -> None:
    async def scenario() -> None:
        store = MemoryVariants(max_bytes=1000)
        for n in range(100):

            async def make(n: int = n) -> bytes:
                return hashlib.sha256(bytes([n])).digest() * (n % 5)

            assert await store.get(f"k{n}", make) == hashlib.sha256(bytes([n])).digest() * (n % 5)
            assert store.stats().size_bytes <= 1000
        assert store.stats().evictions > 0

        async def huge() -> bytes:
            return bytes(2000)

        assert len(await store.get("huge", huge)) == 2000
        assert store.stats().size_bytes <= 1000

    run(scenario)
    with pytest.raises(ResponseError, match="max_bytes=0"):
        MemoryVariants(0)


class Broken:
    async def get(self, key: str, make: Make) -> bytes:
        raise CacheError("the cache is closed")


def test_a_store_that_fails_costs_no_response(caplog: pytest.LogCaptureFixture) -> None:
    async def scenario() -> None:
        counting = Counting()
        own = responder(counting, Broken())
        assert decoded(await own.respond(REQUEST, "GET", page())) == BODY
        assert (counting.calls, own.stats().store_failures) == (1, 1)

    run(scenario)
    assert "the cache is closed" in caplog.text


def test_figures_of_a_responder() -> None:
    async def scenario() -> None:
        own = Responder([GZIP], clock=lambda: NOW)
        coded = await own.respond(REQUEST, "GET", page())
        await own.respond(REQUEST, "HEAD", page())
        await own.respond({}, "GET", page())
        await own.respond({"if-none-match": "*"}, "GET", page())
        await own.respond({"accept-encoding": "*;q=0"}, "GET", page())
        stats = own.stats()
        assert (stats.responses, stats.coded, stats.not_modified, stats.refused) == (5, 2, 1, 1)
        assert (stats.plain_bytes, stats.coded_bytes) == (len(BODY), len(coded.body))

    run(scenario)
