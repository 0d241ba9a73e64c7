"""Redis killed, stopped, slow, read-only or unreachable: each policy's way, and recovery."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest
import redis

from event_loop import PATIENCE_S, answer_at_once, own_prefix, run, until
from perflab.ratelimit import Charge, Policy, RateLimiter, RateLimitUnavailable, Subject
from perflab.services import Redis
from perflab.services.proxy import Proxy
from redis_outages import FOR_EVER_S, kill, stopped, through

from .support import DAY_S, someone

RECOVERY_S = 5.0
"""What the limiter promises."""

CLOSED = Policy(name="closed", limit=3, period_s=DAY_S, on_outage="closed")
OPEN = Policy(name="open", limit=3, period_s=DAY_S, on_outage="open")
LOCAL = Policy(name="local", limit=3, period_s=DAY_S, on_outage="local")
SHADOW = Policy(name="shadow", limit=3, period_s=DAY_S, on_outage="closed", shadow=True)
POLICIES = (CLOSED, OPEN, LOCAL, SHADOW)


def limiter_of(url: str, **options: Any) -> RateLimiter:
    return RateLimiter(url, POLICIES, prefix=own_prefix(), **options)


async def until_open(limiter: RateLimiter) -> None:
    """Ask until the breaker opens."""
    async with asyncio.timeout(PATIENCE_S):
        while limiter.available:
            await limiter.check("open", someone())


def refusals(direct: Any) -> int:
    """Script calls that the server answered with an error."""
    return int(direct.info("commandstats")["cmdstat_evalsha"]["failed_calls"])


def test_each_policy_decides_an_outage_its_own_way(server: Redis) -> None:
    async def scenario() -> None:
        async with limiter_of(server.url(), budget_s=0.05, timeout_s=FOR_EVER_S) as limiter:
            await limiter.ping()
            with stopped(server):
                await until_open(limiter)
                user = someone()
                for number in range(5):
                    decisions = {
                        one.name: answer_at_once(limiter.check(one.name, user)) for one in POLICIES
                    }
                    assert {name: one.allowed for name, one in decisions.items()} == {
                        "closed": False,
                        "open": True,
                        "local": number < 3,
                        "shadow": True,
                    }
                assert decisions["closed"].unavailable
                assert decisions["closed"].retry_after_s > 0
                assert decisions["open"].quotas[0].remaining is None
                assert not decisions["local"].unavailable
                assert decisions["local"].quotas[0].source == "local"
                counted = limiter.stats().policies
                assert (counted["closed"].unavailable, counted["closed"].allowed) == (5, 0)
                assert counted["closed"].unavailable_denied == 5
                assert counted["open"].unavailable_denied == 0
                assert counted["local"].unavailable_denied == 2
                assert counted["shadow"].unavailable_denied == 0

    run(scenario())


def test_policies_together_are_charged_all_or_none_in_an_outage_too(server: Redis) -> None:
    async def scenario() -> None:
        async with limiter_of(server.url(), budget_s=0.05, timeout_s=FOR_EVER_S) as limiter:
            await limiter.ping()
            with stopped(server):
                await until_open(limiter)
                user = someone()
                both = [Charge("local", user), Charge("closed", user)]
                for _ in range(5):
                    refused = await limiter.check_all(both)
                    assert refused.violated == ("closed",)
                assert (await limiter.check("local", user, 3)).allowed

    run(scenario())


def test_a_stopped_server_costs_the_budget_and_then_nothing(server: Redis) -> None:
    async def scenario() -> None:
        async with limiter_of(
            server.url(), budget_s=0.05, timeout_s=FOR_EVER_S, failures=3, probe_s=FOR_EVER_S
        ) as limiter:
            await limiter.ping()
            with stopped(server):
                for _ in range(3):
                    assert (await limiter.check("closed", someone())).unavailable
                assert not limiter.available
                assert limiter.stats().slow == 3
                for _ in range(1_000):
                    assert answer_at_once(limiter.check("closed", someone())).unavailable
                assert limiter.stats().batches == 3

    run(scenario())


@pytest.mark.serial
def test_killed_under_load_nobody_fails_and_it_recovers_in_time(server: Redis) -> None:
    async def scenario() -> None:
        async with limiter_of(server.url(), budget_s=0.1) as limiter:
            await limiter.ping()
            over = asyncio.Event()
            served = 0

            async def serve(worker: int) -> None:
                nonlocal served
                while not over.is_set():
                    await limiter.check("open", Subject.user(f"{worker}:{served}"))
                    served += 1
                    await asyncio.sleep(0)

            workers = [asyncio.create_task(serve(worker)) for worker in range(20)]
            await until(lambda: limiter.stats().policies["open"].allowed > 100)
            kill(server)
            await until(lambda: not limiter.available)
            so_far = served
            await until(lambda: served > so_far + 1_000)
            await asyncio.to_thread(server.restart)
            back_at = time.monotonic()
            allowed = limiter.stats().policies["open"].allowed
            await until(lambda: limiter.stats().policies["open"].allowed > allowed)
            assert time.monotonic() - back_at <= RECOVERY_S
            over.set()
            await asyncio.gather(*workers)
            stats = limiter.stats()
            counted = stats.policies["open"]
            assert served == counted.allowed + counted.unavailable
            assert counted.unavailable_denied == 0
            assert stats.breaker_opened == 1

    run(scenario())


def test_a_restart_between_two_checks_is_no_outage(server: Redis) -> None:
    async def scenario() -> None:
        async with limiter_of(server.url(), budget_s=PATIENCE_S) as limiter:
            user = someone()
            await limiter.check("closed", user, 2)
            await asyncio.to_thread(server.restart)  # forgets the scripts as well
            decision = await limiter.check("closed", user)
            assert decision.allowed
            assert decision.quotas[0].source == "redis"
            assert limiter.stats().errors == limiter.stats().slow == 0

    run(scenario())


@pytest.mark.serial
def test_a_primary_that_became_a_replica_is_an_outage_until_it_is_one_again(
    server: Redis,
) -> None:
    async def scenario() -> None:
        async with limiter_of(server.url(), budget_s=1.0, probe_s=0.1) as limiter:
            await limiter.ping()
            with redis.Redis.from_url(server.url()) as direct:
                direct.replicaof("127.0.0.1", 1)
                try:
                    assert (await limiter.check("closed", someone())).unavailable
                    await until_open(limiter)
                    with pytest.raises(RateLimitUnavailable):
                        await limiter.ping()
                    refused = refusals(direct)
                    await until(lambda: refusals(direct) >= refused + 2)  # probed, and refused
                    assert not limiter.available
                finally:
                    direct.replicaof("NO", "ONE")
            back_at = time.monotonic()
            await until(lambda: limiter.available)
            assert time.monotonic() - back_at <= RECOVERY_S
            assert (await limiter.check("closed", someone())).allowed

    run(scenario())


def test_a_full_server_that_refuses_to_write_is_an_outage(server: Redis) -> None:
    async def scenario() -> None:
        async with limiter_of(server.url(), budget_s=1.0, probe_s=0.1) as limiter:
            await limiter.ping()
            with redis.Redis.from_url(server.url()) as direct:
                direct.config_set("maxmemory", 1)
                try:
                    assert (await limiter.check("closed", someone())).unavailable
                    assert (await limiter.check("local", someone())).allowed
                finally:
                    direct.config_set("maxmemory", 0)
            await until(lambda: limiter.available)
            assert (await limiter.check("closed", someone())).allowed

    run(scenario())


def test_a_slow_server_is_left_alone_until_it_is_fast_again(server: Redis, proxy: Proxy) -> None:
    async def scenario() -> None:
        async with limiter_of(
            through(proxy, server), budget_s=0.1, timeout_s=PATIENCE_S, probe_s=0.1
        ) as limiter:
            await limiter.ping()
            proxy.latency_s = 0.3
            await until_open(limiter)
            batches = limiter.stats().batches
            await until(lambda: limiter.stats().batches > batches)  # probed, and found too slow
            assert not limiter.available
            proxy.latency_s = 0.0
            await until(lambda: limiter.available)
            assert (await limiter.check("closed", someone())).allowed

    run(scenario())


def test_who_was_denied_before_an_outage_stays_denied_in_it(server: Redis) -> None:
    async def scenario() -> None:
        async with limiter_of(server.url(), budget_s=0.2, timeout_s=FOR_EVER_S) as limiter:
            await limiter.ping()
            user = someone()
            async with asyncio.timeout(PATIENCE_S):
                while (await limiter.check("open", user)).allowed:
                    pass
            with stopped(server):
                await until_open(limiter)
                assert not answer_at_once(limiter.check("open", user)).allowed

    run(scenario())


def test_a_limiter_that_was_there_before_its_server_uses_it_once_it_is_up(
    server: Redis, proxy: Proxy
) -> None:
    async def scenario() -> None:
        await asyncio.to_thread(proxy.refuse)
        async with limiter_of(through(proxy, server), budget_s=0.5, probe_s=0.1) as limiter:
            await until_open(limiter)
            assert limiter.stats().errors + limiter.stats().slow >= 3
            await asyncio.to_thread(proxy.resume)
            await until(lambda: limiter.available)
            assert (await limiter.check("closed", someone())).allowed

    run(scenario())


def test_closing_in_the_middle_of_an_outage_leaves_nothing_behind(server: Redis) -> None:
    async def scenario() -> None:
        limiter = limiter_of(server.url(), budget_s=FOR_EVER_S, timeout_s=FOR_EVER_S)
        await limiter.ping()
        with stopped(server):
            calls = [asyncio.create_task(limiter.check("closed", someone())) for _ in range(20)]
            await asyncio.sleep(0.05)
            await limiter.close()
            assert all(one.unavailable for one in await asyncio.gather(*calls))
            assert answer_at_once(limiter.check("closed", someone())).unavailable
            await limiter.close()

    run(scenario())


def test_a_reset_that_was_not_done_says_so(server: Redis, proxy: Proxy) -> None:
    async def scenario() -> None:
        async with limiter_of(through(proxy, server), timeout_s=0.5) as limiter:
            await asyncio.to_thread(proxy.refuse)
            with pytest.raises(RateLimitUnavailable, match="reset nothing"):
                await limiter.reset("closed", someone())

    run(scenario())
