"""Publishing into channels over HTTP: who may, what is refused, and what Redis' absence means."""

from __future__ import annotations

import asyncio

import httpx
import msgspec

from perflab.realtime import ChannelLog, Position
from perflab.services.ports import free_ports

from .conftest import World
from .support import run, running, signed_in

NEWS = "/channels/news/messages"


def test_a_message_is_in_the_channel_as_it_was_written(world: World) -> None:
    async def scenario() -> None:
        async with running(world.settings) as client:
            ada = await signed_in(client, world.ada_email)
            body = b'{"lane":"critical","data":{ "a" : [1.50,"\\u00e9"] }}'
            headers = ada | {"content-type": "application/json"}
            answer = await client.post(NEWS, content=body, headers=headers)
            assert answer.status_code == 201, answer.text
            place = answer.json()
            assert place["offset"] == 1
            second = await client.post(NEWS, json={"data": None}, headers=ada)
            assert second.json() == {"epoch": place["epoch"], "offset": 1}, "a lane of its own"
            metrics = (await client.get("/metrics")).text
            assert "perflab_channels_published_total 2.0" in metrics
        prefix = f"{world.settings.prefix}channels:"
        async with ChannelLog(world.settings.redis, prefix=prefix, budget_s=10) as log:
            found = await log.read("news", Position(place["epoch"], 0, 0))
        assert [(one.lane, one.data) for one in found.messages] == [
            ("critical", b'{ "a" : [1.50,"\\u00e9"] }'),
            ("normal", b"null"),
        ]

    run(scenario())


def test_who_may_publish_where(world: World) -> None:
    async def scenario() -> None:
        async with running(world.settings) as client:
            ada = await signed_in(client, world.ada_email)

            async def status(channel: str, headers: dict[str, str]) -> int:
                path = f"/channels/{channel}/messages"
                answer = await client.post(path, json={"data": 1}, headers=headers)
                return answer.status_code

            assert await status("news", {}) == 401
            assert await status("news", ada) == 201
            assert await status(f"user:{world.ada}", ada) == 201
            assert await status(f"user:{world.ada}:inbox", ada) == 201
            assert await status(f"user:{world.bob}", ada) == 403
            assert await status(f"user:{world.ada}0", ada) == 403
            assert await status("no%20channel", ada) == 404

    run(scenario())


def test_bodies_that_are_no_message_are_refused(world: World) -> None:
    async def scenario() -> None:
        async with running(world.settings) as client:
            ada = await signed_in(client, world.ada_email)
            headers = ada | {"content-type": "application/json"}
            for body, status in (
                (b"{", 400),
                (b"{}", 422),
                (b'{"data":1,"lane":"urgent"}', 422),
                (b'{"data":1,"extra":1}', 422),
                (b'{"data":[1,}', 400),
                (b'{"data":"' + b"x" * 32 * 1024 + b'"}', 413),
                (b'{"data":"' + b"x" * 64 * 1024 + b'"}', 413),
            ):
                answer = await client.post(NEWS, content=body, headers=headers)
                assert answer.status_code == status, (body[:40], answer.text)

    run(scenario())


def test_without_redis_publishing_is_503_and_reading_goes_on(world: World) -> None:
    async def scenario() -> None:
        settings = msgspec.structs.replace(
            world.settings, redis=f"redis://127.0.0.1:{next(free_ports())}", cache_budget_s=0.5
        )

        async def post(client: httpx.AsyncClient, headers: dict[str, str]) -> httpx.Response:
            return await client.post(NEWS, json={"data": 1}, headers=headers)

        async with running(settings) as client:
            ada = await signed_in(client, world.ada_email)
            answers = await asyncio.gather(*(post(client, ada) for _ in range(5)))
            assert {answer.status_code for answer in answers} == {503}
            assert all(int(answer.headers["retry-after"]) >= 1 for answer in answers)
            assert (await client.get("/tasks", headers=ada)).status_code == 200

    run(scenario())
