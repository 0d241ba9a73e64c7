"""Clients that mean harm, or are merely broken: each costs only itself."""

from __future__ import annotations

import asyncio
import os

import numpy as np
import pytest

from event_loop import run, until
from perflab.realtime.client import RealtimeClient
from perflab.realtime.hub import Hub, HubSettings
from perflab.services import Redis
from perflab.services.proxy import Proxy

from .realtime_support import (
    STUBBORN,
    Raw,
    anybody,
    frame,
    handshake,
    stage,
)

SUBSCRIBE = b'{"type":"subscribe","id":1,"channel":"hot"}'

BROKEN = {
    "an unmasked frame": frame(SUBSCRIBE, masked=False),
    "a reserved opcode": frame(b"x", first=0x83),
    "reserved bits": frame(b"x", first=0xF1),
    "a fragmented ping": frame(b"", first=0x09),
    "a ping of 126 bytes": frame(b"x" * 126, first=0x89),
    "a continuation of nothing": frame(b"x", first=0x80),
    "text that is no UTF-8": frame(b"\xff\xfe"),
    "a frame that says it has 2**63 bytes": b"\x81\xff" + b"\xff" * 8 + b"mask",
    "a message beyond the limit": frame(b"x" * (64 * 1024 + 1)),
    "a close frame with half a code": frame(b"\x03", first=0x88),
    "bytes of no meaning": np.random.default_rng(1).bytes(5_000),
}


def test_frames_that_are_none_end_their_own_connection(redis_server: Redis) -> None:
    async def scenario() -> None:
        async with stage(redis_server) as scene:
            raws = [await scene.raw() for _ in BROKEN]
            for raw, broken in zip(raws, BROKEN.values(), strict=True):
                raw.writer.write(broken)
            await asyncio.gather(*(raw.ended() for raw in raws))
            await until(lambda: scene.hub.stats().connections == 1)
            await scene.is_alive()

    run(scenario())


def test_random_requests_are_counted_answered_and_in_the_end_cut_short(
    redis_server: Redis,
) -> None:
    async def scenario() -> None:
        async with stage(redis_server, most_faults=20) as scene:
            chance = np.random.default_rng(2)
            raws = [await scene.raw() for _ in range(20)]
            for raw in raws:
                for _ in range(20):
                    kind, size = int(chance.integers(4)), int(chance.integers(200))
                    junk = [
                        chance.bytes(size),
                        b"[" * 10 * size,
                        SUBSCRIBE[: size % len(SUBSCRIBE)],
                        b'{"type":"publish","id":1,"channel":"hot","data":' + b"[" * 900,
                    ][kind]
                    raw.writer.write(frame(junk, first=0x82))
            await asyncio.gather(*(raw.ended() for raw in raws))
            stats = scene.hub.stats()
            assert stats.malformed == 400
            assert stats.hostile == 20
            await scene.is_alive()

    run(scenario())


def test_handshakes_that_are_none_take_no_place(redis_server: Redis) -> None:
    async def scenario() -> None:
        async with stage(redis_server, open_s=0.3) as scene:
            for sent in (
                b"",  # never says anything
                b"GET / HTTP/1.1\r\nHost: hub\r\n",  # and never goes on
                b"GET / HTTP/1.1\r\n\r\n",
                b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",  # TLS
                handshake(**{"Sec-WebSocket-Version": "12"}),
                b"GET /" + b"a" * 70_000,
                os.urandom(2_000),
            ):
                raw = Raw(*await asyncio.open_connection(*scene.address))
                raw.writer.write(sent)
                await raw.ended()
            assert scene.hub.stats().connections == 1
            await scene.is_alive()

    run(scenario())


def test_sockets_that_never_finish_their_handshake_are_bounded_and_harm_nobody(
    redis_server: Redis,
) -> None:
    async def scenario() -> None:
        async with stage(redis_server, max_handshakes=5, open_s=1.0) as scene:
            raws = [Raw(*await asyncio.open_connection(*scene.address)) for _ in range(40)]
            await until(lambda: scene.hub.stats().refused_handshake == 35)
            assert scene.hub.stats().connections == 1
            await scene.is_alive()
            late = RealtimeClient([scene.hub.url], "late", settings=STUBBORN, seed=2)
            async with late:
                await late.subscribe("late")  # gets in when the silent ones were given up
                await asyncio.gather(*(raw.ended() for raw in raws))
                assert scene.hub.stats().connections == 2
                await scene.is_alive()

    run(scenario())


def test_who_is_refused_or_goes_away_leaves_room_for_others(redis_server: Redis) -> None:
    async def scenario() -> None:
        async with stage(redis_server, max_handshakes=1, max_connections=2) as scene:
            for _ in range(3):
                gone = Raw(*await asyncio.open_connection(*scene.address))
                await until(lambda: len(scene.hub._lobby) == 1)
                await gone.close()
                await until(lambda: not len(scene.hub._lobby))
            raw = await scene.raw()
            refused = await scene.raw(answered=False)
            await refused.ended()
            await until(lambda: not len(scene.hub._lobby))
            assert scene.hub.stats().refused_handshake == 0
            await raw.close()

    run(scenario())


