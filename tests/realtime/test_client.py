"""A client that loses hubs, resumes, queues, and polls while there is no hub at all."""

from __future__ import annotations

import asyncio
import itertools
from typing import Any, cast

import httpx
import msgspec
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from event_loop import PATIENCE_S, run, until
from perflab.ratelimit import Policy
from perflab.realtime import (
    LANES,
    ChannelLog,
    ChannelsUnavailable,
    Lane,
    Message,
    Position,
    RealtimeError,
    position_of,
)
from perflab.realtime.client import ClientSettings, Subscription
from perflab.realtime.client.outgoing import Outgoing
from perflab.realtime.client.session import Session
from perflab.realtime.client.socket import ClientSocket
from perflab.realtime.hub import Hub
from perflab.realtime.polls import poll_of
from perflab.realtime.protocol import (
    Accepted,
    Publish,
    Refused,
    Subscribe,
    Subscribed,
    Unsubscribe,
    Unsubscribed,
)
from perflab.realtime.waiting import Waiting
from perflab.services.ports import free_ports

from .servers import FAST, Scene, open_client

IMPATIENT = msgspec.structs.replace(FAST, attempts=3, backoff_base_s=0.01, upgrade_s=0.3)


async def read(messages: Subscription, count: int) -> list[bytes]:
    async with asyncio.timeout(PATIENCE_S):
        return [(await anext(messages)).data for _ in range(count)]


def port_of(hub: Hub) -> int:
    return int(hub.url.rpartition(":")[2])


def test_publish_and_subscribe_with_async_for_and_with_callbacks(scene: Scene) -> None:
    async def scenario() -> None:
        got: list[Message] = []
        async with scene.hub() as hub, open_client(hub.url) as client:
            await client.subscribe("alarms", got.append)
            news = await client.subscribe("news")
            for number in range(3):
                place = await client.publish("news", {"n": number})
                assert place.offset == number + 1
            await client.publish("alarms", "fire", "critical")
            assert await read(news, 3) == [b'{"n":0}', b'{"n":1}', b'{"n":2}']
            await until(lambda: got)
            assert [(one.channel, one.lane, one.data) for one in got] == [
                ("alarms", "critical", b'"fire"')
            ]
            assert client.state == "connected"
            await client.unsubscribe("news")
            assert [one async for one in news] == [], "the iteration ends"
            assert hub.stats().subscriptions == 1
            again = await client.subscribe("news")
            await client.publish("news", "again")
            assert await read(again, 1) == [b'"again"']
        assert client.transitions[-1].state == "closed"
        with pytest.raises(RealtimeError, match="closed"):
            await client.publish("news", 1)

    run(scenario())


def test_a_lost_connection_is_resumed_on_the_other_hub_with_every_message_once(
    scene: Scene,
) -> None:
    async def scenario() -> None:
        async with (
            scene.log() as log,
            scene.hub() as one,
            scene.hub() as two,
            open_client(one.url, two.url) as client,
        ):
            news = await client.subscribe("news")
            published = 0
            for round_ in range(4):
                for _ in range(20):
                    published += 1
                    await log.publish("news", b"%d" % published, _lane(published))
                hub = one if one.stats().connections else two
                for connection in tuple(hub._connections):
                    connection.cut_off()
                for _ in range(20):
                    published += 1
                    await log.publish("news", b"%d" % published, _lane(published))
                await until(lambda r=round_: len(client.outages) == r + 1)  # type: ignore[misc]
                await until(lambda: client.state == "connected")
            got = [int(data) for data in await read(news, published)]
            assert sorted(got) == list(range(1, published + 1))
            for lane in (0, 1):
                part = [number for number in got if number % 2 == lane]
                assert part == sorted(part)
            assert (news.gaps, news.cursor.missed) == (0, 0)
            for outage in client.outages:
                assert outage.back_by == "connected"
                assert outage.back_at is not None
                assert outage.heard_at <= outage.detected_at <= outage.back_at
                assert outage.attempts >= 1
            states = [transition.state for transition in client.transitions]
            assert states == ["connected", "reconnecting"] * 4 + ["connected"]

    run(scenario())


