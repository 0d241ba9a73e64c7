"""Redis killed, stopped, slow or unreachable: nobody fails, nobody waits long, all recovers."""

from __future__ import annotations

import asyncio
import time

import pytest
import redis

from event_loop import PATIENCE_S, answer_at_once, own_prefix, run, until
from perflab.cache.redis import RedisTier
from perflab.cache.redis.keys import Keys
from perflab.services import Redis
from perflab.services.proxy import Proxy
from redis_outages import FOR_EVER_S, kill, stopped, through

from .redis_support import entry, store

RECOVERY_S = 5.0
"""What the tier promises."""


@pytest.fixture
def prefix() -> str:
    return own_prefix()


async def until_open(tier: RedisTier) -> None:
    """Ask until the breaker opens."""
    async with asyncio.timeout(PATIENCE_S):
        while tier.available:
            await tier.get("k")


@pytest.mark.serial
def test_killed_under_load_no_request_fails_and_it_recovers_in_time(
    server: Redis, prefix: str
) -> None:
    async def request(tier: RedisTier, key: str) -> object:
        """What a service does: the cache, else the loader."""
        found = await tier.get(key)
        if found.entry is not None:
            return found.entry.value
        lease = await tier.lease(key)
        if lease is not None:
            await tier.fill(lease, entry(key))
        return key

    async def scenario() -> None:
        async with RedisTier(server.url(), prefix=prefix, budget_s=0.1) as tier:
            await tier.ping()
            over = asyncio.Event()
            served = 0

            async def serve(worker: int) -> None:
                nonlocal served
                while not over.is_set():
                    key = f"key:{(served + worker) % 50}"
                    assert await request(tier, key) == key
                    served += 1
                    await asyncio.sleep(0)

            workers = [asyncio.create_task(serve(worker)) for worker in range(20)]
            await until(lambda: tier.stats().hits > 100)
            kill(server)
            await until(lambda: not tier.available)
            so_far = served
            await until(lambda: served > so_far + 1_000)
            assert tier.stats().hits + tier.stats().misses < served
            await asyncio.to_thread(server.restart)
            back_at = time.monotonic()
            hits = tier.stats().hits
            await until(lambda: tier.stats().hits > hits)
            assert time.monotonic() - back_at <= RECOVERY_S
            over.set()
            await asyncio.gather(*workers)
            stats = tier.stats()
            assert stats.gets == stats.hits + stats.stale + stats.misses + stats.unavailable
            assert stats.unavailable > 1_000
            assert stats.breaker_opened == 1

    run(scenario())


def test_a_stopped_server_costs_the_budget_and_then_nothing(server: Redis, prefix: str) -> None:
    async def scenario() -> None:
        async with RedisTier(
            server.url(), prefix=prefix, budget_s=0.05, timeout_s=FOR_EVER_S, failures=3
        ) as tier:
            await tier.ping()
            await store(tier, "k", "kept")
            with stopped(server):
                assert (await tier.get("k")).state == "unavailable"
                assert await tier.lease("other") is None
                assert (await tier.get("k")).state == "unavailable"
                assert not tier.available
                assert tier.stats().slow == 3
                assert answer_at_once(tier.get("k")).state == "unavailable"
                assert answer_at_once(tier.lease("k")) is None
                assert answer_at_once(tier.wait("k", FOR_EVER_S)) is False
                assert answer_at_once(tier.invalidate(keys=["k"])) is False

    run(scenario())


@pytest.mark.serial
def test_a_server_that_goes_on_after_a_stop_is_used_again_with_what_it_holds(
    server: Redis, prefix: str
) -> None:
    async def scenario() -> None:
        async with RedisTier(server.url(), prefix=prefix, budget_s=0.1) as tier:
            await store(tier, "k", "kept")
            with stopped(server):
                await until_open(tier)
            back_at = time.monotonic()
            await until(lambda: tier.available)
            assert time.monotonic() - back_at <= RECOVERY_S
            assert (await tier.get("k")).state == "hit"

    run(scenario())


def test_a_slow_server_is_left_alone_until_it_is_fast_again(
    server: Redis, proxy: Proxy, prefix: str
) -> None:
    async def scenario() -> None:
        async with RedisTier(
            through(proxy, server), prefix=prefix, budget_s=0.1, timeout_s=PATIENCE_S, probe_s=0.1
        ) as tier:
            await tier.ping()
            proxy.latency_s = 0.3
            await until_open(tier)
            reads = tier.stats().read_batches
            await until(lambda: tier.stats().read_batches > reads)  # probed, and found too slow
            assert not tier.available
            proxy.latency_s = 0.0
            await until(lambda: tier.available)
            await store(tier, "k", 1)

    run(scenario())


