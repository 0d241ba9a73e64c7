"""Hubs and Redis that go away: who was subscribed gets every message once, or is told of a gap."""

from __future__ import annotations

import asyncio
import os
import signal
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import msgspec

from event_loop import PATIENCE_S, own_prefix, run, until
from perflab.realtime import ChannelLog, Lane, Message, Position
from perflab.realtime.client import RealtimeClient, Subscription
from perflab.realtime.hub import Hub, HubSettings
from perflab.realtime.hub.apart import HubProcess
from perflab.realtime.hub.process import HubOrder
from perflab.realtime.tokens import Tokens
from perflab.services import Redis, Services
from perflab.services.proxy import Proxy

from .realtime_support import STUBBORN, anybody

SECRET = "of-the-tests-and-of-nothing-else-at-all"
CLIENTS = 24
CHANNELS = 4


class Crowd:
    """Clients spread over channels, and what each of them got."""

    def __init__(self) -> None:
        self.clients: list[RealtimeClient] = []
        self.subscriptions: list[Subscription] = []
        self.got: list[list[Message]] = []
        self.gaps: list[list[Position]] = []

    @property
    def connected(self) -> bool:
        return all(client.state == "connected" for client in self.clients)

    def each_got_once(self, published: dict[str, list[tuple[Lane, bytes]]]) -> bool:
        """Whether everybody has all of their channel; false as long as something is missing."""
        for subscription, got in zip(self.subscriptions, self.got, strict=True):
            expected = published[subscription.channel]
            assert max(Counter(one.data for one in got).values(), default=1) == 1, "no duplicates"
            for lane in ("critical", "normal"):
                part = [one.data for one in got if one.lane == lane]
                of_lane = [data for of, data in expected if of == lane]
                assert part == of_lane[: len(part)], "in order"
            if len(got) < len(expected):
                return False
        return True


@asynccontextmanager
async def crowd(*urls: str, tokens: Tokens | None = None) -> AsyncIterator[Crowd]:
    opened = Crowd()
    async with AsyncExitStack() as stack:
        for number in range(CLIENTS):
            token = None if tokens is None else tokens.sign(str(number), 600)
            client = RealtimeClient(urls, token, settings=STUBBORN, seed=number)
            opened.clients.append(await stack.enter_async_context(client))
            opened.got.append([])
            opened.gaps.append([])
        opened.subscriptions += await asyncio.gather(
            *(
                client.subscribe(
                    f"room{number % CHANNELS}",
                    opened.got[number].append,
                    on_gap=opened.gaps[number].append,
                )
                for number, client in enumerate(opened.clients)
            )
        )
        yield opened


class Publisher:
    """Publishes in both lanes of all channels, and remembers what."""

    def __init__(self, log: ChannelLog) -> None:
        self._log = log
        self.published: dict[str, list[tuple[Lane, bytes]]] = {
            f"room{number}": [] for number in range(CHANNELS)
        }

    async def publish(self, rounds: int) -> None:
        for _ in range(rounds):
            for channel, done in self.published.items():
                lane: Lane = "critical" if len(done) % 3 == 0 else "normal"
                data = b'"%s-%d"' % (channel.encode(), len(done))
                await self._log.publish(channel, data, lane)
                done.append((lane, data))


def test_after_kill_9_of_one_of_two_hubs_everyone_gets_every_message_once(
    redis_server: Redis,
) -> None:
    prefix = own_prefix()
    order = HubOrder(redis=redis_server.url(), secret=SECRET, prefix=prefix)

    async def scenario(doomed: HubProcess, other: HubProcess) -> None:
        tokens = Tokens(SECRET)
        async with (
            ChannelLog(redis_server.url(), prefix=prefix, budget_s=PATIENCE_S) as log,
            crowd(doomed.url, other.url, tokens=tokens) as people,
        ):
            publisher = Publisher(log)
            await publisher.publish(10)
            before = other.report().stats.connections
            assert 0 < before < CLIENTS
            os.kill(doomed.pid, signal.SIGKILL)
            await publisher.publish(30)
            await until(lambda: people.connected and other.report().stats.connections == CLIENTS)
            await publisher.publish(10)
            await until(lambda: people.each_got_once(publisher.published))
            assert not any(people.gaps)
            assert sum(len(client.outages) for client in people.clients) == CLIENTS - before
            assert other.report().stats.recovered > 0

    with HubProcess(order) as doomed, HubProcess(order) as other:
        run(scenario(doomed, other))