def _lane(number: int) -> Lane:
    return "critical" if number % 2 else "normal"


def test_a_draining_hub_is_left_for_another_one(scene: Scene) -> None:
    async def scenario() -> None:
        async with (
            scene.log() as log,
            scene.hub() as one,
            scene.hub() as two,
            open_client(two.url, one.url) as client,
        ):
            news = await client.subscribe("news")
            leaving, staying = (two, one) if two.stats().connections else (one, two)
            await leaving.drain(0.3)
            await until(lambda: client.state == "connected")
            await log.publish("news", b"1")
            assert await read(news, 1) == [b"1"]
            assert staying.stats().connections == 1
            assert client.outages[0].reason == "the hub shuts down"
            assert news.gaps == 0

    run(scenario())


def test_what_is_published_while_reconnecting_waits_for_the_next_connection(
    scene: Scene,
) -> None:
    async def scenario() -> None:
        port = next(free_ports())
        settings = msgspec.structs.replace(FAST, attempts=1_000, send_queue=2)
        async with open_client(f"ws://127.0.0.1:{port}", settings=settings) as client:
            waiting = [
                asyncio.create_task(client.publish("news", lane, lane))
                for lane in ("normal", "critical")
            ]
            await asyncio.sleep(0.1)
            with pytest.raises(RealtimeError, match="publish more slowly"):
                await client.publish("news", "one too many")
            async with scene.hub(port), scene.log() as log:
                places = await asyncio.gather(*waiting)
                assert [place.offset for place in places] == [1, 1]
                found = await log.read("news", Position(places[0].epoch, 0, 0))
                assert [one.data for one in found.messages] == [b'"critical"', b'"normal"']

    run(scenario())


def test_without_any_hub_a_client_fails_and_says_so(scene: Scene) -> None:
    async def scenario() -> None:
        address = f"ws://127.0.0.1:{next(free_ports())}"
        async with open_client(address, settings=IMPATIENT) as client:
            with pytest.raises(RealtimeError, match="no hub can be reached after 3 attempts"):
                await client.subscribe("news")
            assert client.state == "failed"
            with pytest.raises(RealtimeError, match="no hub can be reached"):
                await client.publish("news", 1)

    run(scenario())


def test_a_refused_token_is_not_tried_again(scene: Scene) -> None:
    async def scenario() -> None:
        async def nobody(token: str | None) -> str | None:
            return None

        async with (
            scene.hub(authenticate=nobody) as hub,
            open_client(hub.url, token="secret-token") as client,
        ):
            with pytest.raises(RealtimeError, match="log in again") as caught:
                await client.subscribe("news")
            assert "secret-token" not in str(caught.value)
            assert hub.stats().refused_token == 1

    run(scenario())


def test_a_forbidden_channel_is_an_error_of_its_subscription_alone(scene: Scene) -> None:
    async def scenario() -> None:
        async with scene.hub() as hub, open_client(hub.url, token="7") as client:
            with pytest.raises(RealtimeError, match="forbidden"):
                await client.subscribe("user:8")
            await client.subscribe("user:7")
            with pytest.raises(RealtimeError, match="subscribed already"):
                await client.subscribe("user:7")

    run(scenario())


def test_who_gives_up_waiting_for_a_channel_leaves_it_at_the_hub_too(scene: Scene) -> None:
    async def scenario() -> None:
        async with scene.hub() as hub, open_client(hub.url) as client:
            await client.subscribe("alarms")
            waiting = asyncio.create_task(client.subscribe("news"))
            await asyncio.sleep(0)  # its request is on its way
            waiting.cancel()
            await asyncio.wait((waiting,))
            assert waiting.cancelled()
            await client.publish("alarms", 0)  # a hub takes one request of a client after another
            assert hub.stats().subscriptions == 1
            news = await client.subscribe("news")
            await client.publish("news", 1)
            assert await read(news, 1) == [b"1"]

    run(scenario())


