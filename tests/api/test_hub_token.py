"""From a login to a hub: the token that a session gets, who accepts it, and for how long."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from event_loop import PATIENCE_S, until
from perflab.api.app import create_app
from perflab.api.hub_token import LASTS_S
from perflab.api.settings import ApiSettings
from perflab.realtime import RealtimeError
from perflab.realtime.client import ClientSettings, RealtimeClient
from perflab.realtime.hub import Hub
from perflab.realtime.tokens import Tokens

from .conftest import World
from .support import SECRET, Clock, run, running, signed_in

PATH = "/channels/token"
PATIENT = ClientSettings(
    connect_timeout_s=PATIENCE_S, reply_timeout_s=PATIENCE_S, backoff_base_s=0.02, attempts=3
)


def hub_of(settings: ApiSettings, tokens: Tokens) -> Hub:
    prefix = f"{settings.prefix}channels:"
    return Hub(settings.redis, tokens, prefix=prefix, budget_s=PATIENCE_S)


@contextlib.asynccontextmanager
async def api_of(settings: ApiSettings) -> AsyncIterator[httpx.ASGITransport]:
    app = create_app(settings, clock=Clock())
    async with app.lifespan_context(app):
        yield httpx.ASGITransport(app)


async def session_of(transport: httpx.ASGITransport, email: str) -> str:
    async with httpx.AsyncClient(transport=transport, base_url="http://api.test") as client:
        headers = await signed_in(client, email)
    return headers["authorization"].removeprefix("Bearer ")


def client_of(hub: Hub, session: str, transport: httpx.AsyncBaseTransport) -> RealtimeClient:
    return RealtimeClient(
        [hub.url],
        api="http://api.test",
        session=session,
        settings=PATIENT,
        seed=1,
        transport=transport,
    )


def test_a_login_leads_to_a_token_and_the_token_to_a_hub(world: World) -> None:
    async def scenario() -> None:
        tokens = Tokens(SECRET)
        async with api_of(world.settings) as api, hub_of(world.settings, tokens) as hub:
            session = await session_of(api, world.ada_email)
            async with client_of(hub, session, api) as client:
                mine = await client.subscribe(f"user:{world.ada}")
                with pytest.raises(RealtimeError, match="forbidden"):
                    await client.subscribe(f"user:{world.bob}")
                async with httpx.AsyncClient(transport=api, base_url="http://api.test") as http:
                    answer = await http.post(
                        f"/channels/user:{world.ada}/messages",
                        json={"data": "hello", "lane": "critical"},
                        headers={"authorization": f"Bearer {session}"},
                    )
                    assert answer.status_code == 201
                async with asyncio.timeout(PATIENCE_S):
                    assert (await anext(mine)).data == b'"hello"'
                await hub.drain(0.0)
                await until(lambda: client.state == "degraded")  # by the session, not the token
                await client.publish(f"user:{world.ada}", "polled")
                async with asyncio.timeout(PATIENCE_S):
                    assert (await anext(mine)).data == b'"polled"'

    run(scenario(), within_s=2 * PATIENCE_S)


def test_the_answer_says_how_long_it_is_good_and_is_stored_nowhere(world: World) -> None:
    async def scenario() -> None:
        async with running(world.settings) as client:
            assert (await client.post(PATH)).status_code == 401
            ada = await signed_in(client, world.ada_email)
            assert (await client.get(PATH, headers=ada)).status_code == 405
            answer = await client.post(PATH, headers=ada)
            assert answer.status_code == 201
            assert answer.headers["cache-control"] == "no-store"
            assert "realtime" in answer.headers["ratelimit"]
            given: dict[str, Any] = answer.json()
            assert (given["expires_in"], given["token_type"]) == (LASTS_S, "Bearer")
            assert await Tokens(SECRET)(given["token"]) == str(world.ada)
            assert await Tokens(SECRET[::-1])(given["token"]) is None
            wrong = {"authorization": f"Bearer {given['token']}"}
            assert (await client.get("/users/me", headers=wrong)).status_code == 401

    run(scenario())


def test_without_a_good_session_the_client_fails_and_says_so(world: World) -> None:
    async def scenario() -> None:
        async with (
            api_of(world.settings) as api,
            hub_of(world.settings, Tokens(SECRET)) as hub,
            client_of(hub, "made-up", api) as client,
        ):
            with pytest.raises(RealtimeError, match=r"refuses the session.*log in again"):
                await client.subscribe("news")
            assert client.state == "failed"
            assert hub.stats().refused_token == 0

    run(scenario(), within_s=2 * PATIENCE_S)