def test_a_hub_that_hangs_is_left_by_its_clients_when_it_has_been_silent_for_too_long(
    redis_server: Redis,
) -> None:
    prefix = own_prefix()
    order = HubOrder(
        redis=redis_server.url(),
        secret=SECRET,
        prefix=prefix,
        settings=HubSettings(heartbeat_s=0.5, timeout_s=0.5),
    )

    async def scenario(hanging: HubProcess, other: HubProcess) -> None:
        async with (
            ChannelLog(redis_server.url(), prefix=prefix, budget_s=PATIENCE_S) as log,
            crowd(hanging.url, other.url, tokens=Tokens(SECRET)) as people,
        ):
            publisher = Publisher(log)
            hit = CLIENTS - other.report().stats.connections
            os.kill(hanging.pid, signal.SIGSTOP)
            await publisher.publish(10)
            await until(lambda: other.report().stats.connections == CLIENTS)
            await until(lambda: people.connected)
            await until(lambda: people.each_got_once(publisher.published))
            outages = [one for client in people.clients for one in client.outages]
            assert len(outages) >= hit
            for outage in outages[:hit]:
                assert outage.reason == "nothing was heard for 1 s"
                assert outage.detected_at - outage.heard_at >= 1.0
            assert not any(people.gaps)

    with HubProcess(order) as hanging, HubProcess(order) as other:
        run(scenario(hanging, other))


def test_a_hub_that_is_told_to_end_drains_and_nobody_misses_anything(redis_server: Redis) -> None:
    prefix = own_prefix()
    order = HubOrder(redis=redis_server.url(), secret=SECRET, prefix=prefix, drain_s=0.5)

    async def scenario(leaving: HubProcess, other: HubProcess) -> None:
        async with (
            ChannelLog(redis_server.url(), prefix=prefix, budget_s=PATIENCE_S) as log,
            crowd(leaving.url, other.url, tokens=Tokens(SECRET)) as people,
        ):
            publisher = Publisher(log)
            await publisher.publish(5)
            leaving.drain()
            await publisher.publish(20)
            assert await asyncio.to_thread(leaving.wait) == 0
            await until(lambda: people.connected and other.report().stats.connections == CLIENTS)
            await until(lambda: people.each_got_once(publisher.published))
            assert not any(people.gaps)

    with HubProcess(order) as leaving, HubProcess(order) as other:
        run(scenario(leaving, other))


def test_a_hub_that_lost_redis_for_a_moment_catches_up_and_nobody_notices(
    redis_server: Redis,
) -> None:
    async def scenario(proxy: Proxy) -> None:
        prefix = own_prefix()
        through = redis_server.url().replace(
            f"{redis_server.host}:{redis_server.port}", f"{proxy.host}:{proxy.port}"
        )
        async with (
            ChannelLog(redis_server.url(), prefix=prefix, budget_s=PATIENCE_S) as log,
            Hub(through, anybody, prefix=prefix) as hub,
            crowd(hub.url) as people,
        ):
            publisher = Publisher(log)
            await publisher.publish(5)
            for _ in range(2):
                await asyncio.to_thread(proxy.refuse)
                await asyncio.to_thread(proxy.cut)
                await publisher.publish(5)
                await asyncio.to_thread(proxy.resume)
                await publisher.publish(5)
                await until(lambda: people.each_got_once(publisher.published))
            assert hub.stats().losses == 2
            assert hub.stats().gaps == 0
            assert not any(people.gaps)
            assert not any(client.outages for client in people.clients)

    with Proxy(redis_server.host, redis_server.port) as proxy:
        run(scenario(proxy))


def test_after_a_restart_of_redis_everyone_is_told_of_the_gap_and_goes_on(
    own_services: Services,
) -> None:
    server = own_services.redis

    async def scenario() -> None:
        prefix = own_prefix()
        async with (
            ChannelLog(server.url(), prefix=prefix, budget_s=PATIENCE_S) as log,
            Hub(server.url(), anybody, prefix=prefix) as hub,
            crowd(hub.url) as people,
        ):
            publisher = Publisher(log)
            await publisher.publish(5)
            await until(lambda: people.each_got_once(publisher.published))
            await asyncio.to_thread(server.restart)
            await until(lambda: all(len(gaps) == 1 for gaps in people.gaps))
            for got in people.got:
                got.clear()
            after = Publisher(log)
            await after.publish(5)
            await until(lambda: people.each_got_once(after.published))
            assert [subscription.gaps for subscription in people.subscriptions] == [1] * CLIENTS
            assert hub.stats().gaps == CHANNELS
            assert not any(client.outages for client in people.clients)

    run(scenario())


def test_a_hub_ends_with_whoever_started_it() -> None:
    order = HubOrder(redis="redis://127.0.0.1:1", secret=SECRET)
    with HubProcess(order) as hub:
        pid = hub.pid
        pipe = hub._running().stdin
        assert pipe is not None
        pipe.close()
        assert hub.wait() == 0
    assert msgspec.json.decode(msgspec.json.encode(order), type=HubOrder) == order
    assert pid