@pytest.mark.parametrize(
    "flood",
    [frame(SUBSCRIBE), frame(b"x", first=0x89), frame(b"x", first=0x8A), frame(b"", first=0x01)],
    ids=["requests", "pings", "pongs", "fragments without an end"],
)
def test_a_flood_ends_or_is_ignored_and_the_others_are_served(
    redis_server: Redis, flood: bytes
) -> None:
    async def scenario() -> None:
        async with stage(redis_server) as scene:
            raw = await scene.raw()
            for _ in range(20):
                raw.writer.write(flood * 200)
                try:
                    await raw.writer.drain()
                except ConnectionError:
                    break
                await scene.is_alive()
            await raw.close()
            await until(lambda: scene.hub.stats().connections == 1)
            await scene.is_alive()

    run(scenario())


def test_a_client_that_never_reads_is_dropped_for_then_closed_and_memory_stays_bounded(
    redis_server: Redis,
) -> None:
    async def scenario() -> None:
        async with stage(redis_server, queue_limit=100, stall_s=1.0) as scene:
            raw = await scene.raw(receive_bytes=4_096)
            raw.writer.write(frame(SUBSCRIBE))
            await until(lambda: scene.hub.stats().subscriptions == 2)
            (slow,) = (one for one in scene.hub._connections if one.user == "guest")
            body = b'"' + b"x" * 8_000 + b'"'
            waiting = 0
            while not scene.hub.stats().slow:
                await asyncio.gather(*(scene.log.publish("hot", body) for _ in range(100)))
                if slow.outbox is not None:
                    waiting = max(waiting, slow.outbox.messages)
                    assert slow.outbox.messages <= 100
                # one batch more than the mark at which the hub begins to hold back
                assert slow.unsent_bytes <= 64 * 1024 + 200 * 1024
                await scene.is_alive()
            assert waiting > 50
            assert scene.hub.stats().dropped > 0
            await until(lambda: scene.hub.stats().connections == 1)
            await scene.is_alive()
            await raw.close()

    run(scenario())


def test_critical_messages_that_nobody_reads_end_the_connection_not_the_promise(
    redis_server: Redis,
) -> None:
    async def scenario() -> None:
        async with stage(redis_server, queue_limit=50, stall_s=3_600.0) as scene:
            raw = await scene.raw(receive_bytes=4_096)
            raw.writer.write(frame(SUBSCRIBE))
            await until(lambda: scene.hub.stats().subscriptions == 2)
            body = b'"' + b"x" * 8_000 + b'"'
            async with asyncio.timeout(20):
                while not scene.hub.stats().slow:
                    publishing = (scene.log.publish("hot", body, "critical") for _ in range(50))
                    await asyncio.gather(*publishing)
            assert scene.hub.stats().dropped == 0
            await scene.is_alive()
            await raw.close()

    run(scenario())


def test_a_half_open_socket_is_found_and_an_idle_one_kept(redis_server: Redis) -> None:
    """A proxy that lets nothing through: no side is told."""

    async def scenario() -> None:
        settings = HubSettings(heartbeat_s=0.4, timeout_s=0.4)
        async with Hub(redis_server.url(), anybody, settings, prefix="test-half-open:") as hub:
            host, port = hub.url.removeprefix("ws://").split(":")
            with Proxy(host, int(port)) as proxy:
                url = f"ws://{proxy.host}:{proxy.port}"
                async with RealtimeClient([url], settings=STUBBORN, seed=1) as client:
                    news = await client.subscribe("news")
                    await asyncio.sleep(1.2)
                    assert not client.outages, "answered pings keep an idle connection"
                    await asyncio.to_thread(proxy.stall)
                    await until(lambda: client.outages)
                    await until(lambda: hub.stats().dead == 1)
                    await asyncio.to_thread(proxy.resume)
                    await until(lambda: client.state == "connected")
                    await client.publish("news", "back")
                    assert (await anext(news)).data == b'"back"'

    run(scenario())


def test_one_connection_too_many_is_refused_and_the_others_are_served(
    redis_server: Redis,
) -> None:
    async def scenario() -> None:
        async with stage(redis_server, max_connections=30) as scene:
            raws = [await scene.raw() for _ in range(29)]
            for _ in range(50):
                raw = Raw(*await asyncio.open_connection(*scene.address))
                raw.writer.write(handshake())
                answer = await raw.reader.readuntil(b"\r\n\r\n")
                assert answer.startswith(b"HTTP/1.1 503")
                assert b"Retry-After:" in answer
                await raw.ended()
            assert scene.hub.stats().connections == 30
            await scene.is_alive()
            for raw in raws:
                await raw.close()
            await until(lambda: scene.hub.stats().connections == 1)
            await (await scene.raw()).close()

    run(scenario())
