"""Publishing into channels over HTTP: who may, what is refused, and what Redis' absence means."""

from __future__ import annotations

import asyncio
from typing import Any

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


def test_a_poll_answers_at_once_with_what_there_is_and_else_waits_for_it(world: World) -> None:
    async def scenario() -> None:
        async with running(world.settings) as client:
            ada = await signed_in(client, world.ada_email)

            async def poll(query: str) -> dict[str, Any]:
                answer = await client.get(f"{NEWS}?{query}", headers=ada)
                assert answer.status_code == 200, answer.text
                assert answer.headers["cache-control"] == "no-store"
                found: dict[str, Any] = answer.json()
                return found

            start = await poll("wait=20")
            assert (start["messages"], start["recovered"]) == ([], True)
            waiting = asyncio.create_task(poll(f"after={start['position']}&wait=25"))
            await asyncio.sleep(0.1)
            assert not waiting.done()
            for number, lane in enumerate(("normal", "critical")):
                body = {"data": {"n": number}, "lane": lane}
                assert (await client.post(NEWS, json=body, headers=ada)).status_code == 201
            first = await waiting
            assert first["messages"][-1] == {"lane": "normal", "offset": 1, "data": {"n": 0}}
            all_of_it = await poll(f"after={start['position']}&wait=25")
            assert [one["lane"] for one in all_of_it["messages"]] == ["critical", "normal"]
            nothing = await poll(f"after={all_of_it['position']}&wait=1")
            assert (nothing["messages"], nothing["position"]) == ([], all_of_it["position"])
            lost = await poll("after=abc.1.1&wait=25")
            assert (lost["messages"], lost["recovered"]) == ([], False)
            for query in ("after=now", "wait=31", "wait=-1", "since=1"):
                answer = await client.get(f"{NEWS}?{query}", headers=ada)
                assert answer.status_code == 400, query
            bobs = await client.get(f"/channels/user:{world.bob}/messages", headers=ada)
            assert bobs.status_code == 403

    run(scenario())
