"""A hub over real sockets and a real Redis, spoken to in its own protocol."""

from __future__ import annotations

import asyncio
import functools
from typing import Any, cast

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from event_loop import run, until
from perflab.ratelimit import Policy
from perflab.realtime import LANES, RealtimeError, position_of
from perflab.realtime.frames import Delivery
from perflab.realtime.protocol import (
    Accepted,
    Draining,
    Refused,
    Subscribed,
    Unsubscribed,
)

from .servers import Scene, peer


def test_a_message_reaches_every_subscriber_of_every_hub_once(scene: Scene) -> None:
    async def scenario() -> None:
        async with (
            scene.log() as log,
            scene.hub() as one,
            scene.hub() as two,
            peer(one.url) as ada,
            peer(one.url) as bob,
            peer(two.url) as eve,
        ):
            for reader in (ada, bob, eve):
                told = await reader.ask(type="subscribe", id=7, channel="news")
                assert isinstance(told, Subscribed)
                assert (told.id, told.channel, told.recovered) == (7, "news", True)
            for number in range(120):
                await log.publish("news", b"%d" % number, LANES[number % 2])
            for reader in (ada, bob, eve):
                found: dict[str, list[bytes]] = {lane: [] for lane in LANES}
                for _ in range(120):
                    heard = await reader.hear()
                    assert isinstance(heard, Delivery)
                    found[heard.lane].append(heard.data)
                    assert heard.offset == len(found[heard.lane])
                assert found["critical"] == [b"%d" % n for n in range(0, 120, 2)]
                assert found["normal"] == [b"%d" % n for n in range(1, 120, 2)]
            stats = one.stats()
            assert (stats.heard, stats.deliveries, stats.subscriptions) == (120, 240, 2)
            assert stats.frames < 2 * 120, "normal messages travel together"

    run(scenario())


def test_critical_messages_do_not_wait_for_the_batch(scene: Scene) -> None:
    async def scenario() -> None:
        async with (
            scene.log() as log,
            scene.hub(batch_interval_s=3_600.0, batch_most=3) as hub,
            peer(hub.url) as ada,
        ):
            await ada.ask(type="subscribe", id=1, channel="news")
            await log.publish("news", b"1", "normal")
            await log.publish("news", b"2", "critical")
            heard = await ada.hear()
            assert isinstance(heard, Delivery)
            assert heard.data == b"2"
            await log.publish("news", b"3", "normal")
            await log.publish("news", b"4", "normal")  # three: the batch is full
            assert [(await ada.hear())[3] for _ in range(3)] == [b"1", b"3", b"4"]  # type: ignore[index]

    run(scenario())


def test_who_subscribes_gets_nothing_from_before_and_who_resumes_all_of_it(
    scene: Scene,
) -> None:
    async def scenario() -> None:
        async with (
            scene.log() as log,
            scene.hub(batch_interval_s=3_600.0) as hub,
            peer(hub.url) as ada,
        ):
            first = await ada.ask(type="subscribe", id=1, channel="news")
            assert isinstance(first, Subscribed)
            for data in (b"1", b"2"):
                await log.publish("news", data)
            await until(lambda: hub.stats().heard == 2)
            async with peer(hub.url) as bob:
                fresh = await bob.ask(type="subscribe", id=1, channel="news")
                assert isinstance(fresh, Subscribed)
                assert position_of(fresh.position).normal == 2
                # the open batch was closed for the sake of who joined
                assert [(await ada.hear())[3] for _ in range(2)] == [b"1", b"2"]  # type: ignore[index]
                await log.publish("news", b"3", "critical")
                heard = await bob.hear()
                assert isinstance(heard, Delivery)
                assert heard.data == b"3", "and nothing of that batch came to bob"
            async with peer(hub.url) as eve:
                again = await eve.ask(type="subscribe", id=1, channel="news", after=first.position)
                assert isinstance(again, Subscribed)
                assert (again.recovered, again.position) == (True, first.position)
                missed = [await eve.hear() for _ in range(3)]
                assert [one[3] for one in missed] == [b"3", b"1", b"2"]  # type: ignore[index]
            async with peer(hub.url) as mia:
                lost = await mia.ask(type="subscribe", id=1, channel="news", after="abc.0.1")
                assert isinstance(lost, Subscribed)
                assert not lost.recovered
                assert (
                    lost.position
                    == position_of(first.position)._replace(critical=1, normal=2).text()
                )

    run(scenario())