def test_what_the_hub_does_late_is_put_right() -> None:
    """Requests that were refused for their rate are sent again, and so come in another order."""

    async def scenario() -> None:
        wanted = {"news": Subscription("news", on_message=None, on_gap=None, queue=9, after=None)}
        outgoing = Outgoing(9)
        session = Session(
            cast(ClientSocket, None),
            wanted,
            outgoing,
            itertools.count(),
            welcomed=lambda load: None,
            served=lambda: None,
        )
        session._control(msgspec.json.encode(Unsubscribed(7, "news")))
        request = (await outgoing.next()).request
        assert isinstance(request, Subscribe)
        assert request.channel == "news"
        wanted.clear()
        session._control(msgspec.json.encode(Subscribed(request.id, "news", 1, "a:5", True)))
        request = (await outgoing.next()).request
        assert isinstance(request, Unsubscribe)
        session._control(msgspec.json.encode(Unsubscribed(request.id, "news")))
        assert len(outgoing) == 0

    run(scenario())


def test_nothing_is_handed_out_after_the_end() -> None:
    got: list[Message] = []
    news = Subscription("news", on_message=got.append, on_gap=None, queue=9, after=None)
    news.starts(Position("a", 0, 0), recovered=True)
    news.take("normal", 1, b"1")
    news.end()
    news.take("normal", 2, b"2")
    assert [message.data for message in got] == [b"1"]


