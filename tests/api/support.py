"""What the tests of the API share: the application in this process, and signed-in clients."""

from __future__ import annotations

import asyncio
import re
import secrets
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import httpx
import msgspec
import psycopg
from psycopg import sql

from perflab.api.app import create_app
from perflab.api.server import HEADERS_S, serve
from perflab.api.settings import ApiSettings
from perflab.cache.shared import Purger
from perflab.ratelimit import DEFAULT_POLICIES
from perflab.schema.population import NOW
from perflab.services.ports import free_ports

T = TypeVar("T")

SECRET = "of-the-tests-and-of-nothing-else-at-all"
PASSWORD = "correct horse"
POPULATION_USERS = 60
START = NOW.timestamp()
WIDE = tuple(msgspec.structs.replace(one, limit=1_000) for one in DEFAULT_POLICIES)
"""Policies that no test reaches by accident."""


class Clock:
    """The time of what is stored; passes when told to."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> float:
        self.now += 0.001  # so that no two writes are of one moment
        return self.now


def run(scenario: Coroutine[Any, Any, T], *, within_s: float = 60) -> T:
    """Run a scenario to its end, within a limit that only a defect reaches."""
    return asyncio.run(asyncio.wait_for(scenario, within_s))


def settings_for(postgres: str, redis: str, **changes: Any) -> ApiSettings:
    """Settings with keys of their own and budgets that a busy machine does not exhaust."""
    given: dict[str, Any] = {
        "postgres": postgres,
        "redis": redis,
        "secret": SECRET,
        "prefix": f"test-{secrets.token_hex(6)}:",
        "wait_timeout_s": 10.0,
        "deadline_s": 10.0,
        "cache_budget_s": 10.0,
        "limiter_budget_s": 10.0,
        "policies": WIDE,
    }
    return ApiSettings(**(given | changes))


@asynccontextmanager
async def running(
    settings: ApiSettings, clock: Clock | None = None, beyond: Sequence[Purger] = ()
) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the application, which runs in this process for as long as the block.

    Every answer that the client gets must be one that ``/openapi.json`` speaks of.
    """
    app = create_app(settings, clock=clock or Clock(), beyond=beyond)
    transport = httpx.ASGITransport(app, client=("192.0.2.7", 7))
    async with (
        app.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://api.test") as client,
    ):
        document = (await client.get("/openapi.json")).json()
        client.event_hooks = {"response": [described_by(document)]}
        yield client


def described_by(document: dict[str, Any]) -> Callable[[httpx.Response], Awaitable[None]]:
    """Fails a test in which the application answers with a status that is not described."""
    described = [
        (re.compile(re.sub(r"\{\w+\}", "[^/]+", path)), operations)
        for path, operations in document["paths"].items()
    ]

    async def check(response: httpx.Response) -> None:
        method = response.request.method.lower().replace("head", "get")
        for path, operations in described:
            if path.fullmatch(response.request.url.path) and method in operations:
                # a defect is described by nobody
                known = {*operations[method]["responses"], "500"}
                assert str(response.status_code) in known, response.request.url

    return check


async def served(
    settings: ApiSettings,
    scenario: Callable[[int], Awaitable[None]],
    *,
    headers_s: float = HEADERS_S,
) -> None:
    """The scenario against the application under granian, which is then told to stop."""
    port = next(free_ports())
    ready = asyncio.Event()
    app = create_app(settings, clock=Clock())
    serving = asyncio.create_task(
        serve(app, host="127.0.0.1", port=port, ready=ready.set, headers_s=headers_s)
    )
    waiting = asyncio.create_task(ready.wait())
    await asyncio.wait({serving, waiting}, return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
    if not serving.done():
        try:
            await scenario(port)
        finally:
            signal.raise_signal(signal.SIGINT)
    await serving


async def signed_in(client: httpx.AsyncClient, email: str) -> dict[str, str]:
    """The headers of a user who has just logged in."""
    answer = await client.post("/auth/login", json={"email": email, "password": PASSWORD})
    assert answer.status_code == 200, answer.text
    return {"authorization": f"Bearer {answer.json()['token']}"}


def execute(
    conninfo: str, statement: str, parameters: Sequence[object] | Mapping[str, object] = ()
) -> list[Any]:
    """Run a statement behind the API's back; its rows, if it has any."""
    with psycopg.connect(conninfo, autocommit=True) as conn:
        cursor = conn.execute(statement.encode(), parameters)
        return cursor.fetchall() if cursor.description else []


def create_database(admin: str, name: str, template: str = "template0") -> None:
    statement = sql.SQL("CREATE DATABASE {} TEMPLATE {}")
    with psycopg.connect(admin, autocommit=True) as conn:
        conn.execute(statement.format(sql.Identifier(name), sql.Identifier(template)))


def drop_database(admin: str, name: str) -> None:
    with psycopg.connect(admin, autocommit=True) as conn:
        conn.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))
