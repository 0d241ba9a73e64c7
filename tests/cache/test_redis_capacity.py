from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator
from typing import Any

import pytest
import redis

from event_loop import own_prefix, run
from perflab.cache.entry import CacheError
from perflab.cache.redis import Capacity, RedisUnavailable, bytes_for
from perflab.services import Services

from .redis_support import open_tier, store


@pytest.fixture
def server(own_services: Services) -> Iterator[Any]:
    own_services.redis.restart()
    with redis.Redis.from_url(own_services.redis.url()) as client:
        yield client


def test_an_unbounded_server_is_called_one(own_services: Services, server: Any) -> None:
    async def scenario() -> Capacity:
        async with open_tier(own_services.redis.url()) as tier:
            await store(tier, "k", 1)
            return await tier.check_capacity()

    found = run(scenario())
    assert found.max_bytes == 0
    assert found.keys == server.dbsize()
    assert found.used_bytes > 0
    assert [problem.split(":")[0] for problem in found.problems] == [
        "maxmemory is 0",
        "maxmemory-policy is noeviction",
    ]


def test_the_estimate_holds_100_thousand_entries_without_evicting_and_is_not_lavish(
    own_services: Services, server: Any
) -> None:
    prefix = own_prefix()
    entries, size = 20_000, 224
    empty = server.info("memory")["used_memory"]
    value = bytes(size)
    with server.pipeline(transaction=False) as pipe:
        for number in range(entries):
            pipe.set(f"{prefix}v{{:user:{number:050d}}}", value, px=3_600_000)
        pipe.execute()
    used = server.info("memory")["used_memory"] - empty
    assert used <= bytes_for(entries, size) <= 2 * used
    assert bytes_for(100_000, size) == 5 * bytes_for(entries, size)


def test_a_full_server_makes_room_and_goes_on(own_services: Services, server: Any) -> None:
    noise = random.Random(1)  # noqa: S311

    async def scenario() -> None:
        async with open_tier(own_services.redis.url()) as tier:
            await store(tier, "first", "x")
            limit = server.info("memory")["used_memory"] + 2 * 2**20
            found = await tier.configure_capacity(limit, "allkeys-lru")
            assert found.problems == ()
            assert (found.max_bytes, found.policy) == (limit, "allkeys-lru")
            for number in range(3_000):
                await store(tier, str(number), noise.randbytes(2_000))
            assert (await tier.get("2999")).state == "hit"
            assert (await tier.check_capacity()).evicted > 0
            assert (await tier.check_capacity()).used_bytes < 1.2 * limit

    run(scenario())


def test_a_full_server_that_may_not_evict_refuses_fills_and_still_serves(
    own_services: Services, server: Any
) -> None:
    async def scenario() -> None:
        async with open_tier(own_services.redis.url(), probe_s=0.5) as tier:
            await store(tier, "k", "kept")
            server.config_set("maxmemory", 1)
            assert await tier.lease("other") is None
            assert tier.stats().errors > 0
            assert (await tier.get("k")).state == "hit"
            assert tier.available
            assert not await tier.wait("other", 60), "there is nobody to wait for"
            server.config_set("maxmemory", 0)
            async with asyncio.timeout(60):
                while await tier.lease("other") is None:
                    await asyncio.sleep(0.01)

    run(scenario())


def test_the_capacity_of_a_cluster_is_that_of_its_nodes() -> None:
    async def scenario() -> None:
        async with open_tier("redis://127.0.0.1:1", cluster=True) as tier:
            with pytest.raises(CacheError, match="give the URL of one node, without cluster"):
                await tier.check_capacity()
            with pytest.raises(CacheError, match="give the URL of one node, without cluster"):
                await tier.configure_capacity(2**30)

    run(scenario())


def test_what_is_not_possible_is_refused(own_services: Services, server: Any) -> None:
    server.config_set("maxmemory", 0)

    async def scenario() -> None:
        async with open_tier(own_services.redis.url()) as tier:
            with pytest.raises(CacheError, match="unknown eviction policy 'lru'; known are no"):
                await tier.configure_capacity(2**30, "lru")  # type: ignore[arg-type]
            with pytest.raises(CacheError, match="max_bytes must be positive, not 0"):
                await tier.configure_capacity(0)
        async with open_tier("redis://:s3cret@127.0.0.1:1") as tier:
            with pytest.raises(RedisUnavailable, match=r"Redis at 127\.0\.0\.1:1 does not") as why:
                await tier.check_capacity()
            assert "s3cret" not in str(why.value)

    run(scenario())
