from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
import redis

from event_loop import own_prefix, run
from perflab.cache.codec import Codec, CodecError
from perflab.cache.entry import ABSENT, CacheError, Fetched
from perflab.cache.redis import RedisTier, RedisUnavailable
from perflab.cache.redis.keys import Keys
from perflab.services import Redis

from .redis_support import entry, open_tier, store


class User(msgspec.Struct, frozen=True):
    id: int


@pytest.fixture
def server(redis_server: Redis) -> Iterator[Any]:
    """A plain client, to look behind the tier's back."""
    with redis.Redis.from_url(redis_server.url()) as client:
        yield client


def calls(server: Any, command: str) -> int:
    found: dict[str, dict[str, int]] = server.info("commandstats")
    return found.get(f"cmdstat_{command}", {}).get("calls", 0)


def test_returns_what_was_filled_until_it_expires(redis_server: Redis) -> None:
    now = [1_000.0]

    async def scenario() -> None:
        async with open_tier(redis_server.url(), clock=lambda: now[0], jitter=0) as tier:
            assert (await tier.get("user:1", ("users",))).state == "miss"
            lease = await tier.lease("user:1", ("users",))
            assert lease is not None
            filled = msgspec.structs.replace(
                entry({"name": "Ada"}, ("users",)),
                loaded_at=999.0,
                expires_at=1_010.0,
                stale_until=1_020.0,
            )
            assert await tier.fill(lease, filled)
            found = await tier.get("user:1", ("users",))
            assert found.state == "hit"
            assert found.entry == msgspec.structs.replace(filled, versions=lease.versions)
            assert found.size_bytes == tier.stats().written_bytes > 0
            for now[0], state in ((1_009.9, "hit"), (1_010.0, "stale"), (1_020.0, "miss")):
                assert (await tier.get("user:1", ("users",))).state == state

    run(scenario())


def test_redis_drops_the_value_when_it_can_no_longer_be_served(
    redis_server: Redis, server: Any
) -> None:
    prefix = own_prefix()

    async def scenario() -> None:
        async with open_tier(redis_server.url(), prefix=prefix, jitter=0) as tier:
            lease = await tier.lease("a")
            assert lease is not None
            assert await tier.fill(lease, entry(1, lasts_s=60, stale_s=40))
            lease = await tier.lease("b")
            assert lease is not None
            assert await tier.fill(lease, entry(1, lasts_s=60), ttl_s=7)

    run(scenario())
    names = Keys(prefix)
    assert 95_000 < server.pttl(names.value("a")) <= 100_000
    assert 0 < server.pttl(names.value("b")) <= 7_000
    assert not server.exists(names.lease("a"))


def test_jitter_moves_all_times_of_an_entry_together(redis_server: Redis, server: Any) -> None:
    prefix = own_prefix()

    async def scenario() -> list[tuple[float, float]]:
        lasting = []
        async with open_tier(
            redis_server.url(),
            prefix=prefix,
            jitter=0.1,
            rng=random.Random(3),  # noqa: S311
        ) as tier:
            for number in range(40):
                lease = await tier.lease(str(number))
                assert lease is not None
                filled = entry(1, lasts_s=1_000, stale_s=500)
                assert await tier.fill(lease, filled)
                found = (await tier.get(str(number))).entry
                assert found is not None
                lasting.append((found.expires_at - filled.expires_at, found.stale_until))
        return lasting

    lasting = run(scenario())
    moved = [seconds for seconds, _ in lasting]
    assert all(-100 <= seconds <= 0 for seconds in moved), "no entry outlives its time to live"
    assert min(moved) < -75
    assert max(moved) > -25
    now = time.time()
    for number, (_, stale_until) in enumerate(lasting):
        left_s = server.pttl(Keys(prefix).value(str(number))) / 1000
        assert abs(stale_until - now - left_s) < 30


def test_an_absent_value_is_found_as_such(redis_server: Redis) -> None:
    async def scenario() -> None:
        async with open_tier(redis_server.url()) as tier:
            await store(tier, "nobody", ABSENT)
            found = await tier.get("nobody")
            assert found.state == "hit"
            assert found.entry is not None
            assert found.entry.value is ABSENT

    run(scenario())


