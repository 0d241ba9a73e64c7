"""The embedded Redis: closed to others, empty after a restart."""

from __future__ import annotations

import os
import signal
from typing import Any

import pytest
import redis

from perflab.services import Services
from perflab.services.embedded.redis import EmbeddedRedis


def client(url: str) -> Any:
    return redis.Redis.from_url(url, decode_responses=True)


def test_answers_and_says_what_it_is(own_services: Services) -> None:
    server = own_services.redis
    with client(server.url()) as conn:
        assert conn.ping()
        info = conn.info("server")
    assert server.version == info.get("valkey_version", info["redis_version"])
    assert server.flavour in ("valkey", "redis")
    assert server.owned


@pytest.mark.parametrize("credentials", ["", ":wrong@"])
def test_refuses_a_wrong_or_missing_password(own_services: Services, credentials: str) -> None:
    server = own_services.redis
    with (
        client(f"redis://{credentials}127.0.0.1:{server.port}") as conn,
        pytest.raises(redis.AuthenticationError),
    ):
        conn.ping()


def test_writes_nothing_to_disk(own_services: Services) -> None:
    with client(own_services.redis.url()) as conn:
        assert conn.config_get("save", "appendonly") == {"save": "", "appendonly": "no"}


def test_restart_keeps_the_address_and_drops_the_data(own_services: Services) -> None:
    server = own_services.redis
    before = server.url()
    with client(before) as conn:
        conn.set("key", "value")
    server.restart()
    assert server.url() == before
    with client(before) as conn:
        assert conn.get("key") is None


def test_restart_brings_back_a_server_that_was_killed(own_services: Services) -> None:
    control = own_services.redis.control
    assert isinstance(control, EmbeddedRedis)
    os.kill(control.site.main_pid, signal.SIGKILL)
    own_services.redis.restart()
    with client(own_services.redis.url()) as conn:
        assert conn.ping()
