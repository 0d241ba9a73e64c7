"""Every test of real time has channels of its own."""

from __future__ import annotations

import pytest

from perflab.services import Redis

from .servers import Scene


@pytest.fixture
def scene(redis_server: Redis) -> Scene:
    return Scene(redis_server.url())