def test_publishing_and_leaving(scene: Scene) -> None:
    async def scenario() -> None:
        async with scene.hub() as hub, peer(hub.url) as ada, peer(hub.url) as bob:
            await ada.ask(type="subscribe", id=1, channel="news")
            said = await bob.ask(
                type="publish", id=2, channel="news", data={"a": 1}, lane="critical"
            )
            assert isinstance(said, Accepted)
            assert said.offset == 1
            heard = await ada.hear()
            assert isinstance(heard, Delivery)
            assert heard.data == b'{"a":1}'
            left = await ada.ask(type="unsubscribe", id=3, channel="news")
            assert left == Unsubscribed(3, "news")
            await bob.ask(type="publish", id=4, channel="news", data=2, lane="critical")
            assert await ada.ask(type="unsubscribe", id=5, channel="news") == Unsubscribed(
                5, "news"
            )
            assert hub.stats().subscriptions == 0

    run(scenario())


@pytest.mark.parametrize(
    ("request_", "reason"),
    [
        ("{", "malformed"),
        ("[]", "malformed"),
        ('{"type":"subscribe","id":1}', "malformed"),
        ('{"type":"subscribe","id":-1,"channel":"news"}', "malformed"),
        ('{"type":"dance","id":1}', "malformed"),
        ('{"type":"publish","id":1,"channel":"news","data":1,"lane":"urgent"}', "malformed"),
        ("[" * 10_000, "malformed"),
        ('{"type":"subscribe","id":1,"channel":"a b"}', "channel"),
        ('{"type":"subscribe","id":1,"channel":"news","after":"now"}', "channel"),
        ('{"type":"subscribe","id":1,"channel":"user:bob"}', "forbidden"),
        ('{"type":"publish","id":1,"channel":"user:bob","data":1}', "forbidden"),
    ],
)
def test_a_request_that_cannot_be_carried_out_is_answered_and_nothing_more(
    scene: Scene, request_: str, reason: str
) -> None:
    async def scenario() -> None:
        headers = {"Authorization": "Bearer ada"}
        async with (
            scene.hub() as hub,
            peer(hub.url, additional_headers=headers) as ada,
        ):
            await ada.socket.send(request_)
            refused = await ada.hear()
            assert isinstance(refused, Refused)
            assert refused.reason == reason
            assert len(refused.detail) < 300
            told = await ada.ask(type="subscribe", id=2, channel="user:ada:inbox")
            assert isinstance(told, Subscribed)

    run(scenario())


def test_the_rate_limit_is_each_connections_own(scene: Scene) -> None:
    async def scenario() -> None:
        policy = Policy(name="realtime", limit=3, period_s=3_600)
        async with (
            scene.hub(policy=policy, most_refusals=3) as hub,
            peer(hub.url) as ada,
            peer(hub.url) as bob,
        ):
            request: dict[str, Any] = {"type": "unsubscribe", "id": 1, "channel": "news"}
            answers = [await ada.ask(**request) for _ in range(5)]
            assert [type(one) for one in answers] == [Unsubscribed] * 3 + [Refused] * 2
            refused = answers[-1]
            assert isinstance(refused, Refused)
            assert (refused.reason, refused.retry_after_s > 1_000) == ("rate_limited", True)
            assert isinstance(await bob.ask(**request), Unsubscribed)
            await ada.say(**request)
            assert isinstance(await ada.hear(), Refused)
            with pytest.raises(ConnectionClosed) as closed:
                await ada.hear()
            assert closed.value.rcvd is not None
            assert closed.value.rcvd.code == 1008
            assert hub.stats().hostile == 1
            assert isinstance(await bob.ask(**request), Unsubscribed)

    run(scenario())


def test_one_connection_too_many_is_refused_before_the_handshake_and_harms_nobody(
    scene: Scene,
) -> None:
    async def scenario() -> None:
        async with (
            scene.log() as log,
            scene.hub(max_connections=3, retry_after_s=7) as hub,
            peer(hub.url) as ada,
            peer(hub.url),
        ):
            await ada.ask(type="subscribe", id=1, channel="news")
            async with peer(hub.url):
                for _ in range(3):
                    with pytest.raises(InvalidStatus) as refused:
                        await connect(hub.url, proxy=None)
                    assert refused.value.response.status_code == 503
                    assert refused.value.response.headers["Retry-After"] == "7"
                await log.publish("news", b"1", "critical")
                assert (await ada.hear())[3] == b"1"  # type: ignore[index]
            await until(lambda: hub.stats().connections == 2)
            async with peer(hub.url):
                stats = hub.stats()
                assert (stats.connections, stats.refused_full, stats.opened) == (3, 3, 4)

    run(scenario())


