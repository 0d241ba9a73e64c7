"""What a Redis URL may be: a socket's too, and nothing of which a part would be overlooked."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import redis

from event_loop import PATIENCE_S, own_prefix, run
from perflab.cache import (
    CacheError,
    CachePolicy,
    MemoryTier,
    RedisTier,
    RedisUnavailable,
    TieredCache,
)
from perflab.cache.edge import RedisTagIndex
from perflab.errors import PerflabError
from perflab.ratelimit import RateLimiter, RateLimitError, RateLimitUnavailable, Subject
from perflab.realtime import ChannelLog, ChannelsUnavailable, RealtimeError
from perflab.realtime.waiting import Waiting
from perflab.redis_link import open_link
from perflab.services import Redis


async def pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await source.read(65_536):
            sink.write(data)
            await sink.drain()
    sink.close()


@asynccontextmanager
async def socket_before(url: str, path: Path) -> AsyncIterator[str]:
    """The URL of a Unix socket that leads to a server."""
    given = redis.Redis.from_url(url).connection_pool.connection_kwargs
    relays: set[asyncio.Task[None]] = set()

    async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        relays.add(task)
        to_server = await asyncio.open_connection(given["host"], given["port"])
        await asyncio.gather(pump(reader, to_server[1]), pump(to_server[0], writer))

    server = await asyncio.start_unix_server(relay, path)
    login = f":{given['password']}@" if given.get("password") else ""
    try:
        yield f"unix://{login}{path}?db={given.get('db', 0)}"
    finally:
        server.close()
        await asyncio.wait_for(asyncio.gather(*relays, return_exceptions=True), PATIENCE_S)


def test_every_user_of_redis_takes_the_url_of_a_unix_socket(
    redis_server: Redis, tmp_path: Path
) -> None:
    async def scenario() -> None:
        async with socket_before(redis_server.url(), tmp_path / "redis") as url:
            async with RedisTier(url, prefix=own_prefix()) as tier:
                assert repr(tier) == f"<RedisTier at {tmp_path / 'redis'}>"
                await tier.ping()
            async with RateLimiter(url, prefix=own_prefix()) as limiter:
                await limiter.reset("api", Subject.user(1))
            log = ChannelLog(url, prefix=own_prefix(), budget_s=PATIENCE_S)
            async with log, Waiting(log, url) as waiting:
                start = await log.read("news")
                polled = asyncio.ensure_future(
                    waiting.read("news", start.position, PATIENCE_S),
                )
                await log.publish("news", json.dumps("first").encode())
                assert [one.data for one in (await polled).messages] == [b'"first"']

    run(scenario())


UNUSABLE = (
    "redis://:secret@host:port/0",
    "redis://:secret@host:99999",
    "redis://:secret@[::1",
    "redis://:secret@host:6379/zero",  # redis-py would take database 0
    "redis://:secret@host/0/1",  # and here database 1
    "redis://:secret@host/0#part",
    "redis://:secret@host?surprise=1",
    "redis://host?socket_timeout=secret",
    "redis:/secret",  # and here localhost
    "unix://secret/redis.sock",  # and here /redis.sock
    "unix:///secret.sock?db=one",
    "unix://",
    "http://:secret@host",
    "secret",
    "",
    None,
    b"redis://:secret@host",
)

MAKERS: tuple[tuple[Callable[[Any], object], type[PerflabError]], ...] = (
    (RedisTier, CacheError),
    (ChannelLog, RealtimeError),
    (RateLimiter, RateLimitError),
)


@pytest.mark.parametrize("url", UNUSABLE)
def test_a_url_that_cannot_be_used_is_refused_at_once_and_not_repeated(url: Any) -> None:
    for make, error in MAKERS:
        if url is None and make is RateLimiter:
            continue  # a limiter within the process
        with pytest.raises(error, match="the Redis URL cannot be used; its form is") as caught:
            make(url)
        assert "secret" not in str(caught.value)


@pytest.mark.parametrize("url", ["redis://host:7000/1", "unix:///redis.sock"])
def test_a_cluster_has_neither_databases_nor_sockets(url: str) -> None:
    with pytest.raises(PerflabError, match="no db for a cluster"):
        open_link(url, cluster=True, timeout_s=1.0)


@pytest.mark.parametrize(
    ("url", "where"),
    [
        ("redis://", "localhost:6379"),
        ("redis://user:word@host:7000/3", "host:7000"),
        ("rediss://host", "host:6379"),
        ("redis://host?db=4", "host:6379"),
        ("unix://user:word@/run/redis.sock?db=2", "/run/redis.sock"),
    ],
)
def test_what_redis_py_takes_is_taken(url: str, where: str) -> None:
    assert open_link(url, cluster=False, timeout_s=1.0).where == where


def test_what_was_closed_does_not_connect_again(redis_server: Redis) -> None:
    url = redis_server.url()

    async def scenario() -> None:
        tier = RedisTier(url, prefix=own_prefix())
        limiter = RateLimiter(url, prefix=own_prefix())
        log = ChannelLog(url, prefix=own_prefix())
        index = RedisTagIndex(url, prefix=own_prefix())
        for opened in (tier, limiter, log, index):
            await opened.close()
            await opened.close()
        closed = "the connections were closed; open them anew"
        with pytest.raises(RedisUnavailable, match=closed):
            await tier.ping()
        with pytest.raises(RedisUnavailable, match=closed):
            await tier.check_capacity()
        with pytest.raises(RateLimitUnavailable, match=closed):
            await limiter.ping()
        with pytest.raises(RateLimitUnavailable, match=closed):
            await limiter.reset("api", Subject.user(1))
        with pytest.raises(ChannelsUnavailable):
            await log.publish("news", b"1")
        assert not await index.add("host/", ["tag"], 1.0)
        tier.listen(print)
        async with TieredCache(MemoryTier(), tier) as cache:
            policy = CachePolicy(name="plain", ttl_s=1.0)
            assert await cache.get_or_load("k", lambda: "value", policy) == "value"
        assert not tier.connected
        # ``run`` fails where a task is left

    run(scenario())
