"""Where the limiter keeps its state: both stores, and a Redis to be broken."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from perflab.services import Redis
from redis_outages import proxy, server

__all__ = ["proxy", "runner", "server", "store"]


@pytest.fixture(scope="module", params=["redis", "local"])
def store(request: pytest.FixtureRequest) -> str | None:
    """A URL, or None for a limiter within the process."""
    if request.param == "local":
        return None
    server: Redis = request.getfixturevalue("redis_server")
    return server.url()


@pytest.fixture(scope="module")
def runner() -> Iterator[asyncio.Runner]:
    """One event loop for a module, where a test runs many small scenarios."""
    with asyncio.Runner() as opened:
        yield opened