def test_a_channel_that_ended_at_its_deadline_says_why(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario() -> None:
        async with scene.hub() as hub, open_client(hub.url) as client:

            async def at_once(_: Subscription) -> None:
                client._end("failed", RealtimeError("no hub can be reached"))
                raise TimeoutError

            monkeypatch.setattr(Subscription, "until_started", at_once)
            with pytest.raises(RealtimeError, match="no hub can be reached"):
                await client.subscribe("news")

    run(scenario())


def test_requests_beyond_the_rate_limit_are_sent_again_when_there_is_room(
    scene: Scene,
) -> None:
    async def scenario() -> None:
        policy = Policy(name="realtime", limit=4, period_s=0.4)
        async with (
            scene.hub(policy=policy) as hub,
            open_client(hub.url) as client,
        ):
            await asyncio.gather(*(client.subscribe(f"c{number}") for number in range(8)))
            assert hub.stats().rate_limited >= 1
            assert hub.stats().subscriptions == 8

    run(scenario())


def test_a_reader_that_does_not_keep_up_is_told_what_the_hub_left_out(
    scene: Scene,
) -> None:
    async def scenario() -> None:
        settings = msgspec.structs.replace(FAST, receive_queue=10)
        async with (
            scene.log() as log,
            scene.hub(queue_limit=100, batch_interval_s=0.0, stall_s=60.0) as hub,
            open_client(hub.url, settings=settings) as client,
        ):
            news = await client.subscribe("news")
            body = b'"' + b"x" * 20_000 + b'"'
            published = 0
            async with asyncio.timeout(PATIENCE_S):
                while not hub.stats().dropped:
                    await asyncio.gather(*(log.publish("news", body) for _ in range(50)))
                    published += 50
            last = await log.publish("news", b'"last"', "critical")
            assert last.offset == 1
            got = 0
            async with asyncio.timeout(PATIENCE_S):
                async for message in news:
                    got += message.lane == "normal"
                    if got + news.cursor.missed == published:
                        break
            assert news.dropped == news.cursor.missed == hub.stats().dropped > 0
            assert news.cursor.position is not None
            assert news.cursor.position.critical == 1, "the critical lane is never dropped"
            assert hub.stats().slow == 0

    run(scenario())


def test_a_gap_is_announced_and_the_channel_goes_on(scene: Scene) -> None:
    async def scenario() -> None:
        gaps: list[Position] = []
        async with (
            scene.log(history_size=5) as log,
            scene.hub(history_size=5) as hub,
            open_client(hub.url) as client,
        ):
            news = await client.subscribe("news", on_gap=gaps.append)
            port = port_of(hub)
            await hub.drain(0.0)
            for number in range(6):
                await log.publish("news", b"%d" % number)
            async with scene.hub(port):
                await until(lambda: gaps)
                await log.publish("news", b'"on"')
                assert await read(news, 1) == [b'"on"']
                assert news.gaps == 1
                assert gaps[0].normal == 6

    run(scenario())


def test_while_no_hub_can_be_had_the_client_polls_and_it_gets_back_by_itself(
    scene: Scene,
) -> None:
    async def scenario() -> None:
        async with scene.log() as log, Waiting(log, scene.url) as waiting:
            api = httpx.ASGITransport(polled(log, waiting))
            async with scene.hub() as hub:
                port = port_of(hub)
                client = open_client(
                    hub.url, settings=IMPATIENT, api="http://api.test", transport=api
                )
                await client.__aenter__()
                news = await client.subscribe("news")
                await log.publish("news", b"1")
            await until(lambda: client.state == "degraded")
            assert client.outages[0].back_by == "degraded"
            await log.publish("news", b"2", "critical")
            assert (await client.publish("news", 3)).offset == 2
            assert sorted(await read(news, 3)) == [b"1", b"2", b"3"]
            late = await client.subscribe("late")
            async with scene.hub(port) as hub:
                await until(lambda: client.state == "connected")
                await log.publish("news", b"4", "critical")
                await log.publish("late", b"5", "critical")
                assert await read(news, 1) == [b"4"]
                assert await read(late, 1) == [b"5"]
                assert (news.gaps, news.cursor.missed) == (0, 0)
                await client.__aexit__()

    run(scenario())


def polled(log: ChannelLog, waiting: Waiting) -> Starlette:
    """The API's endpoint of channels, without its users."""

    async def poll(request: Request) -> Response:
        after, wait = request.query_params.get("after"), request.query_params["wait"]
        position = None if after is None else position_of(after)
        found = await waiting.read(request.path_params["name"], position, float(wait))
        return Response(msgspec.json.encode(poll_of(found)))

    async def publish(request: Request) -> Response:
        given: dict[str, Any] = msgspec.json.decode(await request.body())
        data = msgspec.json.encode(given["data"])
        place = await log.publish(request.path_params["name"], data, given["lane"])
        return Response(msgspec.json.encode(place._asdict()), 201)

    path = "/channels/{name}/messages"
    return Starlette(
        routes=[Route(path, poll, methods=["GET"]), Route(path, publish, methods=["POST"])]
    )


def test_a_publication_under_way_when_its_connection_broke_is_not_repeated() -> None:
    async def scenario() -> None:
        outgoing = Outgoing(10)
        sent = outgoing.put(Publish(1, "news", msgspec.Raw(b"1"), "normal"), "normal")
        waits = outgoing.put(Publish(2, "news", msgspec.Raw(b"2"), "normal"), "normal")
        subscribing = outgoing.put(Subscribe(3, "news"), "normal")
        assert (await outgoing.next()).request.id == 1
        outgoing.lost()
        with pytest.raises(ChannelsUnavailable, match="may have been published or not"):
            await sent
        assert (await outgoing.next()).request.id == 2, "the next connection sends it"
        assert len(outgoing) == 0, "channels are subscribed anew"
        assert not subscribing.done() or subscribing.cancelled()
        outgoing.answered(Accepted(2, "a", 1))
        assert await waits == Accepted(2, "a", 1)

    run(scenario())


def test_the_critical_lane_is_sent_first_and_what_came_too_early_is_sent_again() -> None:
    async def scenario() -> None:
        outgoing = Outgoing(10)
        replies = [
            outgoing.put(Publish(number, "news", msgspec.Raw(b"1"), lane), lane)
            for number, lane in zip((1, 2), reversed(LANES), strict=True)
        ]
        assert [(await outgoing.next()).request.id for _ in range(2)] == [2, 1]
        outgoing.refused(Refused(1, "rate_limited", "", 0.01))
        assert (await outgoing.next()).request.id == 1
        outgoing.close(RealtimeError("over"))
        for reply in replies:
            with pytest.raises(RealtimeError, match="over"):
                await reply

    run(scenario())


@pytest.mark.parametrize(
    "options", [{"connect_timeout_s": 0.0}, {"send_queue": 0}, {"poll_wait_s": 31}]
)
def test_settings_without_a_usable_value_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(RealtimeError, match=next(iter(options))):
        ClientSettings(**options)
