"""Several connections as one: who gets what to do, in what order, and when a hub is gone."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import pytest

from event_loop import PATIENCE_S, run, until
from perflab.realtime import Message, RealtimeError
from perflab.realtime.client import ClientPool, RealtimeClient, State
from perflab.realtime.client.pool import Member, better_of_two

from .servers import FAST, Scene


def pool(*urls: str, **options: Any) -> ClientPool:
    return ClientPool(urls, settings=FAST, seed=3, **options)


@dataclass
class Standing:
    """In place of a client, which only its state is asked of."""

    state: State


def member(state: State, channels: int = 0, under_way: int = 0) -> Member:
    return Member(cast("RealtimeClient", Standing(state)), channels, under_way)


@pytest.mark.parametrize(
    ("better", "worse"),
    [
        (member("connected", 9, 9), member("degraded")),
        (member("degraded", 9), member("reconnecting")),
        (member("reconnecting", 9), member("failed")),
        (member("connected", 1, 1), member("connected", 0, 3)),
    ],
)
def test_health_comes_first_and_then_what_there_is_to_do(better: Member, worse: Member) -> None:
    rng = np.random.default_rng(1)
    assert {better_of_two([better, worse], rng) is better for _ in range(20)} == {True}
    assert better_of_two([worse], rng) is worse


def test_two_draws_spread_what_there_is_to_do() -> None:
    rng = np.random.default_rng(2)
    members = [member("connected") for _ in range(4)]
    for _ in range(400):
        better_of_two(members, rng).channels += 1
    assert all(95 <= one.channels <= 105 for one in members)


def test_channels_and_publications_are_spread_and_everything_arrives(scene: Scene) -> None:
    async def scenario() -> None:
        async with scene.hub() as one, scene.hub() as two, pool(one.url, two.url) as clients:
            await until(lambda: set(clients.states) == {"connected"})
            got: Counter[str] = Counter()

            def read(message: Message) -> None:
                got[message.channel] += 1

            names = [f"c{number}" for number in range(12)]
            for name in names:
                await clients.subscribe(name, read)
            assert all(2 <= each.channels <= 4 for each in clients._members)
            await asyncio.gather(*(clients.publish(name, 1, "critical") for name in names * 5))
            await until(lambda: sum(got.values()) == 60)
            assert set(got.values()) == {5}
            assert one.stats().requests + two.stats().requests == 12 + 60
            assert not clients._publishing
            assert all(each.under_way == 0 for each in clients._members)
            with pytest.raises(RealtimeError, match="subscribed already"):
                await clients.subscribe("c0")
            await clients.unsubscribe("c0")
            again = await clients.subscribe("c0")
            await clients.publish("c0", "again", "critical")
            async with asyncio.timeout(PATIENCE_S):
                assert (await anext(again)).data == b'"again"'
            with pytest.raises(RealtimeError, match="name"):
                await clients.subscribe("no channel")
            assert sum(each.channels for each in clients._members) == 12
        assert set(clients.states) == {"closed"}

    run(scenario())


def test_publications_of_a_channel_stay_in_order(scene: Scene) -> None:
    async def scenario() -> None:
        async with scene.hub() as one, scene.hub() as two, pool(one.url, two.url) as clients:
            news = await clients.subscribe("news")
            count = 40
            places = await asyncio.gather(*(clients.publish("news", n) for n in range(count)))
            assert [place.offset for place in places] == list(range(1, count + 1))
            async with asyncio.timeout(PATIENCE_S):
                assert [int((await anext(news)).data) for _ in range(count)] == list(range(count))

    run(scenario())


def test_when_a_hub_is_gone_its_connections_go_to_the_other_and_nothing_is_missed(
    scene: Scene,
) -> None:
    async def scenario() -> None:
        async with (
            scene.log() as log,
            scene.hub() as one,
            scene.hub() as two,
            pool(one.url, two.url) as clients,
        ):
            names = [f"c{number}" for number in range(8)]
            subscriptions = [await clients.subscribe(name) for name in names]
            await until(lambda: one.stats().connections + two.stats().connections == 4)
            gone, left = (one, two) if one.stats().connections else (two, one)
            await gone.drain(0.0)
            for name in names:
                await log.publish(name, b"1")
            async with asyncio.timeout(PATIENCE_S):
                assert [(await anext(each)).data for each in subscriptions] == [b"1"] * 8
            await until(lambda: left.stats().connections == 4)
            assert [each.gaps for each in subscriptions] == [0] * 8

    run(scenario())


def test_a_pool_without_a_connection_is_refused(scene: Scene) -> None:
    async def scenario() -> None:
        with pytest.raises(RealtimeError, match="size=0"):
            pool("ws://hub", size=0)

    run(scenario())
