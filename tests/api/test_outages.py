"""PostgreSQL or Redis away: the right status while it lasts, and recovery by itself."""

from __future__ import annotations

import asyncio
import time

import httpx
import msgspec

from commit_replies import losing_commit_replies
from perflab.services import Redis
from perflab.services.proxy import Proxy, postgres_proxy

from .conftest import World
from .support import execute, run, running, signed_in

UNSEEN = "SELECT count(*) FROM tasks WHERE title = 'applied unseen'"


async def until_ok(client: httpx.AsyncClient, path: str, headers: dict[str, str]) -> None:
    async with asyncio.timeout(20):
        while (await client.get(path, headers=headers)).status_code != 200:
            await asyncio.sleep(0.05)


def test_without_postgres_cached_reads_go_on_and_the_rest_is_503_until_it_is_back(
    world: World,
) -> None:
    async def scenario(proxy: Proxy, conninfo: str) -> None:
        settings = msgspec.structs.replace(
            world.settings, postgres=conninfo, wait_timeout_s=0.2, deadline_s=0.4
        )
        async with running(settings) as client:
            ada = await signed_in(client, world.ada_email)
            cached = await client.get("/tasks", headers=ada)
            proxy.refuse()
            proxy.cut()
            assert (await client.get("/tasks", headers=ada)).content == cached.content
            key = ada | {"idempotency-key": "through-the-outage"}
            body = {"title": "through the outage"}
            for answer in (
                await client.post("/tasks", json=body, headers=key),
                await client.get("/tasks?limit=7", headers=ada),
                await client.post("/auth/login", json={"email": "a@b.c", "password": "x"}),
                await client.get("/readyz"),
            ):
                assert answer.status_code == 503
                assert int(answer.headers["retry-after"]) >= 1
                assert "Traceback" not in answer.text
                assert "psycopg" not in answer.text
            assert (await client.get("/healthz")).status_code == 200
            proxy.resume()
            await until_ok(client, "/readyz", {})
            for _ in range(2):
                again = await client.post("/tasks", json=body, headers=key)
                assert again.status_code == 201

    with postgres_proxy(world.conninfo) as (proxy, conninfo):
        run(scenario(proxy, conninfo))
    found = execute(world.conninfo, "SELECT count(*) FROM tasks WHERE title = 'through the outage'")
    assert found == [(1,)]


def test_without_redis_everything_is_answered_and_logins_are_still_limited(
    world: World, redis_server: Redis
) -> None:
    async def scenario(proxy: Proxy) -> None:
        address = redis_server.address
        policies = tuple(
            msgspec.structs.replace(one, limit=4) if one.name == "auth" else one
            for one in world.settings.policies
        )
        settings = msgspec.structs.replace(
            world.settings,
            redis=f"redis://:{address.password}@{proxy.host}:{proxy.port}/0",
            cache_budget_s=0.05,
            limiter_budget_s=0.05,
            policies=policies,
        )
        async with running(settings) as client:
            ada = await signed_in(client, world.ada_email)
            proxy.refuse()
            proxy.cut()
            made = await client.post("/tasks", json={"title": "dark"}, headers=ada)
            assert made.status_code == 201
            listed = await client.get("/tasks", headers=ada)
            assert listed.json()["tasks"][0]["title"] == "dark"
            for path in ("/users/me", "/analytics/dashboard", "/public/stats", "/readyz"):
                assert (await client.get(path, headers=ada)).status_code == 200
            guess = {"email": world.ada_email, "password": "wrong"}
            found = [(await client.post("/auth/login", json=guess)).status_code for _ in range(5)]
            assert found == [401, 401, 401, 401, 429]
            proxy.resume()
            started = time.monotonic()
            async with asyncio.timeout(20):
                while not (await client.get("/readyz")).json()["redis"]:
                    await client.get("/users/me", headers=ada)
                    await asyncio.sleep(0.05)
            assert time.monotonic() - started < 10
            listed = await client.get("/tasks", headers=ada)
            assert listed.json()["tasks"][0]["title"] == "dark"

    address = redis_server.address
    with Proxy(address.host, address.port) as proxy:
        run(scenario(proxy))


def test_a_write_that_was_applied_but_told_503_is_not_applied_again(world: World) -> None:
    async def scenario() -> None:
        async with losing_commit_replies(world.conninfo, times=0) as (proxy, through):
            settings = msgspec.structs.replace(world.settings, postgres=through, deadline_s=1.0)
            async with running(settings) as client:
                ada = await signed_in(client, world.ada_email)
                before = (await client.get("/tasks", headers=ada)).json()["tasks"]
                key = ada | {"idempotency-key": "unseen"}
                body = {"title": "applied unseen"}
                proxy.times = 1_000
                told = await client.post("/tasks", json=body, headers=key)
                assert told.status_code == 503
                assert execute(world.conninfo, UNSEEN) == [(1,)]
                # nobody knows whether it was applied, so what it may have changed is read anew
                listed = (await client.get("/tasks", headers=ada)).json()["tasks"]
                assert listed[0]["title"] == "applied unseen"
                assert listed[1] == before[0]
                proxy.times = 0
                again = await client.post("/tasks", json=body, headers=key)
                assert again.status_code == 201
                assert again.headers["idempotency-replayed"] == "true"
                assert again.json() == listed[0]

    run(scenario())
    assert execute(world.conninfo, UNSEEN) == [(1,)]
