"""The index from tags to URLs in a real Redis: atomic, bounded, harmless when lost."""

from __future__ import annotations

import asyncio
from typing import Any

import redis
from hypothesis import given, settings
from hypothesis import strategies as st

from event_loop import own_prefix, run
from perflab.cache.edge import RedisTagIndex
from perflab.services import Redis


class Scene:
    """An index and its clock."""

    def __init__(self, url: str, **options: Any) -> None:
        self.ahead_s = 0.0
        self.prefix = own_prefix()
        self.raw: Any = redis.Redis.from_url(url)
        seconds, micro = self.raw.time()
        self.began_s = seconds + micro / 1e6
        self.index = RedisTagIndex(url, prefix=self.prefix, clock=self.clock, **options)

    def clock(self) -> float:
        return self.began_s + self.ahead_s

    def ttl_s(self, tag: str) -> float:
        return float(self.raw.pttl(f"{self.prefix}e:{tag}")) / 1000

    async def close(self) -> None:
        await self.index.close()
        self.raw.close()


def test_urls_are_found_under_each_of_their_tags(redis_server: Redis) -> None:
    async def scenario() -> None:
        scene = Scene(redis_server.url())
        assert await scene.index.add("h/a", {"x", "y"}, 600)
        assert await scene.index.add("h/b", {"y"}, 600)
        assert await scene.index.urls({"x"}) == frozenset({"h/a"})
        assert await scene.index.urls({"x", "y"}) == frozenset({"h/a", "h/b"})
        assert await scene.index.urls({"z"}) == frozenset()
        await scene.close()

    run(scenario())


def test_reading_takes_nothing_away(redis_server: Redis) -> None:
    async def scenario() -> None:
        scene = Scene(redis_server.url())
        await scene.index.add("h/a", {"x"}, 600)
        for _ in range(2):
            assert await scene.index.urls({"x"}) == frozenset({"h/a"})
        await scene.close()

    run(scenario())


def test_url_goes_when_its_response_can_be_served_no_longer(redis_server: Redis) -> None:
    async def scenario() -> None:
        scene = Scene(redis_server.url())
        await scene.index.add("h/short", {"x"}, 100)
        await scene.index.add("h/long", {"x"}, 600)
        await scene.index.add("h/long", {"x"}, 50)  # a shorter time never shortens
        scene.ahead_s = 200
        assert await scene.index.urls({"x"}) == frozenset({"h/long"})
        await scene.index.add("h/new", {"x"}, 60)
        assert scene.raw.zcard(f"{scene.prefix}e:x") == 2, "what is over was dropped on the way"
        await scene.close()

    run(scenario())


@settings(max_examples=20, deadline=None)
@given(times=st.lists(st.integers(1, 10_000), min_size=1, max_size=10))
def test_index_of_a_tag_lasts_as_long_as_its_last_url(
    redis_server: Redis, times: list[int]
) -> None:
    async def scenario() -> None:
        scene = Scene(redis_server.url())
        for number, lasts_s in enumerate(times):
            await scene.index.add(f"h/{number}", {"x"}, lasts_s)
        assert max(times) - 60 < scene.ttl_s("x") <= max(times) + 1
        await scene.close()

    run(scenario())


def test_tag_with_too_many_urls_is_unknown_rather_than_incomplete(redis_server: Redis) -> None:
    async def scenario() -> None:
        scene = Scene(redis_server.url(), most_urls=3)
        for number in range(3):
            await scene.index.add(f"h/{number}", {"x"}, 600)
        urls = await scene.index.urls({"x"})
        assert urls is not None
        assert len(urls) == 3
        for number in range(3, 10):
            await scene.index.add(f"h/{number}", {"x"}, 700)
            assert await scene.index.urls({"x"}) is None
            assert scene.raw.zcard(f"{scene.prefix}e:x") == 1
        assert await scene.index.urls({"x", "other"}) is None
        scene.ahead_s = 800
        assert await scene.index.urls({"x"}) == frozenset(), "with its last URL that is over"
        await scene.close()

    run(scenario())


def test_redis_that_is_away_is_an_answer_not_an_error() -> None:
    async def scenario() -> None:
        index = RedisTagIndex("redis://:secret@127.0.0.1:1/0")
        assert await index.add("h/a", {"x"}, 60) is False
        assert await index.urls({"x"}) is None
        assert "secret" not in repr(index)
        await index.close()

    run(scenario())


def test_redis_that_hangs_is_an_answer_in_time() -> None:
    async def never(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    async def scenario() -> None:
        server = await asyncio.start_server(never, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        index = RedisTagIndex(f"redis://127.0.0.1:{port}/0", timeout_s=0.05)
        assert await index.add("h/a", {"x"}, 60) is False
        assert await index.urls({"x"}) is None
        await index.close()
        server.close()

    run(scenario())


def test_foreign_value_under_the_key_is_an_answer_not_an_error(redis_server: Redis) -> None:
    async def scenario() -> None:
        scene = Scene(redis_server.url())
        scene.raw.set(f"{scene.prefix}e:x", "foreign", ex=60)
        assert await scene.index.add("h/a", {"x", "y"}, 60) is False
        assert await scene.index.urls({"x"}) is None
        await scene.close()

    run(scenario())