def test_all_gets_of_a_tick_are_one_mget_and_a_repeated_key_is_asked_once(
    redis_server: Redis, server: Any
) -> None:
    async def scenario() -> None:
        async with open_tier(redis_server.url()) as tier:
            for number in range(50):
                await store(tier, f"key:{number}", number, ("all", f"tag:{number}"))
            before = calls(server, "mget")
            wanted = [*range(50), *range(50)]
            found = await asyncio.gather(
                *(tier.get(f"key:{number}", ("all", f"tag:{number}")) for number in wanted)
            )
            assert [one.entry and one.entry.value for one in found] == wanted
            assert calls(server, "mget") - before == 1

    run(scenario())


def test_leases_and_fills_of_a_tick_go_out_together(redis_server: Redis) -> None:
    async def scenario() -> None:
        async with open_tier(redis_server.url()) as tier:
            leases = await asyncio.gather(*(tier.lease(str(n), ("t",)) for n in range(50)))
            assert tier.stats().write_batches == 1
            filled = await asyncio.gather(
                *(tier.fill(lease, entry(1, ("t",))) for lease in leases if lease is not None)
            )
            assert filled == [True] * 50
            assert tier.stats().write_batches == 2

    run(scenario())


def test_large_batches_are_split(redis_server: Redis) -> None:
    async def scenario() -> None:
        async with open_tier(redis_server.url()) as tier:
            found = await asyncio.gather(*(tier.get(str(n)) for n in range(2_000)))
            assert {one.state for one in found} == {"miss"}
            assert tier.stats().read_batches == 4

    run(scenario())


def test_invalidating_a_tag_drops_what_carries_it_and_nothing_else(redis_server: Redis) -> None:
    async def scenario() -> None:
        async with open_tier(redis_server.url()) as tier:
            tags = {"a": ("red",), "b": ("red", "blue"), "c": ("blue",), "d": ()}
            for key, given in tags.items():
                await store(tier, key, key, given)
            assert await tier.invalidate(tags=["red"])
            states = {key: (await tier.get(key, given)).state for key, given in tags.items()}
            assert states == {"a": "miss", "b": "miss", "c": "hit", "d": "hit"}
            assert tier.stats().outdated == 2

    run(scenario())


@pytest.mark.parametrize("purge", [{"keys": ["k"]}, {"tags": ["t"]}, {"everything": True}])
def test_what_was_being_loaded_during_a_purge_is_never_returned(
    redis_server: Redis, purge: dict[str, Any]
) -> None:
    async def scenario() -> None:
        async with open_tier(redis_server.url()) as tier:
            begun = await tier.lease("k", ("t",))
            assert begun is not None
            assert await tier.invalidate(**purge)
            stored = await tier.fill(begun, entry("old", ("t",)))
            assert not (stored and "keys" in purge)
            assert (await tier.get("k", ("t",))).state == "miss"
            later = await tier.lease("k", ("t",))
            assert later is not None, "the purge left the lease of the old load in the way"
            assert (await tier.get("k", ("t",))).state == "miss"
            assert await tier.fill(later, entry("new", ("t",)))
            assert (await tier.get("k", ("t",))).state == "hit"

    run(scenario())


def test_everything_can_be_invalidated_at_once_but_not_another_cache(redis_server: Redis) -> None:
    async def scenario() -> None:
        async with open_tier(redis_server.url()) as tier, open_tier(redis_server.url()) as other:
            for one in (tier, other):
                await store(one, "a", 1, ("t",))
                await store(one, "b", 1)
            assert await tier.invalidate(everything=True)
            assert (await tier.get("a", ("t",))).state == "miss"
            assert (await tier.get("b")).state == "miss"
            assert (await other.get("a", ("t",))).state == "hit"
            await store(tier, "b", 2)
            assert (await tier.get("b")).state == "hit"

    run(scenario())


def test_many_names_are_invalidated_in_one_call(redis_server: Redis) -> None:
    async def scenario() -> None:
        async with open_tier(redis_server.url()) as tier:
            await store(tier, "2999", 1, ("t2999",))
            await store(tier, "0", 1)
            keys = [str(n) for n in range(3_000)]
            assert await tier.invalidate(keys=keys, tags=[f"t{n}" for n in range(3_000)])
            assert (await tier.get("2999", ("t2999",))).state == "miss"
            assert (await tier.get("0")).state == "miss"

    run(scenario())