def test_many_at_once_never_get_more_places_than_there_are(scene: Scene) -> None:
    async def scenario() -> None:
        async def slow(token: str | None) -> str | None:
            await asyncio.sleep(0.05)
            return "somebody"

        async with scene.hub(authenticate=slow, max_connections=5) as hub:
            opened = await asyncio.gather(
                *(connect(hub.url, proxy=None) for _ in range(20)), return_exceptions=True
            )
            sockets = [one for one in opened if not isinstance(one, BaseException)]
            assert len(sockets) == 5
            assert sum(isinstance(one, InvalidStatus) for one in opened) == 15
            for socket in sockets:
                await socket.close()

    run(scenario())


def test_a_token_that_is_not_good_is_401_and_takes_no_place(scene: Scene) -> None:
    async def scenario() -> None:
        async def only_ada(token: str | None) -> str | None:
            return "ada" if token == "good" else None

        async with scene.hub(authenticate=only_ada) as hub:
            for headers in ({}, {"Authorization": "Bearer bad"}, {"Authorization": "good"}):
                with pytest.raises(InvalidStatus) as refused:
                    await connect(hub.url, proxy=None, additional_headers=headers)
                assert refused.value.response.status_code == 401
            assert hub.stats().connections == 0
            assert hub.stats().refused_token == 3
            async with peer(hub.url, additional_headers={"Authorization": "Bearer good"}):
                assert hub.stats().connections == 1

    run(scenario())


def test_draining_asks_to_leave_then_flushes_and_closes_with_1012(scene: Scene) -> None:
    async def scenario() -> None:
        async with (
            scene.log() as log,
            scene.hub(batch_interval_s=3_600.0) as hub,
            peer(hub.url) as ada,
        ):
            address = hub.url
            await ada.ask(type="subscribe", id=1, channel="news")
            await log.publish("news", b"1")
            await until(lambda: hub.stats().heard == 1)
            drained = asyncio.create_task(hub.drain(0.2))
            assert await ada.hear() == Draining(0.2)
            with pytest.raises((InvalidStatus, OSError)):
                await connect(address, proxy=None)
            assert (await ada.hear())[3] == b"1"  # type: ignore[index]
            with pytest.raises(ConnectionClosed) as closed:
                await ada.hear()
            assert closed.value.rcvd is not None
            assert closed.value.rcvd.code == 1012
            await drained

    run(scenario())


def test_a_port_in_use_is_one_clear_error(scene: Scene) -> None:
    async def scenario() -> None:
        async with scene.hub() as hub:
            port = int(hub.url.rpartition(":")[2])
            with pytest.raises(RealtimeError, match=f"{port}.*choose another port"):
                async with scene.hub(port=port):
                    pass

    run(scenario())


def test_an_access_hook_that_fails_refuses_that_request_and_nothing_else(
    scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    def hook(user: str, channel: str, action: str) -> Any:
        if channel == "broken":
            raise LookupError("no such room")
        return later(user, channel, action) if channel == "later" else True

    async def later(user: str, channel: str, action: str) -> bool:
        raise AssertionError("nobody awaits this")

    async def scenario() -> None:
        async with scene.hub(access=hook) as hub, peer(hub.url) as one:
            for channel in ("broken", "later"):
                refused = await one.ask(type="subscribe", id=1, channel=channel)
                assert isinstance(refused, Refused)
                assert (refused.id, refused.reason) == (1, "forbidden")
                assert "cannot tell whether this channel is yours" in refused.detail
                assert "no such room" not in refused.detail
            assert isinstance(await one.ask(type="subscribe", id=2, channel="good"), Subscribed)
            assert hub.stats().forbidden == 2

    run(scenario())
    told = [record for record in caplog.records if record.name == "perflab.realtime.hub.requests"]
    assert len(told) == 2
    assert told[0].exc_info is not None


def test_hooks_that_cannot_work_are_refused_when_they_are_given(scene: Scene) -> None:
    async def later(user: str, channel: str, action: str) -> bool:
        return False

    class Later:
        async def __call__(self, user: str, channel: str, action: str) -> bool:
            return False

    async def scenario() -> None:
        for hook in (later, functools.partial(later), Later(), functools.partial(Later())):
            with pytest.raises(
                RealtimeError, match=r"access is an async .* would allow everything"
            ):
                scene.hub(access=hook)
        with pytest.raises(RealtimeError, match="access='everybody': must be a function"):
            scene.hub(access="everybody")
        with pytest.raises(RealtimeError, match="authenticate=None: must be a function"):
            scene.hub(authenticate=cast("Any", None))

    run(scenario())


def test_a_user_that_is_no_text_is_let_in_nowhere(scene: Scene) -> None:
    async def number(token: str | None) -> Any:
        return 7

    async def scenario() -> None:
        async with scene.hub(authenticate=number) as hub:
            with pytest.raises(InvalidStatus, match="HTTP 500"):
                async with peer(hub.url):
                    pass
            assert hub.stats().connections == 0

    run(scenario())