def test_a_lease_whose_answer_came_too_late_holds_up_nobody(
    server: Redis, proxy: Proxy, prefix: str
) -> None:
    async def scenario() -> None:
        async with RedisTier(through(proxy, server), prefix=prefix, budget_s=0.2) as tier:
            await tier.ping()
            assert await tier.lease("other") is not None  # the server knows the scripts now
            proxy.latency_s = 0.3
            assert await tier.lease("k", ttl_s=FOR_EVER_S) is None
            name = Keys(prefix).lease("k")
            with redis.Redis.from_url(server.url()) as direct:
                await until(lambda: direct.exists(name))
                await until(lambda: not direct.exists(name))

    run(scenario())


def test_a_restart_between_two_calls_costs_a_miss_and_no_failure(
    server: Redis, prefix: str
) -> None:
    async def scenario() -> None:
        async with RedisTier(server.url(), prefix=prefix, budget_s=PATIENCE_S) as tier:
            await store(tier, "k", 1)
            begun = await tier.lease("begun")
            assert begun is not None
            await asyncio.to_thread(server.restart)
            assert (await tier.get("k")).state == "miss"
            assert not await tier.fill(begun, entry("loaded before"))
            await store(tier, "k", 2)
            assert (await tier.get("k")).state == "hit"
            assert await tier.invalidate(keys=["k"])
            assert tier.stats().errors == tier.stats().slow == 0

    run(scenario())


def test_a_purge_during_an_outage_says_that_it_was_not_done(
    server: Redis, proxy: Proxy, prefix: str
) -> None:
    async def scenario() -> None:
        async with RedisTier(
            through(proxy, server), prefix=prefix, budget_s=0.5, purge_timeout_s=0.2, probe_s=0.1
        ) as tier:
            await store(tier, "k", 1)
            await asyncio.to_thread(proxy.stall)
            assert not await tier.invalidate(keys=["k"])
            await asyncio.to_thread(proxy.cut)
            await asyncio.to_thread(proxy.refuse)
            assert not await tier.invalidate(keys=["k"])
            assert tier.stats().invalidations_failed == 2
            await asyncio.to_thread(proxy.resume)
            await until(lambda: tier.available)
            assert await tier.invalidate(keys=["k"])
            assert (await tier.get("k")).state == "miss"

    run(scenario())


def test_a_tier_that_was_there_before_its_server_uses_it_once_it_is_up(
    server: Redis, proxy: Proxy, prefix: str
) -> None:
    async def scenario() -> None:
        await asyncio.to_thread(proxy.refuse)
        async with RedisTier(
            through(proxy, server), prefix=prefix, budget_s=0.5, probe_s=0.1
        ) as tier:
            heard: list[object] = []
            tier.listen(heard.append)
            await until_open(tier)
            await asyncio.to_thread(proxy.resume)
            await until(lambda: tier.available and tier.connected)
            await store(tier, "k", 1)
            assert (await tier.get("k")).state == "hit"

    run(scenario())


def test_no_connection_is_tried_for_callers_while_the_breaker_is_open(
    server: Redis, proxy: Proxy, prefix: str
) -> None:
    async def scenario() -> None:
        async with RedisTier(
            through(proxy, server), prefix=prefix, budget_s=0.5, probe_s=FOR_EVER_S
        ) as tier:
            await asyncio.to_thread(proxy.refuse)
            await until_open(tier)
            sent = tier.stats().read_batches
            await asyncio.to_thread(proxy.resume)
            for _ in range(1_000):
                assert (await tier.get("k")).state == "unavailable"
            assert tier.stats().read_batches == sent
            assert await asyncio.to_thread(lambda: proxy.connections) == 0

    run(scenario())


def test_closing_in_the_middle_of_an_outage_leaves_nothing_behind(
    server: Redis, prefix: str
) -> None:
    async def scenario() -> None:
        tier = RedisTier(server.url(), prefix=prefix, budget_s=FOR_EVER_S, timeout_s=FOR_EVER_S)
        tier.listen(lambda _: None)
        await tier.ping()
        with stopped(server):
            calls = [asyncio.create_task(tier.get(str(n))) for n in range(20)]
            waiting = asyncio.create_task(tier.wait("k", FOR_EVER_S))
            await asyncio.sleep(0.05)
            await tier.close()
            found = await asyncio.gather(*calls)
            assert {one.state for one in found} == {"unavailable"}
            assert await waiting is False
            assert answer_at_once(tier.get("k")).state == "unavailable"
            await tier.close()

    run(scenario())