def test_any_number_of_writers_may_invalidate_at_once(redis_server: Redis, server: Any) -> None:
    async def scenario() -> None:
        async with open_tier(redis_server.url()) as tier:
            keys = [str(number) for number in range(300)]
            await asyncio.gather(*(store(tier, key, key, (f"t{key}",)) for key in keys))
            before = calls(server, "publish")
            done = await asyncio.gather(
                *(tier.invalidate(keys=[key]) for key in keys[:150]),
                *(tier.invalidate(tags=[f"t{key}"]) for key in keys[150:]),
            )
            assert done == [True] * 300
            assert calls(server, "publish") - before == 1
            found = await asyncio.gather(*(tier.get(key, (f"t{key}",)) for key in keys))
            assert {one.state for one in found} == {"miss"}

    run(scenario())


def test_tags_are_a_set_and_asking_with_others_is_a_miss(redis_server: Redis) -> None:
    async def scenario() -> None:
        async with open_tier(redis_server.url()) as tier:
            await store(tier, "k", 1, ("b", "a", "b"))
            assert (await tier.get("k", ("a", "b"))).state == "hit"
            assert (await tier.get("k", ("b", "a"))).state == "hit"
            for others in ((), ("a",), ("a", "b", "c")):
                assert (await tier.get("k", others)).state == "miss"

    run(scenario())


def test_a_short_time_to_live_never_shortens_a_version(redis_server: Redis, server: Any) -> None:
    prefix = own_prefix()
    names = Keys(prefix)

    async def scenario() -> None:
        async with open_tier(redis_server.url(), prefix=prefix, jitter=0) as tier:
            for key, lasts_s in (("long", 1e6), ("short", 1.0)):
                lease = await tier.lease(key, ("t",), ttl_s=1.0)
                assert lease is not None
                assert await tier.fill(lease, entry(1, ("t",), lasts_s=lasts_s))
                for name in (names.tag("t"), names.epoch):
                    assert server.pttl(name) >= server.pttl(names.value("long")) > 900_000_000

    run(scenario())


def test_only_one_gets_the_lease_and_the_others_wait_for_its_fill(redis_server: Redis) -> None:
    prefix = own_prefix()

    async def scenario() -> None:
        async with (
            open_tier(redis_server.url(), prefix=prefix) as first,
            open_tier(redis_server.url(), prefix=prefix) as second,
        ):
            lease = await first.lease("k", ttl_s=60)
            assert lease is not None
            assert await second.lease("k", ttl_s=60) is None
            assert await first.lease("k", ttl_s=60) is None
            assert not await second.wait("k", 0.01)
            waiting = asyncio.create_task(second.wait("k", 60))
            await asyncio.sleep(0)
            assert await first.fill(lease, entry("loaded"))
            assert await waiting
            assert (await second.get("k")).state == "hit"
            assert second.stats().leases_refused == 1

    run(scenario())


def test_a_released_lease_is_free_again_and_only_its_holder_can_release(
    redis_server: Redis,
) -> None:
    async def scenario() -> None:
        async with open_tier(redis_server.url()) as tier:
            lease = await tier.lease("k", ttl_s=60)
            assert lease is not None
            await tier.release(msgspec.structs.replace(lease, token="forged"))
            assert await tier.lease("k") is None
            await tier.release(lease)
            assert await tier.wait("k", 0)
            assert await tier.lease("k") is not None

    run(scenario())


def test_a_lease_ends_by_itself_so_a_dead_holder_delays_others_by_no_more(
    redis_server: Redis, server: Any
) -> None:
    prefix = own_prefix()

    async def scenario() -> None:
        async with open_tier(redis_server.url(), prefix=prefix) as tier:
            dead = await tier.lease("k", ttl_s=0.2)
            assert dead is not None
            assert 0 < server.pttl(Keys(prefix).lease("k")) <= 200
            assert await tier.wait("k", 60)
            lease = await tier.lease("k")
            assert lease is not None
            assert not await tier.fill(dead, entry("late"))
            assert await tier.fill(lease, entry("new"))
            assert tier.stats().fills_refused == 1

    run(scenario())


def test_no_lease_for_what_was_filled_since_the_miss(redis_server: Redis) -> None:
    async def scenario() -> None:
        async with open_tier(redis_server.url()) as tier:
            assert (await tier.get("k", ("t",))).state == "miss"
            await store(tier, "k", 1, ("t",))
            assert await tier.lease("k", ("t",)) is None
            assert await tier.wait("k", 0), "the lease was given back"
            assert tier.stats().leases_needless == 1
            await tier.invalidate(tags=["t"])
            assert await tier.lease("k", ("t",)) is not None

    run(scenario())


