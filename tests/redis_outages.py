"""A Redis of one test module, to be killed, stopped and cut off."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager

import msgspec
import pytest

from perflab.services import Redis, Services
from perflab.services.embedded.redis import EmbeddedRedis
from perflab.services.proxy import Proxy

FOR_EVER_S = 600.0
"""A timeout that ends nothing here, so that only the budget can."""


@pytest.fixture
def server(own_services: Services) -> Redis:
    return own_services.redis


@pytest.fixture
def proxy(server: Redis) -> Iterator[Proxy]:
    with Proxy(server.host, server.port) as opened:
        yield opened


def through(proxy: Proxy, server: Redis) -> str:
    """The URL that leads through the proxy."""
    return server.url().replace(f":{server.port}", f":{proxy.port}")


def foreign(server: Redis) -> Redis:
    """The same server as the url rung would hand it out: nobody may stop or configure it."""
    address = msgspec.structs.replace(
        server.address, rung="url", owned=False, given=server.url(), prefix="theirs:"
    )
    return Redis(address, None)


def kill(server: Redis) -> None:
    """End the process without a word, as a crash does."""
    os.kill(_pid(server), signal.SIGKILL)


@contextmanager
def stopped(server: Redis) -> Iterator[None]:
    """The process lives and its connections stay open, but it does nothing."""
    process = _pid(server)
    os.kill(process, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(process, signal.SIGCONT)


def _pid(server: Redis) -> int:
    assert isinstance(server.control, EmbeddedRedis)
    return server.control.site.main_pid
