"""Settings that real time cannot have: one error when they are given, which names the first."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from event_loop import run
from perflab.realtime import ChannelLog, RealtimeError
from perflab.realtime.backoff import Backoff
from perflab.realtime.batching import Batches
from perflab.realtime.client import ClientPool, ClientSettings, RealtimeClient
from perflab.realtime.heartbeat import PingWheel
from perflab.realtime.hub import Hub, HubSettings
from perflab.realtime.tokens import Tokens
from perflab.realtime.waiting import Waiting

from .servers import Scene

REDIS = "redis://localhost"
SECRET = "s" * 32


def log(**settings: Any) -> ChannelLog:
    return ChannelLog(REDIS, **settings)


def backoff(**settings: Any) -> Backoff:
    return Backoff(np.random.default_rng(1), **settings)


def wheel(**settings: Any) -> PingWheel[Any]:
    return PingWheel(**({"heartbeat_s": 9.0, "timeout_s": 3.0} | settings))


def client(**settings: Any) -> RealtimeClient:
    return RealtimeClient(["ws://localhost"], **settings)


def pool(**settings: Any) -> ClientPool:
    return ClientPool(["ws://localhost"], **settings)


def hub(**settings: Any) -> Hub:
    return Hub(REDIS, Tokens(SECRET), **settings)


BAD: tuple[tuple[Callable[..., object], str, object], ...] = (
    (log, "budget_s", math.nan),
    (log, "budget_s", 0),
    (log, "budget_s", "1"),
    (log, "history_s", math.nan),
    (log, "history_size", 1.5),
    (log, "history_size", None),
    (log, "cluster", 1),
    (log, "prefix", "{mine}"),
    (log, "prefix", "two words"),
    (log, "prefix", None),
    (backoff, "base_s", math.nan),
    (backoff, "cap_s", math.inf),
    (backoff, "stable_s", math.nan),
    (backoff, "attempts", 1.5),
    (Batches, "interval_s", math.nan),
    (Batches, "interval_s", -1),
    (Batches, "most", None),
    (wheel, "heartbeat_s", math.inf),
    (wheel, "timeout_s", math.nan),
    (wheel, "timeout_s", None),
    (HubSettings, "heartbeat_s", math.inf),
    (HubSettings, "batch_interval_s", math.nan),
    (HubSettings, "max_connections", 1.5),
    (HubSettings, "stall_s", "long"),
    (HubSettings, "policy", "realtime"),
    (ClientSettings, "connect_timeout_s", math.inf),
    (ClientSettings, "backoff_cap_s", math.nan),
    (ClientSettings, "attempts", math.inf),
    (ClientSettings, "receive_queue", None),
    (ClientSettings, "poll_wait_s", 2.5),
    (ClientSettings, "jitter", "full"),
    (client, "settings", {"attempts": 3}),
    (pool, "size", 1.5),
    (pool, "size", None),
    (hub, "settings", {"max_connections": 3}),
    (hub, "port", "8080"),
    (hub, "port", 70_000),
    (hub, "host", None),
)


@pytest.mark.parametrize(("make", "name", "value"), BAD)
def test_a_setting_that_cannot_be_used_is_named_when_it_is_given(
    make: Callable[..., object], name: str, value: object
) -> None:
    async def scenario() -> None:
        with pytest.raises(RealtimeError, match=name):
            make(**{name: value})

    run(scenario())


@pytest.mark.parametrize("secret", [None, SECRET.encode(), "short", "\ud800" * 32, 10**40])
def test_a_secret_that_cannot_sign_is_refused_and_not_repeated(secret: Any) -> None:
    with pytest.raises(RealtimeError, match="secret must") as caught:
        Tokens(secret)
    assert "short" not in str(caught.value)


@pytest.mark.parametrize("lasts_s", [math.nan, math.inf, 0, -5.0, "60", None, 1e30])
def test_a_token_lasts_for_a_time_that_there_is(lasts_s: Any) -> None:
    with pytest.raises(RealtimeError, match="lasts_s="):
        Tokens(SECRET).sign("7", lasts_s)


@pytest.mark.parametrize("user", [7, None, "", "\ud800", b"7"])
def test_a_token_is_of_a_user_with_a_name(user: Any) -> None:
    with pytest.raises(RealtimeError, match="user must be a text that is not empty"):
        Tokens(SECRET).sign(user, 60)


@pytest.mark.parametrize("seconds", [math.nan, math.inf, -1.0, "5"])
def test_nobody_waits_for_a_time_that_is_none(scene: Scene, seconds: Any) -> None:
    async def scenario() -> None:
        async with scene.log() as log, Waiting(log, scene.url) as waiting:
            start = (await log.read("news")).position
            with pytest.raises(RealtimeError, match="wait_s="):
                await waiting.read("news", start, seconds)
        async with scene.hub() as opened:
            with pytest.raises(RealtimeError, match="within_s="):
                await opened.drain(seconds)

    run(scenario())


def test_a_hub_is_opened_once(scene: Scene) -> None:
    async def scenario() -> None:
        opened = scene.hub()
        async with opened:
            with pytest.raises(RealtimeError, match="opened once; make another one"):
                await opened.__aenter__()
        with pytest.raises(RealtimeError, match="opened once; make another one"):
            await opened.__aenter__()

    run(scenario())
