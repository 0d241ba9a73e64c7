"""Addresses and tokens that no client can use, and a client that fails in a way nobody foresaw."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import msgspec
import pytest

from event_loop import PATIENCE_S, run, until
from perflab.realtime import ChannelsUnavailable, RealtimeError
from perflab.realtime.client import ClientPool, RealtimeClient

from .servers import FAST, Scene, open_client

NOWHERE = "ws://localhost:1"
AT_ONCE = msgspec.structs.replace(FAST, attempts=1, backoff_base_s=0.001)


@pytest.mark.parametrize(
    "address",
    [
        "api.test",
        "ftp://api.test",
        "http://",
        "http://[::1",
        "http://host:port",
        "http://host:0",
        5,
    ],
)
def test_an_api_that_cannot_be_asked_is_refused(address: Any) -> None:
    async def scenario() -> None:
        with pytest.raises(RealtimeError, match=r"api must be an address like http://host:port or"):
            RealtimeClient([NOWHERE], api=address)

    run(scenario())


def test_an_address_with_a_login_is_refused_and_not_repeated() -> None:
    async def scenario() -> None:
        with pytest.raises(RealtimeError, match="one with a login") as caught:
            RealtimeClient([NOWHERE], api="http://user:s3cret@api.test")
        assert "s3cret" not in str(caught.value)

    run(scenario())


@pytest.mark.parametrize(
    ("endpoints", "why"),
    [
        (NOWHERE, "must be a list of addresses, not one string"),
        ([], "is empty"),
        (["http://host"], "endpoint must be an address like ws://host:port or wss://host:port"),
        (["ws://"], "endpoint must be an address"),
        (["ws://host:port"], "endpoint must be an address"),
        ([5], "endpoint must be an address"),
    ],
)
def test_endpoints_that_cannot_be_connected_to_are_refused(endpoints: Any, why: str) -> None:
    async def scenario() -> None:
        with pytest.raises(RealtimeError, match=why):
            RealtimeClient(endpoints)

    run(scenario())


@pytest.mark.parametrize("token", ["one\ntwo", "é", "", " ", 5])
def test_a_token_that_no_header_can_carry_is_refused_and_not_repeated(token: Any) -> None:
    async def scenario() -> None:
        with pytest.raises(RealtimeError, match="token must be a text of printable ASCII, or None"):
            RealtimeClient([NOWHERE], token)
        with pytest.raises(RealtimeError, match="session must be a text of printable ASCII"):
            RealtimeClient([NOWHERE], session=token, api="http://api.test")

    run(scenario())


def test_an_error_that_nobody_foresaw_ends_the_client_and_is_told_to_all_who_wait(
    scene: Scene,
) -> None:
    class Broken:
        async def get(self) -> str | None:
            raise LookupError("no such key")

        def refused(self) -> bool:
            return False

    async def scenario() -> None:
        async with scene.hub() as hub, open_client(hub.url) as client:
            news = await client.subscribe("news")
            client._token = Broken()
            await hub.drain(0.0)
            waiting = [asyncio.ensure_future(client.publish("news", n)) for n in range(3)]
            with pytest.raises(RealtimeError, match="a defect, LookupError: no such key"):
                await anext(news)
            for failed in await asyncio.gather(*waiting, return_exceptions=True):
                assert isinstance(failed, RealtimeError)
            assert client.state == "failed"
            with pytest.raises(RealtimeError, match="no such key"):
                await client.subscribe("others")

    run(scenario())


def answering(**answers: Any) -> httpx.MockTransport:
    """An API that answers what it is told to, by method."""

    def answer(request: httpx.Request) -> httpx.Response:
        status = 201 if request.method == "POST" else 200
        return httpx.Response(status, json=answers[request.method])

    return httpx.MockTransport(answer)


def test_a_poll_that_says_nonsense_is_told_to_the_reader() -> None:
    async def scenario() -> None:
        nonsense = {"position": "somewhere", "recovered": True, "messages": []}
        async with open_client(
            NOWHERE, settings=AT_ONCE, api="http://api.test", transport=answering(GET=nonsense)
        ) as client:
            async with asyncio.timeout(PATIENCE_S):
                with pytest.raises(RealtimeError, match="'somewhere' is no position"):
                    await client.subscribe("news")

    run(scenario())


def test_a_publication_whose_place_the_api_does_not_tell_may_have_been_published() -> None:
    async def scenario() -> None:
        async with open_client(
            NOWHERE, settings=AT_ONCE, api="http://api.test", transport=answering(POST=[1, 2])
        ) as client:
            await until(lambda: client.state == "degraded")
            with pytest.raises(ChannelsUnavailable, match="may have been published or not"):
                await client.publish("news", 1)

    run(scenario())


@pytest.mark.parametrize(
    ("channel", "value", "lane", "why"),
    [
        (5, 1, "normal", "a channel's name must be a text, not int"),
        ("a b", 1, "normal", "channel 'a b': a name has"),
        ("news", 1, "fast", "lane 'fast': must be one of"),
        ("news", object(), "normal", "a value of type object cannot be published"),
        ("news", "\ud800", "normal", "a value of type str cannot be published"),
        ("news", msgspec.Raw(b"no JSON"), "normal", "a message is one JSON value in UTF-8"),
        ("news", [msgspec.Raw(b'"\xff"')], "normal", "a message is one JSON value in UTF-8"),
        ("news", {"a": msgspec.Raw(b"1,")}, "normal", "a message is one JSON value in UTF-8"),
        ("news", "x" * 70_000, "normal", "a message has at most 32768 bytes, and this one 70002"),
    ],
)
def test_what_cannot_be_published_is_refused_before_anything_is_sent(
    scene: Scene, channel: Any, value: Any, lane: Any, why: str
) -> None:
    async def scenario() -> None:
        async with scene.hub() as hub, open_client(hub.url) as client:
            await client.subscribe("news")
            before = hub.stats().requests
            with pytest.raises(RealtimeError, match=why):
                await client.publish(channel, value, lane)
            assert hub.stats().requests == before
            assert not client.outages
            await client.publish("news", "after it")

    run(scenario())


def test_a_subscription_from_no_position_is_refused_and_leaves_nothing_behind(
    scene: Scene,
) -> None:
    async def scenario() -> None:
        async with scene.hub() as hub, open_client(hub.url) as client:
            after: Any = "0a.1.1"
            with pytest.raises(RealtimeError, match="after must be a Position, not str"):
                await client.subscribe("news", after=after)
            await client.subscribe("news")

    run(scenario())


def test_whoever_subscribes_while_the_client_closes_is_told_so() -> None:
    async def scenario() -> None:
        client = open_client(NOWHERE)
        await client.__aenter__()
        subscribing = asyncio.ensure_future(client.subscribe("news"))
        await asyncio.sleep(0)
        await client.__aexit__()
        with pytest.raises(RealtimeError, match="the client was closed"):
            await subscribing

    run(scenario())


@pytest.mark.parametrize("channel", [None, ["news"], "two words"])
def test_a_pool_refuses_what_is_no_channel(scene: Scene, channel: Any) -> None:
    async def scenario() -> None:
        async with scene.hub() as hub, ClientPool([hub.url], settings=FAST, size=2) as pool:
            with pytest.raises(RealtimeError, match="channel"):
                await pool.subscribe(channel)
            with pytest.raises(RealtimeError, match="channel"):
                await pool.publish(channel, 1)
            await pool.publish("news", 1)

    run(scenario())
