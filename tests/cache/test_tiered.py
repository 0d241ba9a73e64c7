"""The tiered cache on a virtual clock: order, single flight, staleness, failures, purges."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

import pytest

from perflab.cache.entry import ABSENT, CacheError, Invalidation
from perflab.cache.loading import LoadTimeout
from perflab.cache.memory import MemoryTier
from perflab.cache.owed import OwedPurges
from perflab.cache.pauses import RETRY_S
from perflab.cache.policy import CachePolicy
from perflab.cache.tiered import TieredCache

from .stand_ins import SharedStandIn, Source, memory_tier, monotonic, run, tiered, wall

PLAIN = CachePolicy(name="plain", ttl_s=60.0, early_refresh=False)
"""Nothing but a TTL."""

WITH_SHARED = pytest.mark.parametrize("with_shared", [False, True], ids=["memory", "redis"])


def shared_or_none(with_shared: bool) -> SharedStandIn | None:
    return SharedStandIn() if with_shared else None


def test_the_nearest_tier_that_has_the_value_gives_it() -> None:
    async def scenario() -> None:
        shared = SharedStandIn()
        source = Source()
        async with tiered(shared) as one, tiered(shared) as other:
            first = await one.trace("k", source, PLAIN)
            assert (first.memory, first.redis, first.loader) == ("miss", "miss", "hit")
            assert first.stored
            again = await one.trace("k", source, PLAIN)
            assert (again.memory, again.redis, again.loader) == ("hit", None, None)
            elsewhere = await other.trace("k", source, PLAIN)
            assert (elsewhere.memory, elsewhere.redis, elsewhere.loader) == ("miss", "hit", None)
            assert source.loads == 1

    run(scenario)


def test_a_local_copy_is_looked_up_in_redis_again_after_its_ttl() -> None:
    async def scenario() -> None:
        shared, source = SharedStandIn(), Source()
        async with tiered(shared) as cache:
            await cache.get_or_load("k", source, PLAIN)
            await asyncio.sleep(PLAIN.memory_ttl_s)
            answer = await cache.trace("k", source, PLAIN)
            assert (answer.memory, answer.redis) == ("miss", "hit")

    run(scenario)


@WITH_SHARED
def test_a_thousand_concurrent_misses_are_one_load(with_shared: bool) -> None:
    async def scenario() -> None:
        source = Source()
        async with tiered(shared_or_none(with_shared)) as cache:
            values = await asyncio.gather(
                *(cache.get_or_load("k", source, PLAIN) for _ in range(1000))
            )
            assert values == [1] * 1000
            assert source.loads == 1
            total = cache.stats().ledger.total
            assert total.requests == 1000
            assert total.loader.lookups == 1
            assert total.redis.coalesced + total.loader.coalesced == 999

    run(scenario)


def test_misses_that_arrive_during_the_load_join_it_without_asking_redis() -> None:
    async def scenario() -> None:
        shared, source = SharedStandIn(), Source(load_s=1.0)
        async with tiered(shared) as cache:
            first = asyncio.ensure_future(cache.get_or_load("k", source, PLAIN))
            await asyncio.sleep(0.5)
            asked = shared.gets
            assert (
                await asyncio.gather(*(cache.get_or_load("k", source, PLAIN) for _ in range(9)))
                == [1] * 9
            )
            assert await first == 1
            assert shared.gets == asked
            assert cache.stats().ledger.total.redis.coalesced == 9

    run(scenario)


def test_several_processes_share_one_load() -> None:
    async def scenario() -> None:
        shared, source = SharedStandIn(), Source()
        caches = [tiered(shared) for _ in range(4)]
        values = await asyncio.gather(
            *(cache.get_or_load("k", source, PLAIN) for cache in caches for _ in range(250))
        )
        assert values == [1] * 1000
        assert source.loads == 1
        for cache in caches:
            assert cache.stats().ledger.total.imbalances() == []
            await cache.close()

    run(scenario)


@WITH_SHARED
def test_cancelling_one_waiter_leaves_the_others_their_value(with_shared: bool) -> None:
    async def scenario() -> None:
        source = Source(load_s=1.0)
        async with tiered(shared_or_none(with_shared)) as cache:
            waiters = [
                asyncio.ensure_future(cache.get_or_load("k", source, PLAIN)) for _ in range(5)
            ]
            await asyncio.sleep(0.5)
            waiters[0].cancel()  # the one that began the load
            waiters[3].cancel()
            results = await asyncio.gather(*waiters, return_exceptions=True)
            assert [r for r in results if not isinstance(r, BaseException)] == [1, 1, 1]
            assert isinstance(results[0], asyncio.CancelledError)
            assert isinstance(results[3], asyncio.CancelledError)
            assert source.loads == 1

    run(scenario)


@WITH_SHARED
def test_a_load_that_everybody_left_still_fills_the_cache(with_shared: bool) -> None:
    async def scenario() -> None:
        source = Source(load_s=1.0)
        async with tiered(shared_or_none(with_shared)) as cache:
            waiter = asyncio.ensure_future(cache.get_or_load("k", source, PLAIN))
            await asyncio.sleep(0.5)
            waiter.cancel()
            with suppress(asyncio.CancelledError):
                await waiter
            await asyncio.sleep(0.6)
            assert await cache.get_or_load("k", source, PLAIN) == 1
            assert source.loads == 1
            assert cache.stats().ledger.total.background.refreshes == 1

    run(scenario)


@WITH_SHARED
def test_a_failed_load_that_everybody_left_is_nobodys_unseen_exception(with_shared: bool) -> None:
    async def scenario() -> None:
        source = Source(load_s=1.0)
        source.error = ValueError("broken")
        async with tiered(shared_or_none(with_shared)) as cache:
            waiter = asyncio.ensure_future(cache.get_or_load("k", source, PLAIN))
            await asyncio.sleep(0.5)
            waiter.cancel()
            with suppress(asyncio.CancelledError):
                await waiter
            await asyncio.sleep(1.0)
            assert cache.stats().ledger.total.background.failures == 1

    run(scenario)


@WITH_SHARED
def test_the_loaders_exception_reaches_every_waiter_and_is_not_kept(with_shared: bool) -> None:
    async def scenario() -> None:
        source = Source()
        source.error = ValueError("broken")
        async with tiered(shared_or_none(with_shared)) as cache:
            results = await asyncio.gather(
                *(cache.get_or_load("k", source, PLAIN) for _ in range(50)),
                return_exceptions=True,
            )
            assert all(result is source.error for result in results)
            assert source.loads == 1
            source.error = None
            assert await cache.get_or_load("k", source, PLAIN) == 2

    run(scenario)


def test_a_failed_load_lets_another_process_load_at_once() -> None:
    async def scenario() -> None:
        shared = SharedStandIn()
        broken, sound = Source(), Source()
        broken.error = ValueError("broken")
        async with tiered(shared) as one, tiered(shared) as other:
            failing = asyncio.ensure_future(one.get_or_load("k", broken, PLAIN))
            await asyncio.sleep(0.01)
            began_at = monotonic()
            assert await other.get_or_load("k", sound, PLAIN) == 1
            assert monotonic() - began_at < 0.5 < PLAIN.lease_s
            with pytest.raises(ValueError, match="broken"):
                await failing

    run(scenario)


def test_a_dead_holder_delays_the_others_by_at_most_the_lease_time() -> None:
    async def scenario() -> None:
        shared, source = SharedStandIn(), Source()
        assert await shared.lease("k", (), PLAIN.lease_s) is not None  # and dies
        async with tiered(shared) as cache:
            began_at = monotonic()
            assert await cache.get_or_load("k", source, PLAIN) == 1
            assert PLAIN.lease_s / 2 < monotonic() - began_at
            assert monotonic() - began_at <= PLAIN.lease_s + source.load_s + 0.1

    run(scenario)


def test_nobody_waits_longer_than_the_lease_time_for_holders_that_keep_dying() -> None:
    async def scenario() -> None:
        shared, source = SharedStandIn(), Source()

        async def keep_dying() -> None:
            while True:
                await shared.lease("k", (), 0.7 * PLAIN.lease_s)
                await asyncio.sleep(0.001)

        dying = asyncio.ensure_future(keep_dying())
        await asyncio.sleep(0.01)
        async with tiered(shared) as cache:
            began_at = monotonic()
            assert await cache.get_or_load("k", source, PLAIN) == 1
            assert monotonic() - began_at <= PLAIN.lease_s + source.load_s + 0.1
        dying.cancel()
        with suppress(asyncio.CancelledError):
            await dying

    run(scenario)


def test_without_redis_each_process_loads_once_and_keeps_its_copy_for_the_local_ttl() -> None:
    async def scenario() -> None:
        shared, source = SharedStandIn(), Source()
        shared.away = True
        async with tiered(shared) as one, tiered(shared) as other:
            for cache in (one, other):
                values = await asyncio.gather(
                    *(cache.get_or_load("k", source, PLAIN) for _ in range(100))
                )
                assert len(set(values)) == 1
            assert source.loads == 2
            redis = one.stats().ledger.total.redis
            assert redis.lookups == 0
            assert redis.bypassed + redis.coalesced == 100
            await asyncio.sleep(PLAIN.memory_ttl_s)
            assert await one.get_or_load("k", source, PLAIN) == 3

    run(scenario)


def test_redis_is_used_again_as_soon_as_it_is_back() -> None:
    async def scenario() -> None:
        shared, source = SharedStandIn(), Source()
        shared.away = True
        async with tiered(shared) as one, tiered(shared) as other:
            await one.get_or_load("k", source, PLAIN)
            shared.away = False
            await asyncio.sleep(PLAIN.memory_ttl_s)
            assert await one.get_or_load("k", source, PLAIN) == 2
            assert await other.get_or_load("k", source, PLAIN) == 2

    run(scenario)


def test_redis_lost_in_the_middle_of_a_load_costs_no_request() -> None:
    async def scenario() -> None:
        shared, source = SharedStandIn(), Source(load_s=1.0)
        async with tiered(shared) as one, tiered(shared) as other:
            asked = [
                asyncio.ensure_future(cache.get_or_load("k", source, PLAIN))
                for cache in (one, other)
            ]
            await asyncio.sleep(0.5)
            shared.away = True
            assert await asyncio.gather(*asked) == [1, 2]

    run(scenario)


@WITH_SHARED
def test_absent_is_kept_for_the_negative_ttl(with_shared: bool) -> None:
    policy = CachePolicy(name="n", ttl_s=60.0, memory_ttl_s=60.0, negative_ttl_s=2.0)

    async def scenario() -> None:
        asked = 0

        async def nothing() -> Any:
            nonlocal asked
            asked += 1
            return ABSENT

        async with tiered(shared_or_none(with_shared)) as cache:
            assert await cache.get_or_load("k", nothing, policy) is ABSENT
            assert await cache.get_or_load("k", nothing, policy) is ABSENT
            assert asked == 1
            await asyncio.sleep(2.0)
            assert await cache.get_or_load("k", nothing, policy) is ABSENT
            assert asked == 2

    run(scenario)


@WITH_SHARED
def test_absent_is_not_kept_without_a_negative_ttl(with_shared: bool) -> None:
    async def scenario() -> None:
        answers: list[Any] = [ABSENT, 7]

        async def load() -> Any:
            return answers.pop(0)

        async with tiered(shared_or_none(with_shared)) as cache:
            answer = await cache.trace("k", load, PLAIN)
            assert answer.value is ABSENT
            assert not answer.stored
            assert await cache.get_or_load("k", load, PLAIN) == 7

    run(scenario)


def test_only_the_policys_exceptions_mean_absent() -> None:
    policy = CachePolicy(name="n", ttl_s=60.0, negative_ttl_s=2.0, absent_errors=(LookupError,))

    async def scenario() -> None:
        source = Source()

        async def load() -> Any:
            return await source()

        async with tiered(SharedStandIn()) as cache:
            source.error = KeyError("no such row")
            assert await cache.get_or_load("k", load, policy) is ABSENT
            source.error = ValueError("broken")
            assert await cache.get_or_load("k", load, policy) is ABSENT  # from the cache
            with pytest.raises(ValueError, match="broken"):
                await cache.get_or_load("other", load, policy)

    run(scenario)


SWR = CachePolicy(name="swr", ttl_s=10.0, memory_ttl_s=10.0, stale_s=20.0, early_refresh=False)


@WITH_SHARED
def test_a_stale_value_is_served_at_once_while_one_refresh_runs(with_shared: bool) -> None:
    async def scenario() -> None:
        source = Source(load_s=1.0)
        async with tiered(shared_or_none(with_shared)) as cache:
            await cache.get_or_load("k", source, SWR)
            await asyncio.sleep(15.0)
            began_at = monotonic()
            for _ in range(20):
                assert await cache.get_or_load("k", source, SWR) == 1
            assert monotonic() - began_at < 0.5
            await asyncio.sleep(1.1)
            assert await cache.get_or_load("k", source, SWR) == 2
            assert source.loads == 2
            total = cache.stats().ledger.total
            assert total.tier("redis" if with_shared else "memory").stale_hits == 20
            assert total.background.refreshes == 1
            assert total.loader.lookups == 1

    run(scenario)


@WITH_SHARED
def test_nothing_is_served_beyond_its_stale_window(with_shared: bool) -> None:
    async def scenario() -> None:
        source = Source()
        async with tiered(shared_or_none(with_shared)) as cache:
            await cache.get_or_load("k", source, SWR)
            await asyncio.sleep(30.1)
            assert await cache.get_or_load("k", source, SWR) == 2

    run(scenario)


@WITH_SHARED
def test_a_refresh_that_failed_is_not_tried_again_for_a_while(with_shared: bool) -> None:
    async def scenario() -> None:
        source = Source(load_s=0.01)
        async with tiered(shared_or_none(with_shared)) as cache:
            await cache.get_or_load("k", source, SWR)
            await asyncio.sleep(12.0)
            source.error = ValueError("broken")
            began_at = monotonic()
            while monotonic() < began_at + 5 * RETRY_S:
                assert await cache.get_or_load("k", source, SWR) == 1
                await asyncio.sleep(0.01)
            assert 4 <= source.loads - 1 <= 6

    run(scenario)


ON_ERROR = CachePolicy(
    name="on_error",
    ttl_s=10.0,
    memory_ttl_s=10.0,
    stale_if_error_s=60.0,
    soft_timeout_s=0.5,
    early_refresh=False,
)


@WITH_SHARED
def test_after_its_expiry_a_fresh_value_is_waited_for(with_shared: bool) -> None:
    async def scenario() -> None:
        source = Source(load_s=0.1)
        async with tiered(shared_or_none(with_shared)) as cache:
            await cache.get_or_load("k", source, ON_ERROR)
            await asyncio.sleep(15.0)
            assert await cache.get_or_load("k", source, ON_ERROR) == 2

    run(scenario)


@WITH_SHARED
def test_a_stale_value_is_served_when_the_load_fails(with_shared: bool) -> None:
    async def scenario() -> None:
        source = Source(load_s=0.1)
        async with tiered(shared_or_none(with_shared)) as cache:
            await cache.get_or_load("k", source, ON_ERROR)
            await asyncio.sleep(15.0)
            source.error = ValueError("broken")
            assert await cache.get_or_load("k", source, ON_ERROR) == 1
            await asyncio.sleep(60.0)
            with pytest.raises(ValueError, match="broken"):
                await cache.get_or_load("k", source, ON_ERROR)

    run(scenario)


@WITH_SHARED
def test_a_stale_value_is_served_after_the_soft_timeout_and_the_load_goes_on(
    with_shared: bool,
) -> None:
    async def scenario() -> None:
        source = Source(load_s=0.1)
        async with tiered(shared_or_none(with_shared)) as cache:
            await cache.get_or_load("k", source, ON_ERROR)
            await asyncio.sleep(15.0)
            source.load_s = 2.0
            began_at = monotonic()
            assert await cache.get_or_load("k", source, ON_ERROR) == 1
            assert 0.5 <= monotonic() - began_at < 0.6
            await asyncio.sleep(2.0)
            assert await cache.get_or_load("k", source, ON_ERROR) == 2
            assert source.loads == 2

    run(scenario)


@WITH_SHARED
def test_a_load_ends_at_the_hard_timeout(with_shared: bool) -> None:
    async def scenario() -> None:
        source = Source(load_s=100.0)
        async with tiered(shared_or_none(with_shared)) as cache:
            began_at = monotonic()
            with pytest.raises(LoadTimeout, match=r"'k' \(policy plain\) took longer than 5 s"):
                await cache.get_or_load("k", source, PLAIN)
            assert 5.0 <= monotonic() - began_at < 5.1
            source.load_s = 0.1
            assert await cache.get_or_load("k", source, PLAIN) == 2  # its lease is gone
            assert monotonic() - began_at < 5.3

    run(scenario)


def test_a_timeout_inside_the_loader_is_the_loaders_own() -> None:
    async def scenario() -> None:
        async def load() -> int:
            raise TimeoutError("the database's")

        async with tiered() as cache:
            with pytest.raises(TimeoutError, match="the database's"):
                await cache.get_or_load("k", load, PLAIN)

    run(scenario)


def test_a_loader_that_cancels_itself_fails_its_load_and_nobody_else() -> None:
    async def scenario() -> None:
        async def load() -> int:
            raise asyncio.CancelledError

        async with tiered() as cache:
            with pytest.raises(CacheError, match="cancelled from inside"):
                await cache.get_or_load("k", load, PLAIN)

    run(scenario)


def test_sync_loaders_run_in_threads_whatever_they_return() -> None:
    home = threading.get_ident()

    def where() -> int:
        return threading.get_ident()

    async def later() -> int:
        return threading.get_ident()

    class Loader:
        async def __call__(self) -> int:
            return threading.get_ident()

    def exhausted() -> int:
        return next(iter(()))

    async def scenario() -> None:
        async with TieredCache(MemoryTier()) as cache:
            assert await cache.get_or_load("thread", where, PLAIN) != home
            assert await cache.get_or_load("lambda", lambda: later(), PLAIN) == home
            assert await cache.get_or_load("coroutine", later, PLAIN) == home
            assert await cache.get_or_load("object", Loader(), PLAIN) == home
            assert isinstance(await cache.get_or_load("class", Loader, PLAIN), Loader)
            with pytest.raises(RuntimeError, match="StopIteration"):
                await cache.get_or_load("exhausted", exhausted, PLAIN)

    run(scenario, virtual=False)


class Fixed:
    """A source of random numbers that is none."""

    def __init__(self, number: float) -> None:
        self.number = number

    def random(self) -> float:
        return self.number


EARLY = CachePolicy(name="early", ttl_s=100.0, memory_ttl_s=100.0)


@WITH_SHARED
def test_an_early_refresh_runs_in_the_background_once_at_a_time(with_shared: bool) -> None:
    async def scenario() -> None:
        source, dice = Source(load_s=2.0), Fixed(0.0)
        async with tiered(shared_or_none(with_shared), rng=dice) as cache:
            await cache.get_or_load("k", source, EARLY)
            await asyncio.sleep(95.0)
            dice.number = 1 - 2**-53  # the boldest draw
            for _ in range(10):
                assert await cache.get_or_load("k", source, EARLY) == 1
            await asyncio.sleep(2.1)
            dice.number = 0.0
            assert await cache.get_or_load("k", source, EARLY) == 2
            assert source.loads == 2
            background = cache.stats().ledger.total.background
            assert (background.refreshes, background.failures) == (1, 0)
            assert background.seconds == pytest.approx(2.0)

    run(scenario)


def test_a_refresh_by_another_process_is_adopted() -> None:
    async def scenario() -> None:
        shared, source = SharedStandIn(), Source(load_s=2.0)
        bold = Fixed(1 - 2**-53)
        async with tiered(shared, rng=bold) as one, tiered(shared, rng=bold) as other:
            await one.get_or_load("k", source, EARLY)
            await other.get_or_load("k", source, EARLY)
            await asyncio.sleep(95.0)
            await asyncio.gather(
                one.get_or_load("k", source, EARLY), other.get_or_load("k", source, EARLY)
            )
            await asyncio.sleep(2.5)
            assert source.loads == 2
            adopted = [c.stats().ledger.total.background.adopted for c in (one, other)]
            assert sorted(adopted) == [0, 1]

    run(scenario)


def test_no_refresh_before_chance_allows_it_or_where_the_policy_forbids_it() -> None:
    async def scenario() -> None:
        source, dice = Source(load_s=0.1), Fixed(1 - 2**-53)
        forbidden = CachePolicy(name="f", ttl_s=100.0, memory_ttl_s=100.0, early_refresh=False)
        async with tiered(rng=dice) as cache:
            await cache.get_or_load("early", source, EARLY)
            await cache.get_or_load("never", source, forbidden)
            await asyncio.sleep(95.0)  # 0.1 s times -ln(2 ** -53) is 3.7 s
            await cache.get_or_load("early", source, EARLY)
            await asyncio.sleep(4.0)
            await cache.get_or_load("never", source, forbidden)
            assert cache.stats().loading == 0
            await cache.get_or_load("early", source, EARLY)
            assert cache.stats().loading == 1

    run(scenario)


PURGES = (
    Invalidation(keys=("k",)),
    Invalidation(tags=("t",)),
    Invalidation(everything=True),
)


async def purged(cache: TieredCache, names: Invalidation) -> bool:
    return await cache.invalidate(keys=names.keys, tags=names.tags, everything=names.everything)


def test_a_purge_reaches_memory_redis_and_the_other_processes() -> None:
    async def scenario() -> None:
        shared, source = SharedStandIn(), Source()
        policy = CachePolicy(name="p", ttl_s=60.0, memory_ttl_s=60.0)
        async with tiered(shared) as one, tiered(shared) as other:
            for cache in (one, other):
                await cache.get_or_load("k", source, policy, ["t"])
            for loads, purge in enumerate(PURGES, start=2):
                assert await purged(one, purge)
                await asyncio.sleep(0.01)  # the message is delivered
                for cache in (one, other):
                    assert await cache.get_or_load("k", source, policy, ["t"]) == loads

    run(scenario)


@WITH_SHARED
def test_a_request_after_a_purge_does_not_join_a_load_from_before_it(with_shared: bool) -> None:
    async def scenario() -> None:
        for purge in PURGES:
            source = Source(load_s=1.0)
            async with tiered(shared_or_none(with_shared)) as cache:
                before = asyncio.ensure_future(cache.get_or_load("k", source, PLAIN, ["t"]))
                await asyncio.sleep(0.5)
                await purged(cache, purge)
                assert await cache.get_or_load("k", source, PLAIN, ["t"]) == 2
                assert await before == 1
                assert await cache.get_or_load("k", source, PLAIN, ["t"]) == 2

    run(scenario)


def test_a_purge_whose_caller_is_cancelled_is_carried_out_everywhere() -> None:
    class Edge:
        def __init__(self) -> None:
            self.seen: list[Invalidation] = []

        async def purge(self, invalidation: Invalidation) -> None:
            await asyncio.sleep(0.1)
            self.seen.append(invalidation)

    async def scenario() -> None:
        shared, edge = SharedStandIn(), Edge()
        async with tiered(shared, beyond=[edge]) as cache:
            await cache.get_or_load("k", Source(), PLAIN)
            shared.pace([0.5])
            purge = asyncio.ensure_future(cache.invalidate(keys=["k"]))
            await asyncio.sleep(0.1)
            purge.cancel()
            with pytest.raises(asyncio.CancelledError):
                await purge
            assert "k" in shared.entries, "Redis has not been told yet"
        assert "k" not in shared.entries
        assert edge.seen == [Invalidation(keys=("k",))], "closing waits for it"

    run(scenario)


def test_what_was_read_during_a_purge_is_gone_after_it() -> None:
    policy = CachePolicy(name="p", ttl_s=60.0, memory_ttl_s=60.0)

    async def scenario() -> None:
        shared, source = SharedStandIn(), Source()
        async with tiered(shared) as other:
            await other.get_or_load("k", source, policy)
        async with tiered(shared) as cache:
            await cache.get_or_load("unrelated", source, policy)
            shared.listeners.clear()  # no message helps
            shared.pace([0.5, 0.001, 0.001, 0.5])
            purge = asyncio.ensure_future(cache.invalidate(keys=["k"]))
            await asyncio.sleep(0.1)
            assert await cache.get_or_load("k", source, policy) == 1  # not yet purged in Redis
            assert await purge
            assert await cache.get_or_load("k", source, policy) == 3

    run(scenario)


def test_a_value_that_redis_refused_is_not_kept_in_memory_either() -> None:
    policy = CachePolicy(name="p", ttl_s=60.0, memory_ttl_s=60.0)

    async def scenario() -> None:
        shared, source = SharedStandIn(), Source(load_s=1.0)
        async with tiered(shared) as cache, tiered(shared) as other:
            loading = asyncio.ensure_future(cache.get_or_load("k", source, policy))
            await asyncio.sleep(0.5)
            shared.listeners.clear()  # the message is on its way for long
            await other.invalidate(keys=["k"])
            assert await loading == 1
            assert await cache.get_or_load("k", source, policy) == 2

    run(scenario)


@WITH_SHARED
def test_a_load_that_began_before_a_purge_fills_nothing(with_shared: bool) -> None:
    policy = CachePolicy(name="p", ttl_s=60.0, memory_ttl_s=60.0)

    async def scenario() -> None:
        for purge in PURGES:
            source = Source(load_s=1.0)
            async with tiered(shared_or_none(with_shared)) as cache:
                before = asyncio.ensure_future(cache.trace("k", source, policy, ["t"]))
                await asyncio.sleep(0.5)
                await purged(cache, purge)
                assert (await before).value == 1
                assert await cache.get_or_load("k", source, policy, ["t"]) == 2

    run(scenario)


def test_a_purge_that_redis_missed_is_respected_here_and_repeated_until_it_arrives() -> None:
    async def scenario() -> None:
        shared, source = SharedStandIn(), Source()
        async with tiered(shared) as one, tiered(shared) as other:
            await one.get_or_load("k", source, PLAIN, ["t"])
            shared.away = True
            assert not await one.invalidate(tags=["t"])
            assert one.stats().owed_purges == 1
            await asyncio.sleep(3 * RETRY_S + 0.5)
            shared.away = False
            assert await one.get_or_load("k", source, PLAIN, ["t"]) == 2
            await asyncio.sleep(RETRY_S)
            assert one.stats().owed_purges == 0
            assert await other.get_or_load("k", source, PLAIN, ["t"]) == 3

    run(scenario)


def test_more_purges_than_are_remembered_by_name_become_a_purge_of_everything() -> None:
    owed = OwedPurges(max_names=3)
    owed.add(Invalidation(keys=("a", "b"), tags=("t",)))
    assert len(owed) == 3
    assert owed.covers("x", ["t"])
    assert not owed.covers("x", ["u"])
    owed.add(Invalidation(keys=("c",)))
    assert owed.covers("anything", [])
    taken = owed.take()
    assert taken == Invalidation(everything=True)
    assert owed.covers("anything", [])  # not before it has arrived
    owed.unpaid()
    assert owed.take() == taken
    owed.paid()
    assert not owed
    assert not owed.covers("anything", [])


def test_a_purge_owed_again_while_it_is_being_paid_is_owed_still() -> None:
    owed = OwedPurges()
    owed.add(Invalidation(keys=("a",)))
    owed.take()
    owed.add(Invalidation(keys=("a",)))
    owed.paid()
    assert owed.covers("a", [])


def test_caches_further_out_are_purged_after_the_tiers_all_of_them() -> None:
    class Edge:
        def __init__(self, error: Exception | None) -> None:
            self.error = error
            self.seen: list[tuple[Invalidation, bool]] = []

        async def purge(self, invalidation: Invalidation) -> None:
            self.seen.append((invalidation, "k" in shared.entries))
            if self.error is not None:
                raise self.error

    shared = SharedStandIn()

    async def scenario() -> None:
        edges = [Edge(CacheError("no answer from the edge")), Edge(None)]
        async with tiered(shared, beyond=edges) as cache:
            await cache.get_or_load("k", Source(), PLAIN)
            with pytest.raises(CacheError, match="no answer from the edge"):
                await cache.invalidate(keys=["k"])
        for edge in edges:
            assert edge.seen == [(Invalidation(keys=("k",)), False)]

    run(scenario)


@WITH_SHARED
def test_closing_ends_loads_and_tells_who_waits(with_shared: bool) -> None:
    async def scenario() -> None:
        source = Source(load_s=3.0)
        shared = shared_or_none(with_shared)
        cache = tiered(shared)
        asked = [asyncio.ensure_future(cache.get_or_load("k", source, PLAIN)) for _ in range(3)]
        await asyncio.sleep(0.5)
        await cache.close()
        await cache.close()
        for waiter in asked:
            with pytest.raises(CacheError, match="closed while 'k' was being loaded"):
                await waiter
        assert cache.stats().loading == 0
        assert cache.stats().ledger.total.imbalances() == []
        assert shared is None or not shared.leases
        with pytest.raises(CacheError, match="the cache is closed"):
            await cache.get_or_load("k", source, PLAIN)

    run(scenario)


def test_a_cache_without_memory_reads_redis_each_time() -> None:
    async def scenario() -> None:
        shared, source = SharedStandIn(), Source()
        async with TieredCache(None, shared, clock=wall) as cache:
            for _ in range(3):
                assert await cache.get_or_load("k", source, PLAIN) == 1
            total = cache.stats().ledger.total
            assert (total.memory.bypassed, total.redis.hits) == (3, 2)
            assert total.imbalances() == []

    run(scenario)


def test_a_cache_without_tiers_still_loads_once_at_a_time() -> None:
    async def scenario() -> None:
        source = Source()
        async with TieredCache(clock=wall) as cache:
            assert await asyncio.gather(
                *(cache.get_or_load("k", source, PLAIN) for _ in range(3))
            ) == [1, 1, 1]
            assert await cache.get_or_load("k", source, PLAIN) == 2

    run(scenario)


def test_prefetching_loads_what_is_missing_and_is_no_request() -> None:
    async def scenario() -> None:
        shared, source = SharedStandIn(), Source()
        async with tiered(shared) as one, tiered(shared) as other:
            assert await one.prefetch("k", source, PLAIN)
            assert not await one.prefetch("k", source, PLAIN)
            assert not await other.prefetch("k", source, PLAIN)
            assert await other.get_or_load("k", source, PLAIN) == 1
            total = one.stats().ledger.total
            assert (total.requests, total.background.refreshes) == (0, 1)
            source.error = ValueError("broken")
            with pytest.raises(ValueError, match="broken"):
                await one.prefetch("other", source, PLAIN)

    run(scenario)


def test_names_are_checked_before_anything_is_counted() -> None:
    needy = CachePolicy(name="needy", ttl_s=1.0, needs_tags=True)

    async def scenario() -> None:
        source = Source()
        async with tiered() as cache:
            with pytest.raises(CacheError, match="key must not be empty"):
                await cache.get_or_load("", source, PLAIN)
            with pytest.raises(CacheError, match="must be a collection, not the string 'tag'"):
                await cache.get_or_load("k", source, PLAIN, "tag")
            with pytest.raises(CacheError, match="policy 'needy' needs tags, and 'k'"):
                await cache.get_or_load("k", source, needy)
            with pytest.raises(CacheError, match="must be a collection, not the string 'k'"):
                await cache.invalidate(keys="k")
            assert cache.stats().ledger.total.requests == 0
            assert source.loads == 0

    run(scenario)


def test_entries_of_a_memory_tier_expire_with_the_local_ttl() -> None:
    async def scenario() -> None:
        memory, source = memory_tier(), Source()
        async with TieredCache(memory, clock=wall) as cache:
            await cache.get_or_load("k", source, SWR)
            entry = memory.get("k")
            assert entry is not None
            assert entry.expires_at == pytest.approx(wall() + SWR.memory_ttl_s)

    run(scenario)


def test_tracing_looks_into_memory_once() -> None:
    async def scenario() -> None:
        memory, source = memory_tier(), Source()
        async with TieredCache(memory, clock=wall) as cache:
            await cache.get_or_load("k", source, PLAIN)
            before = memory.stats().hits
            answer = await cache.trace("k", source, PLAIN)
            assert (answer.value, answer.memory, answer.redis) == (1, "hit", None)
            assert memory.stats().hits == before + 1
            assert cache.stats().ledger.total.memory.hits == 1

    run(scenario)


def test_tracing_refreshes_early_as_any_request_does() -> None:
    async def scenario() -> None:
        source = Source()
        async with tiered(rng=Fixed(1 - 2**-53)) as cache:  # as early as can be
            await cache.get_or_load("k", source, EARLY)
            await asyncio.sleep(EARLY.ttl_s - 2 * source.load_s)
            assert (await cache.trace("k", source, EARLY)).memory == "hit"
            assert cache.stats().loading == 1

    run(scenario)


async def generates() -> AsyncIterator[int]:
    yield 1


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"loader": None}, r"loader of 'k'=None: must be a function"),
        ({"loader": "SELECT 1"}, r"loader of 'k'='SELECT 1': must be a function"),
        ({"policy": None}, r"policy of 'k'=None: must be a CachePolicy"),
        ({"policy": "plain"}, r"policy of 'k'='plain': must be a CachePolicy"),
        ({"policy": CachePolicy}, r"policy of 'k'=.*: must be a CachePolicy"),
        ({"loader": generates}, r"the loader of 'k' \(policy plain\) is a generator"),
        ({"loader": lambda: (n for n in "a")}, r"the loader of 'k' .* return a list"),
        ({"key": ["k"]}, "a cache key must be a string, not list"),
        ({"key": b"k"}, "a cache key must be a string, not bytes"),
        ({"tags": 5}, "cache tags must be a collection, not int"),
        ({"tags": [None]}, "a cache tag must be a string, not NoneType"),
    ],
)
@pytest.mark.parametrize("method", ["get_or_load", "trace", "prefetch"])
def test_what_no_request_can_be_made_of_is_named(
    method: str, given: dict[str, Any], why: str
) -> None:
    async def scenario() -> None:
        async with tiered() as cache:
            request: dict[str, Any] = {"key": "k", "loader": Source(), "policy": PLAIN}
            with pytest.raises(CacheError, match=why):
                await getattr(cache, method)(**(request | given))
            assert await cache.get_or_load("k", Source(), PLAIN) == 1, "nothing of it was kept"

    run(scenario, virtual=False)


def test_a_coroutine_is_no_loader() -> None:
    async def scenario() -> None:
        async with tiered() as cache:
            called: Any = Source()()
            with pytest.raises(CacheError, match=r"loader of 'k'=<coroutine.*must be a function"):
                await cache.get_or_load("k", called, PLAIN)
            called.close()

    run(scenario)


def test_names_of_purges_that_are_no_collection_are_refused() -> None:
    async def scenario() -> None:
        async with tiered() as cache:
            names: Any = 5
            with pytest.raises(CacheError, match="cache keys must be a collection, not int"):
                await cache.invalidate(keys=names)
            with pytest.raises(CacheError, match="cache tags must be a collection, not int"):
                await cache.invalidate(tags=names)

    run(scenario)


@WITH_SHARED
def test_a_loader_that_asks_for_its_own_key_is_told_so_at_once(with_shared: bool) -> None:
    async def scenario() -> None:
        async with tiered(shared_or_none(with_shared)) as cache:

            async def own() -> Any:
                return await cache.get_or_load("own", own, PLAIN)

            async def prefetched() -> Any:
                return await cache.prefetch("mine", prefetched, PLAIN)

            began_at = monotonic()
            with pytest.raises(CacheError, match="loader of 'own' asks the cache for 'own'"):
                await cache.get_or_load("own", own, PLAIN)
            with pytest.raises(CacheError, match="loader of 'mine' asks the cache for 'mine'"):
                await cache.get_or_load("mine", prefetched, PLAIN)
            assert monotonic() - began_at < PLAIN.hard_timeout_s / 10
            assert cache.stats().ledger.total.imbalances() == []

    run(scenario)


def test_loaders_that_ask_for_each_others_keys_are_told_so() -> None:
    async def scenario() -> None:
        async with tiered() as cache:

            async def first() -> Any:
                await asyncio.sleep(0.1)
                return await cache.get_or_load("second", second, PLAIN)

            async def second() -> Any:
                await asyncio.sleep(0.1)
                return await cache.get_or_load("first", first, PLAIN)

            outcomes = await asyncio.gather(
                cache.get_or_load("first", first, PLAIN),
                cache.get_or_load("second", second, PLAIN),
                return_exceptions=True,
            )
            for outcome in outcomes:
                assert isinstance(outcome, CacheError)
                assert "which waits for that very load" in str(outcome)
            assert monotonic() < PLAIN.hard_timeout_s

    run(scenario)


def test_a_loader_may_ask_for_other_keys_also_of_a_load_that_others_began() -> None:
    async def scenario() -> None:
        async with tiered() as cache:
            inner = Source(load_s=0.3)

            async def outer() -> Any:
                two = [cache.get_or_load(key, inner, PLAIN) for key in ("inner", "inner")]
                return sum(await asyncio.gather(*two))

            others = [cache.get_or_load(key, outer, PLAIN) for key in ("one", "two", "one")]
            values = await asyncio.gather(cache.get_or_load("inner", inner, PLAIN), *others)
            assert values == [1, 2, 2, 2]
            assert inner.loads == 1

    run(scenario)