def test_a_refresh_gets_the_lease_unless_somebody_was_faster(redis_server: Redis) -> None:
    async def scenario() -> None:
        async with open_tier(redis_server.url()) as tier:
            await store(tier, "k", "old")
            old = (await tier.get("k")).entry
            assert old is not None
            lease = await tier.lease("k", after=old)
            assert lease is not None
            newer = msgspec.structs.replace(entry("new"), loaded_at=old.loaded_at + 1)
            assert await tier.fill(lease, newer)
            assert await tier.lease("k", after=old) is None
            assert await tier.lease("k", after=newer) is not None

    run(scenario())


def test_what_a_cancelled_caller_leased_is_given_back(redis_server: Redis) -> None:
    async def scenario() -> None:
        async with open_tier(redis_server.url()) as tier:
            leasing = asyncio.create_task(tier.lease("k", ttl_s=600))
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            leasing.cancel()
            with pytest.raises(asyncio.CancelledError):
                await leasing
            getting = asyncio.create_task(tier.get("k"))
            await asyncio.sleep(0)
            getting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await getting
            assert await tier.wait("k", 60)
            assert tier.stats().cancelled == 1

    run(scenario())


def test_values_come_back_in_the_type_of_their_codec(redis_server: Redis) -> None:
    async def scenario() -> None:
        users = Codec(User)
        async with open_tier(redis_server.url()) as tier:
            lease = await tier.lease("u")
            assert lease is not None
            assert await tier.fill(lease, entry(User(7)), codec=users)
            found = await tier.get("u", codec=users)
            assert found.entry is not None
            assert found.entry.value == User(7)
            await store(tier, "other", "text")
            assert await tier.get("other", codec=users) == Fetched("miss")
            assert tier.stats().corrupted == 1

    run(scenario())


def test_a_value_that_cannot_be_written_is_the_callers_mistake(redis_server: Redis) -> None:
    async def scenario() -> None:
        async with open_tier(redis_server.url()) as tier:
            lease = await tier.lease("k", ("t",))
            assert lease is not None
            with pytest.raises(CodecError, match="a value of type object cannot be cached"):
                await tier.fill(lease, entry(object(), ("t",)))
            with pytest.raises(CacheError, match="'k' must have the tags of its lease"):
                await tier.fill(lease, entry(1))
            with pytest.raises(CacheError, match="control characters"):
                await tier.get("a\nb")
            with pytest.raises(CacheError, match="tag"):
                await tier.get("a", ("",))

    run(scenario())


def test_an_entry_without_time_left_is_not_stored_and_frees_the_lease(redis_server: Redis) -> None:
    async def scenario() -> None:
        async with open_tier(redis_server.url()) as tier:
            lease = await tier.lease("k", ttl_s=600)
            assert lease is not None
            assert not await tier.fill(lease, entry(1, lasts_s=-1))
            assert await tier.wait("k", 0)
            assert (await tier.get("k")).state == "miss"

    run(scenario())


@pytest.mark.parametrize("damage", ["foreign", "cut", "list"])
def test_damaged_values_are_misses_that_the_next_fill_mends(
    redis_server: Redis, server: Any, damage: str
) -> None:
    prefix = own_prefix()
    name = Keys(prefix).value("k")

    async def scenario() -> None:
        async with open_tier(redis_server.url(), prefix=prefix) as tier:
            await store(tier, "k", "text")
            if damage == "foreign":
                server.set(name, b"hello")
            elif damage == "cut":
                server.set(name, server.get(name)[:-1])
            else:
                server.delete(name)
                server.rpush(name, "x")
            assert (await tier.get("k")).state == "miss"
            assert tier.stats().corrupted == (0 if damage == "list" else 1)
            await store(tier, "k", "new")
            assert (await tier.get("k")).state == "hit"

    run(scenario())


