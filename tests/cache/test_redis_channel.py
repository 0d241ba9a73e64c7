from __future__ import annotations

import asyncio
from typing import Any

import pytest
import redis.asyncio

from event_loop import own_prefix, run, until
from perflab.cache.entry import Invalidation
from perflab.cache.redis.channel import NAMES_A_MESSAGE, messages, read
from perflab.cache.redis.keys import Keys
from perflab.services import Redis
from perflab.services.proxy import Proxy

from .redis_support import open_tier

EVERYTHING = Invalidation(everything=True)


def test_messages_carry_every_name_once_in_bounded_parts() -> None:
    keys = [f"k{n}" for n in range(2 * NAMES_A_MESSAGE + 1)]
    tags = [f"t{n}" for n in range(NAMES_A_MESSAGE)]
    parts = [read(message) for message in messages(keys, tags, False)]
    assert [key for part in parts for key in part.keys] == keys
    assert [tag for part in parts for tag in part.tags] == tags
    assert max(len(part.keys) for part in parts) == NAMES_A_MESSAGE
    assert [read(message) for message in messages((), (), True)] == [EVERYTHING]


@pytest.mark.parametrize("message", [b"", b"hello", b"\xc1", b"\x93\x01\x02\x03"])
def test_a_message_that_is_not_understood_means_everything(message: bytes) -> None:
    assert read(message) == EVERYTHING


def test_every_listener_hears_of_every_invalidation(redis_server: Redis) -> None:
    prefix = own_prefix()

    async def scenario() -> None:
        heard: dict[str, list[Invalidation]] = {"here": [], "there": [], "elsewhere": []}
        async with (
            open_tier(redis_server.url(), prefix=prefix) as here,
            open_tier(redis_server.url(), prefix=prefix) as there,
            open_tier(redis_server.url()) as elsewhere,
        ):
            tiers = {"here": here, "there": there, "elsewhere": elsewhere}
            assert not here.connected
            for name, tier in tiers.items():
                tier.listen(heard[name].append)
            await until(lambda: all(tier.connected for tier in tiers.values()))
            assert all(said == [EVERYTHING] for said in heard.values())
            assert await here.invalidate(keys=["k"], tags=["t"])
            assert await here.invalidate(everything=True)
            expected = [EVERYTHING, Invalidation(("k",), ("t",)), EVERYTHING]
            await until(lambda: heard["here"] == heard["there"] == expected)
            assert heard["elsewhere"] == [EVERYTHING]
        assert not here.connected

    run(scenario())


def test_an_invalidation_is_heard_only_after_redis_has_it(redis_server: Redis) -> None:
    prefix = own_prefix()

    async def scenario() -> None:
        found: list[str] = []
        async with open_tier(redis_server.url(), prefix=prefix) as tier:
            lease = await tier.lease("k")
            assert lease is not None
            with redis.Redis.from_url(redis_server.url()) as server:
                name = Keys(prefix).lease("k")

                def look(invalidation: Invalidation) -> None:
                    if invalidation.keys:
                        found.append("there" if server.exists(name) else "gone")

                tier.listen(look)
                await until(lambda: tier.connected)
                await tier.invalidate(keys=["k"])
                await until(lambda: found)
        assert found == ["gone"]

    run(scenario())


@pytest.mark.parametrize("outage", ["cut", "stall"])
def test_a_broken_channel_means_everything_and_mends_itself(
    redis_server: Redis, outage: str
) -> None:
    async def scenario(proxy: Proxy) -> None:
        url = redis_server.url().replace(f":{redis_server.port}", f":{proxy.port}")
        heard: list[Invalidation] = []
        async with open_tier(url, timeout_s=0.3, probe_s=0.2) as tier:
            tier.listen(heard.append)
            await until(lambda: tier.connected)
            heard.clear()
            await asyncio.to_thread(proxy.refuse)
            await asyncio.to_thread(getattr(proxy, outage))
            await until(lambda: not tier.connected)
            assert heard == [EVERYTHING]
            await asyncio.to_thread(proxy.resume)
            await until(lambda: tier.connected)
            assert heard == [EVERYTHING, EVERYTHING]
            assert tier.stats().channel_losses == 1
            assert await tier.invalidate(keys=["k"])
            await until(lambda: heard[2:] == [Invalidation(("k",))])

    with Proxy(redis_server.host, redis_server.port) as proxy:
        run(scenario(proxy))


def test_a_quiet_channel_is_no_broken_one(redis_server: Redis) -> None:
    async def scenario() -> None:
        async with open_tier(redis_server.url(), timeout_s=0.05) as tier:
            heard: list[Invalidation] = []
            tier.listen(heard.append)
            await until(lambda: tier.connected)
            async with redis.asyncio.Redis.from_url(redis_server.url()) as server:
                before = await pings(server)
                while await pings(server) < before + 5:
                    await asyncio.sleep(0.01)
            assert heard == [EVERYTHING]
            assert tier.stats().channel_losses == 0

    async def pings(server: Any) -> int:
        found: dict[str, dict[str, int]] = await server.info("commandstats")
        return found.get("cmdstat_ping", {}).get("calls", 0)

    run(scenario())


def test_a_callback_that_fails_does_not_end_listening(redis_server: Redis) -> None:
    async def scenario() -> None:
        complaints: list[dict[str, Any]] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, said: complaints.append(said))
        heard: list[Invalidation] = []

        def callback(invalidation: Invalidation) -> None:
            heard.append(invalidation)
            raise ZeroDivisionError

        async with open_tier(redis_server.url()) as tier:
            tier.listen(callback)
            await until(lambda: tier.connected)
            await tier.invalidate(keys=["k"])
            await until(lambda: len(heard) == 2)
        assert {type(said["exception"]) for said in complaints} == {ZeroDivisionError}

    run(scenario())
