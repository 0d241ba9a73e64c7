"""``/healthz``, ``/readyz`` and ``/metrics``: what runs a process wants to know of it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from perflab.api.bodies import encode, json_response
from perflab.api.parts import Parts
from perflab.api.problems import RETRY_AFTER_S
from perflab.api.routing import Handler, Operation, Resource, resource
from perflab.database.pool import Connection, DatabaseUnavailable, PoolTimeout
from perflab.monitor import MetricsRegistry

READY_S: Final = 1.0
"""How long PostgreSQL may take to answer before the process calls itself not ready."""


class Alive(msgspec.Struct, frozen=True):
    """Said by a process that runs."""

    alive: bool = True


class Readiness(msgspec.Struct, frozen=True):
    """Which servers answer. Without Redis the API works, only slower; without PostgreSQL not."""

    postgres: bool
    redis: bool


class Operations:
    """The endpoints for whoever runs the API."""

    def __init__(self, parts: Parts, registry: MetricsRegistry) -> None:
        self._parts = parts
        self._registry = registry

    def routes(self) -> list[Resource]:
        """The routes of these endpoints."""
        return [
            resource("/healthz", get=_open(self.healthz, {200: Alive})),
            resource("/readyz", get=_open(self.readyz, {200: Readiness, 503: Readiness})),
            resource("/metrics", get=_open(self.metrics, {200: str})),
        ]

    async def healthz(self, request: Request) -> Response:
        """Whether the process runs at all."""
        return json_response(encode(Alive()), cache_control="no-store")

    async def readyz(self, request: Request) -> Response:
        """Whether it can serve: 200 or 503."""
        found = Readiness(await self._database_answers(), self._parts.redis.available)
        status = 200 if found.postgres else 503
        response = json_response(encode(found), status, cache_control="no-store")
        if not found.postgres:
            response.headers["retry-after"] = str(RETRY_AFTER_S)
        return response

    async def metrics(self, request: Request) -> Response:
        """The figures for Prometheus."""
        body, content_type = self._registry.render(request.headers.get("accept"))
        return Response(body, headers={"content-type": content_type, "cache-control": "no-store"})

    async def _database_answers(self) -> bool:
        async def ask(conn: Connection) -> None:
            await conn.execute("SELECT 1")

        try:
            async with asyncio.timeout(READY_S):
                await self._parts.pool.read(ask)
        except (TimeoutError, DatabaseUnavailable, PoolTimeout):
            return False
        return True


def _open(handler: Handler, answers: Mapping[int, Any]) -> Operation[None]:
    """For anybody."""
    return Operation(handler, answers, anybody=True)