def test_foreign_things_where_leases_and_versions_belong_are_replaced(
    redis_server: Redis, server: Any
) -> None:
    prefix = own_prefix()
    names = Keys(prefix)

    async def scenario() -> None:
        async with open_tier(redis_server.url(), prefix=prefix) as tier:
            for name in (names.lease("k"), names.tag("t"), names.epoch):
                server.rpush(name, "x")
            await store(tier, "k", 1, ("t",))
            assert (await tier.get("k", ("t",))).state == "hit"

    run(scenario())


def test_a_server_that_forgot_the_scripts_or_everything_costs_only_misses(
    redis_server: Redis, server: Any
) -> None:
    url = f"{redis_server.url().rsplit('/', 1)[0]}/7"

    async def scenario() -> None:
        async with open_tier(url) as tier:
            await store(tier, "k", 1, ("t",))
            server.script_flush()
            assert (await tier.get("k", ("t",))).state == "hit"
            lease = await tier.lease("other", ("t",))
            assert lease is not None
            server.script_flush()
            assert await tier.fill(lease, entry(1, ("t",)))
            lease = await tier.lease("third", ("t",))
            assert lease is not None
            with redis.Redis.from_url(url) as seven:
                seven.flushdb()
            assert (await tier.get("k", ("t",))).state == "miss"
            assert not await tier.fill(lease, entry("loaded before", ("t",)))
            await store(tier, "k", 2, ("t",))
            assert (await tier.get("k", ("t",))).state == "hit"
            assert tier.stats().errors == 0

    run(scenario())


def test_a_lost_version_is_a_miss(redis_server: Redis, server: Any) -> None:
    prefix = own_prefix()

    async def scenario() -> None:
        async with open_tier(redis_server.url(), prefix=prefix) as tier:
            await store(tier, "k", 1, ("t",))
            server.delete(Keys(prefix).tag("t"))  # evicted, say
            assert (await tier.get("k", ("t",))).state == "miss"
            lease = await tier.lease("k", ("t",))
            assert lease is not None
            assert (await tier.get("k", ("t",))).state == "miss", "a new version revives nothing"

    run(scenario())


def test_counts_add_up(redis_server: Redis) -> None:
    now = [time.time()]

    async def scenario() -> None:
        rng = random.Random(5)  # noqa: S311
        async with open_tier(redis_server.url(), clock=lambda: now[0]) as tier:
            gets = 0
            for _ in range(300):
                key, tags = str(rng.randrange(5)), ("t",)
                choice = rng.random()
                if choice < 0.6:
                    await tier.get(key, tags)
                    gets += 1
                elif choice < 0.9:
                    lease = await tier.lease(key, tags)
                    if lease is not None:
                        filled = entry(1, tags, lasts_s=now[0] - time.time() + 5, stale_s=5)
                        await tier.fill(lease, filled, ttl_s=100)
                elif choice < 0.95:
                    await tier.invalidate(tags=tags)
                else:
                    now[0] += 4
            stats = tier.stats()
            assert stats.gets == gets
            assert stats.gets == stats.hits + stats.stale + stats.misses + stats.unavailable
            assert min(stats.hits, stats.stale, stats.misses, stats.outdated) > 0
            assert stats.leases == stats.fills
            assert stats.errors == stats.slow == stats.unavailable == 0

    run(scenario())


def test_a_url_that_cannot_be_used_is_refused_without_showing_it() -> None:
    for url in ("redis://:s3cr/et@host:1", "http://:s3cret@host", "redis://host:s3cret"):
        with pytest.raises(CacheError, match="the Redis URL cannot be used") as caught:
            RedisTier(url)
        assert "s3cr" not in str(caught.value)
        assert caught.value.__cause__ is None
        assert caught.value.__suppress_context__
    with pytest.raises(CacheError, match="jitter"):
        RedisTier("redis://localhost", jitter=1.5)


def test_a_ping_says_why_the_server_cannot_be_used_and_keeps_the_password(
    redis_server: Redis,
) -> None:
    async def scenario() -> None:
        wrong = f"redis://:s3cret@{redis_server.host}:{redis_server.port}/0"
        async with open_tier(wrong) as tier:
            with pytest.raises(RedisUnavailable, match=f":{redis_server.port} does not") as caught:
                await tier.ping()
            assert "s3cret" not in str(caught.value) + repr(tier)
            assert (await tier.get("k")).state == "unavailable"
            assert await tier.lease("k") is None
            assert tier.stats().errors > 0
        async with open_tier(redis_server.url()) as tier:
            await tier.ping()

    run(scenario())
