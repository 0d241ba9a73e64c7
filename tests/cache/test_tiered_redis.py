"""The tiered cache over a real Redis: one load over processes, dead holders, an outage."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from event_loop import own_prefix
from perflab.cache.codec import Codec
from perflab.cache.entry import ABSENT, Absent
from perflab.cache.memory import MemoryTier
from perflab.cache.policy import USER_PROFILE, CachePolicy
from perflab.cache.redis import RedisTier
from perflab.cache.shared import SharedTier
from perflab.cache.tiered import TieredCache
from perflab.services import Redis, Services
from perflab.services.embedded.redis import EmbeddedRedis
from perflab.services.ports import free_ports

from .redis_support import open_tier
from .stand_ins import Source, run

PROCESSES = 4
READERS = 250
RECOVERY_S = 5.0
"""What the tiers promise after an outage."""
PLAIN = CachePolicy(name="plain", ttl_s=60.0, early_refresh=False)


class Profile(msgspec.Struct, frozen=True):
    name: str
    about: str


class Reader:
    """A process of ``reader_process``."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process

    def say(self, line: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{line}\n")
        self.process.stdin.flush()

    def heard(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def result(self) -> tuple[dict[str, Any], int]:
        """What it reports, and how often it began to load."""
        loads = 0
        while (line := self.heard()) == "loading":
            loads += 1
        return json.loads(line), loads


@contextmanager
def reader(url: str, prefix: str, **orders: Any) -> Iterator[Reader]:
    program = [sys.executable, str(Path(__file__).with_name("reader_process.py"))]
    with subprocess.Popen(
        program, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            started = Reader(process)
            defaults = {
                "url": url,
                "prefix": prefix,
                "reachable": True,
                "readers": READERS,
                "load_s": 0.5,
                "hard_timeout_s": 60.0,
            }
            started.say(json.dumps(defaults | orders))
            yield started
        finally:
            process.kill()


def read_in_processes(url: str, **orders: Any) -> list[tuple[dict[str, Any], int]]:
    prefix = own_prefix()
    with ExitStack() as stack:
        readers = [stack.enter_context(reader(url, prefix, **orders)) for _ in range(PROCESSES)]
        assert [one.heard() for one in readers] == ["ready"] * PROCESSES
        for one in readers:
            one.say("go")
        return [one.result() for one in readers]


def test_a_thousand_misses_over_four_processes_are_one_load(redis_server: Redis) -> None:
    results = read_in_processes(redis_server.url())
    assert [report["values"] for report, _ in results] == [["the value"]] * PROCESSES
    assert sum(report["requests"] for report, _ in results) == PROCESSES * READERS
    assert sorted(loads for _, loads in results) == [0, 0, 0, 1]
    assert all(report["loads"] == loads for report, loads in results)
    assert all(report["imbalances"] == [] for report, _ in results)


def test_with_redis_down_they_are_one_load_in_each_process() -> None:
    results = read_in_processes(f"redis://127.0.0.1:{next(free_ports())}/0", reachable=False)
    assert [report["values"] for report, _ in results] == [["the value"]] * PROCESSES
    assert [loads for _, loads in results] == [1] * PROCESSES
    assert all(report["imbalances"] == [] for report, _ in results)


@pytest.mark.serial
def test_killing_the_holder_delays_the_others_by_at_most_the_lease_time(
    redis_server: Redis,
) -> None:
    policy = CachePolicy(name="p", ttl_s=60.0, hard_timeout_s=2.0)
    prefix = own_prefix()
    source = Source(load_s=0.01)

    async def scenario(holder: Reader) -> None:
        shared = open_tier(redis_server.url(), prefix=prefix)
        async with shared, TieredCache(MemoryTier(), shared) as cache:
            await shared.ping()
            holder.say("go")
            assert await asyncio.to_thread(holder.heard) == "loading"
            holder.process.kill()
            killed_at = time.monotonic()
            assert await cache.get_or_load("k", source, policy, ["t"]) == 1
            # the holder had its lease already; a busy machine may add a little
            assert time.monotonic() - killed_at < policy.lease_s + 1.0

    with reader(
        redis_server.url(), prefix, readers=1, load_s=600.0, hard_timeout_s=policy.hard_timeout_s
    ) as holder:
        assert holder.heard() == "ready"
        run(lambda: scenario(holder), virtual=False)


def test_typed_values_pass_through_redis_and_negative_ones_too(redis_server: Redis) -> None:
    policy = msgspec.structs.replace(
        USER_PROFILE, codec=Codec(Profile, compression="zstd"), memory_ttl_s=0.001
    )
    known = Profile("Ada", "lorem ipsum " * 1000)

    async def there() -> Profile | Absent:
        return known

    async def nowhere() -> Profile | Absent:
        return ABSENT

    async def never() -> Profile | Absent:
        raise AssertionError("it is in Redis")

    async def scenario() -> None:
        shared = open_tier(redis_server.url())
        async with shared, TieredCache(None, shared) as cache:
            for key, load, value in (("1", there, known), ("2", nowhere, ABSENT)):
                assert await cache.get_or_load(key, load, policy) == value
                assert await cache.get_or_load(key, never, policy) == value
            total = cache.stats().ledger.total
            assert total.redis.hits == 2
            assert 0 < total.redis.bytes < 1000  # zstd had 12 kB of repetition to work on

    run(scenario, virtual=False)


def test_a_value_that_redis_cannot_hold_is_still_served(
    redis_server: Redis, caplog: pytest.LogCaptureFixture
) -> None:
    async def load() -> object:
        return object()

    async def scenario() -> None:
        shared = open_tier(redis_server.url())
        async with shared, TieredCache(MemoryTier(), shared) as cache:
            value = await cache.get_or_load("k", load, PLAIN)
            assert type(value) is object
            assert await cache.get_or_load("k", load, PLAIN) is value  # from memory
            assert await shared.lease("k") is not None  # nobody has to wait for a lease

    run(scenario, virtual=False)
    assert "'k' (policy plain) stays out of Redis" in caplog.text


def test_a_purge_reaches_the_memory_of_another_cache(redis_server: Redis) -> None:
    policy = CachePolicy(name="p", ttl_s=60.0, memory_ttl_s=60.0)

    async def scenario() -> None:
        prefix, source = own_prefix(), Source(load_s=0.0)
        tiers = [open_tier(redis_server.url(), prefix=prefix) for _ in range(2)]
        one, other = (TieredCache(MemoryTier(), tier) for tier in tiers)
        async with tiers[0], tiers[1], one, other:
            async with asyncio.timeout(30):
                while not all(tier.connected for tier in tiers):
                    await asyncio.sleep(0.01)
            for cache in (one, other):
                assert await cache.get_or_load("k", source, policy, ["t"]) == 1
            assert await one.invalidate(tags=["t"])
            async with asyncio.timeout(30):
                while await other.get_or_load("k", source, policy, ["t"]) == 1:
                    await asyncio.sleep(0.001)
            assert await one.get_or_load("k", source, policy, ["t"]) == 2

    run(scenario, virtual=False)


@pytest.mark.serial
def test_redis_killed_under_load_fails_no_request_and_is_used_again(
    own_services: Services,
) -> None:
    server = own_services.redis
    policy = CachePolicy(name="p", ttl_s=60.0, memory_ttl_s=0.01, hard_timeout_s=30.0)
    failures: list[BaseException] = []
    served = 0

    async def scenario() -> None:
        source = Source(load_s=0.005)
        shared = RedisTier(server.url(), prefix=own_prefix())
        over = False

        async def user(number: int) -> None:
            nonlocal served
            while not over:
                try:
                    await cache.get_or_load(f"k{number % 10}", source, policy, ["t"])
                    served += 1
                except Exception as error:  # noqa: BLE001 - any failure is what this looks for
                    failures.append(error)
                await asyncio.sleep(0.01)

        def hits() -> int:
            return cache.stats().ledger.total.redis.hits

        async with shared, TieredCache(MemoryTier(), shared) as cache:
            await shared.ping()
            users = [asyncio.ensure_future(user(number)) for number in range(20)]
            while hits() < 50:
                await asyncio.sleep(0.01)
            assert isinstance(server.control, EmbeddedRedis)
            os.kill(server.control.site.main_pid, signal.SIGKILL)
            away = cache.stats().ledger.total.redis.bypassed
            while cache.stats().ledger.total.redis.bypassed == away:
                await asyncio.sleep(0.01)
            await asyncio.to_thread(server.restart)
            back_at, before = time.monotonic(), hits()
            while hits() < before + 10:
                await asyncio.sleep(0.01)
            recovered_s = time.monotonic() - back_at
            over = True
            await asyncio.gather(*users)
            assert cache.stats().ledger.total.imbalances() == []
        assert recovered_s <= RECOVERY_S

    run(scenario, virtual=False)
    assert failures == []
    assert served > 100


def test_the_tier_in_redis_is_what_the_cache_asks_for() -> None:
    tier: type[SharedTier] = RedisTier
    assert tier is RedisTier
