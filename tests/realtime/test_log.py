"""The log of channels in a real Redis: offsets, bounds, epochs, and what counts as recovered."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest
import redis

from event_loop import run
from perflab.realtime import (
    ChannelLog,
    ChannelsUnavailable,
    Lane,
    Position,
    RealtimeError,
    position_of,
)
from perflab.services.ports import free_ports

from .servers import Scene


def client_of(url: str) -> Any:
    return redis.Redis.from_url(url)


async def publish(log: ChannelLog, *data: bytes, lane: Lane = "normal") -> list[int]:
    return [(await log.publish("news", one, lane)).offset for one in data]


def test_each_lane_counts_for_itself_and_one_epoch_holds_for_both(scene: Scene) -> None:
    async def scenario() -> None:
        async with scene.log() as log:
            start = (await log.read("news")).position
            assert (start.critical, start.normal) == (0, 0)
            assert await publish(log, b"1", b"2") == [1, 2]
            assert await publish(log, b"3", lane="critical") == [1]
            assert (await log.publish("news", b"4")).epoch == start.epoch
            found = await log.read("news", start)
            assert found.recovered
            assert found.position == Position(start.epoch, 1, 3)
            assert [(one.lane, one.offset, one.data) for one in found.messages] == [
                ("critical", 1, b"3"),
                ("normal", 1, b"1"),
                ("normal", 2, b"2"),
                ("normal", 3, b"4"),
            ]

    run(scenario())


def test_publications_of_one_tick_keep_their_order_and_travel_together(
    scene: Scene,
) -> None:
    async def scenario() -> None:
        async with scene.log() as log:
            places = await asyncio.gather(*(log.publish("news", b"%d" % n) for n in range(100)))
            assert [place.offset for place in places] == list(range(1, 101))
            assert log.stats().batches == 1
            found = await log.read("news", Position(places[0].epoch, 0, 0))
            assert [one.data for one in found.messages] == [b"%d" % n for n in range(100)]

    run(scenario())


def test_history_beyond_its_size_is_not_recovered_and_never_in_part(scene: Scene) -> None:
    async def scenario() -> None:
        async with scene.log(history_size=3) as log:
            start = (await log.read("news")).position
            await publish(log, b"1", b"2", b"3")
            assert len((await log.read("news", start)).messages) == 3
            await publish(log, b"4")
            lost = await log.read("news", start)
            assert (lost.recovered, lost.messages) == (False, ())
            assert lost.position.normal == 4
            kept = await log.read("news", start._replace(normal=1))
            assert kept.recovered
            assert [one.data for one in kept.messages] == [b"2", b"3", b"4"]

    run(scenario())


def test_history_beyond_its_age_is_not_recovered(scene: Scene) -> None:
    async def scenario() -> None:
        async with scene.log(history_s=60) as log:
            start = (await log.read("news")).position
            await publish(log, b"1", b"2")
            stream = log._keys("news")[2]
            with client_of(scene.url) as client:
                entries = client.xrange(stream)
                client.delete(stream)
                # the first is made a minute older than it is
                for number, (name, fields) in enumerate(entries):
                    at = int(fields[b"at"]) - (60_000 if number == 0 else 0)
                    client.xadd(stream, {"at": at, "data": fields[b"data"]}, id=name)
                assert not (await log.read("news", start)).recovered
                assert (await log.read("news", start._replace(normal=1))).recovered
                await publish(log, b"3")
                assert [int(name.split(b"-")[0]) for name, _ in client.xrange(stream)] == [2, 3]
                assert 0 < client.pttl(stream) <= 60_000

    run(scenario())


def test_when_redis_has_lost_the_offsets_the_epoch_changes(scene: Scene) -> None:
    async def scenario() -> None:
        async with scene.log() as log:
            before = await log.publish("news", b"1")
            with client_of(scene.url) as client:
                client.delete(log._keys("news")[0])
            after = await log.publish("news", b"2")
            assert after.epoch != before.epoch
            assert after.offset == 1
            found = await log.read("news", Position(before.epoch, 0, 1))
            assert (found.recovered, found.messages) == (False, ())
            fresh = await log.read("news", Position(after.epoch, 0, 0))
            assert [one.data for one in fresh.messages] == [b"2"], "nothing of the old epoch"

    run(scenario())


def test_a_position_ahead_of_the_log_is_not_recovered(scene: Scene) -> None:
    async def scenario() -> None:
        async with scene.log() as log:
            epoch = (await log.publish("news", b"1")).epoch
            assert (await log.read("news", Position(epoch, 0, 1))).recovered
            assert not (await log.read("news", Position(epoch, 0, 2))).recovered

    run(scenario())


def test_without_redis_a_call_says_so_within_its_budget() -> None:
    async def scenario() -> None:
        async with Scene(f"redis://:hush@127.0.0.1:{next(free_ports())}").log() as log:
            for _ in range(5):
                with pytest.raises(ChannelsUnavailable, match="try again") as caught:
                    await log.publish("news", b"1")
                assert "hush" not in str(caught.value)
            stats = log.stats()
            assert (stats.unavailable, stats.breaker_open) == (5, True)

    run(scenario())


@pytest.mark.parametrize(
    ("channel", "data", "lane"),
    [
        ("", b"1", "normal"),
        ("a b", b"1", "normal"),
        ("{a}", b"1", "normal"),
        ("a" * 101, b"1", "normal"),
        ("a", b"1" * (32 * 1024 + 1), "normal"),
        ("a", b"1", "urgent"),
        (None, b"1", "normal"),
        ("a", {"n": 1}, "normal"),
        ("a", "1", "normal"),
        ("a", b"", "normal"),
        ("a", b"plain words", "normal"),
        ("a", b"1 2", "normal"),
        ("a", b'"\xff"', "normal"),
        ("a", b"1", ["normal"]),
    ],
)
def test_what_cannot_be_published_is_refused_before_redis_is_asked(
    channel: Any, data: Any, lane: Any
) -> None:
    async def scenario() -> None:
        async with Scene("redis://127.0.0.1:1").log() as log:
            with pytest.raises(RealtimeError) as caught:
                await log.publish(channel, data, lane)
            assert not isinstance(caught.value, ChannelsUnavailable)
            assert len(str(caught.value)) < 200

    run(scenario())


def test_a_position_of_another_type_is_refused() -> None:
    async def scenario() -> None:
        async with Scene("redis://127.0.0.1:1").log() as log:
            with pytest.raises(RealtimeError, match="after must be a Position, not str"):
                await log.read("news", cast("Position", "0a.1.1"))

    run(scenario())


@pytest.mark.parametrize("text", [None, "", "a.1", "g.1.1", "a.-1.1", "a.1.1.1", "a.1.1\n"])
def test_a_text_that_is_no_position_is_refused(text: Any) -> None:
    with pytest.raises(RealtimeError, match="no position"):
        position_of(text)


def test_a_position_is_written_and_read_back() -> None:
    position = Position("0a1b", 3, 12)
    assert position_of(position.text()) == position


@pytest.mark.parametrize("options", [{"history_size": 0}, {"history_s": 0}, {"history_s": 1e9}])
def test_bounds_without_a_usable_value_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(RealtimeError, match=next(iter(options))):
        Scene("redis://127.0.0.1:1").log(**options)
