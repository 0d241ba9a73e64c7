"""What belongs to one event loop and is used in a second one: one clear error, no hanging."""

from __future__ import annotations

import asyncio
import itertools
import threading
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from event_loop import PATIENCE_S, own_prefix, run
from perflab.cache import CacheError, CachePolicy, Entry, MemoryTier, RedisTier, TieredCache
from perflab.cache.edge import RedisTagIndex
from perflab.cache.entry import Lease
from perflab.errors import PerflabError
from perflab.own_loop import OwnLoop
from perflab.ratelimit import RateLimiter, RateLimitError, Subject
from perflab.realtime import ChannelLog, RealtimeError
from perflab.realtime.client import ClientPool, RealtimeClient
from perflab.realtime.hub import Hub
from perflab.services import Redis

Calls = dict[str, Callable[[], Awaitable[object]]]

POLICY = CachePolicy(name="lasting", ttl_s=60.0, early_refresh=False)
LEASE = Lease("k", "token", (), (), 0.0)
SOMEONE = Subject.user(7)
NUMBERS = itertools.count()


def new_key() -> str:
    """One that memory does not hold."""
    return f"k{next(NUMBERS)}"


async def load() -> str:
    return "value"


def tier_of(url: str) -> RedisTier:
    return RedisTier(url, prefix=own_prefix(), budget_s=PATIENCE_S, timeout_s=PATIENCE_S)


def of_tier(url: str) -> Calls:
    tier = tier_of(url)

    async def listen() -> None:
        tier.listen(print)

    return {
        "get": lambda: tier.get("k"),
        "lease": lambda: tier.lease("k"),
        "fill": lambda: tier.fill(LEASE, Entry(1, 0.0, 0.0, 0.0)),
        "release": lambda: tier.release(LEASE),
        "wait": lambda: tier.wait("k", 0.0),
        "invalidate": lambda: tier.invalidate(keys=["k"]),
        "listen": listen,
        "ping": tier.ping,
        "check_capacity": tier.check_capacity,
        "configure_capacity": lambda: tier.configure_capacity(1),
        "close": tier.close,
    }


def of_cache(url: str) -> Calls:
    tier = tier_of(url)
    cache = TieredCache(MemoryTier(), tier)

    async def close() -> None:
        await cache.close()
        await tier.close()

    return {
        "get_or_load": lambda: cache.get_or_load(new_key(), load, POLICY),
        "trace": lambda: cache.trace("another", load, POLICY),
        "prefetch": lambda: cache.prefetch("k", load, POLICY),
        "invalidate": lambda: cache.invalidate(everything=True),
        "enter": cache.__aenter__,
        "close": close,
    }


def of_memory(url: str) -> Calls:
    cache = TieredCache(MemoryTier())
    return {"get_or_load": lambda: cache.get_or_load(new_key(), load, POLICY), "close": cache.close}


def of_limiter(url: str) -> Calls:
    limiter = RateLimiter(url, prefix=own_prefix(), budget_s=PATIENCE_S)
    return {
        "check": lambda: limiter.check("api", SOMEONE),
        "reset": lambda: limiter.reset("api", SOMEONE),
        "ping": limiter.ping,
        "close": limiter.close,
    }


def of_log(url: str) -> Calls:
    log = ChannelLog(url, prefix=own_prefix(), budget_s=PATIENCE_S)
    return {
        "publish": lambda: log.publish("news", b"1"),
        "read": lambda: log.read("news"),
        "close": log.close,
    }


def of_index(url: str) -> Calls:
    index = RedisTagIndex(url, prefix=own_prefix(), timeout_s=PATIENCE_S)
    return {
        "add": lambda: index.add("host/", ["tag"], 1.0),
        "urls": lambda: index.urls(["tag"]),
        "close": index.close,
    }


MAKERS: tuple[tuple[Callable[[str], Calls], str, type[PerflabError]], ...] = (
    (of_tier, "RedisTier", CacheError),
    (of_cache, "TieredCache", CacheError),
    (of_memory, "TieredCache", CacheError),
    (of_limiter, "RateLimiter", RateLimitError),
    (of_log, "ChannelLog", RealtimeError),
    (of_index, "RedisTagIndex", CacheError),
)


async def refused(calls: Calls, what: str, error: type[PerflabError]) -> None:
    for name, call in calls.items():
        with pytest.raises(error, match=f"this {what} belongs to another event loop") as caught:
            async with asyncio.timeout(PATIENCE_S):
                await call()
        assert "make one for each event loop" in str(caught.value), name


@pytest.mark.parametrize(("make", "what", "error"), MAKERS)
def test_a_second_loop_is_told_that_an_object_belongs_to_the_first(
    redis_server: Redis, make: Callable[[str], Calls], what: str, error: type[PerflabError]
) -> None:
    calls = make(redis_server.url())
    first, *_ = calls.values()

    async def there_and_elsewhere() -> None:
        await first()
        await asyncio.to_thread(lambda: asyncio.run(refused(calls, what, error)))
        await first()  # nothing came of it
        await calls["close"]()

    run(there_and_elsewhere())
    run(refused(calls, what, error))  # the first loop is closed by now


def test_a_limiter_within_the_process_serves_any_loop() -> None:
    limiter = RateLimiter(None)
    for _ in range(2):
        assert run(limiter.check("api", SOMEONE)).allowed
    run(limiter.close())


def test_memory_answers_without_asking_which_loop_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        async with TieredCache(MemoryTier()) as cache:
            await cache.get_or_load("k", load, POLICY)
            asked: list[OwnLoop] = []
            monkeypatch.setattr(OwnLoop, "check", asked.append)
            assert await cache.get_or_load("k", load, POLICY) == "value"
            assert asked == []
            monkeypatch.undo()

    run(scenario())


def test_clients_and_hubs_say_where_they_are_to_be_made() -> None:
    async def nobody(token: str | None) -> str | None:
        return None

    makers: tuple[tuple[str, Callable[[], Any]], ...] = (
        ("RealtimeClient", lambda: RealtimeClient(["ws://localhost"])),
        ("RealtimeClient", lambda: ClientPool(["ws://localhost"])),
        ("Hub", lambda: Hub("redis://localhost", nobody)),
    )
    for what, make in makers:
        with pytest.raises(RealtimeError, match=f"a {what} needs an event loop"):
            make()

        async def made(make: Callable[[], Any] = make) -> Any:
            return make()

        elsewhere = run(made())

        async def opened(elsewhere: Any = elsewhere, what: str = what) -> None:
            with pytest.raises(RealtimeError, match=f"this {what} belongs to another event loop"):
                await elsewhere.__aenter__()

        run(opened())


def test_a_client_of_another_thread_is_refused_and_goes_on() -> None:
    async def scenario() -> None:
        async with RealtimeClient(["ws://localhost:1"]) as client:
            said: list[str] = []

            async def use() -> None:
                for call in (
                    client.publish("news", 1),
                    client.subscribe("news"),
                    client.unsubscribe("news"),
                ):
                    with pytest.raises(RealtimeError, match="another event loop") as caught:
                        await call
                    said.append(str(caught.value))

            thread = threading.Thread(target=lambda: asyncio.run(use()))
            thread.start()
            await asyncio.to_thread(thread.join)
            assert len(said) == 3

    run(scenario())


def test_a_client_is_opened_once() -> None:
    async def scenario() -> None:
        client = RealtimeClient(["ws://localhost:1"])
        async with client:
            pass
        with pytest.raises(RealtimeError, match="opened once; make another one"):
            await client.__aenter__()
        assert client.state == "closed"

    run(scenario())
