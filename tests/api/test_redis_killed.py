"""Redis is killed under load: the API in a process of its own, real servers, open arrivals."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import msgspec
import numpy as np
import pytest
import redis

from perflab.load import LoadSamples, Request, Target, run_open
from perflab.load.arrivals import poisson
from perflab.load.outcomes import ANSWERED
from perflab.ratelimit import AUTH, DEFAULT_POLICIES
from perflab.services import Redis, open_services
from perflab.studies.api import served
from perflab.studies.api.served import Orders
from perflab.studies.child import Child
from redis_outages import kill

from .conftest import World
from .support import PASSWORD, START, execute

RATE_RPS = 100.0
BEFORE_S = 1.0
AWAY_S = 3.0
AFTER_S = 3.5
RECOVERY_S = 5.0
"""What is promised."""

ROOMY = tuple(
    one if one.name == "auth" else msgspec.structs.replace(one, limit=100_000, algorithm="gcra")
    for one in DEFAULT_POLICIES
)
"""Whoever is signed in is never refused; guesses are limited as ever."""


@pytest.fixture
def server() -> Iterator[Redis]:
    with open_services("embedded", only=["redis"]) as opened:
        yield opened.redis


def log_in(client: httpx.Client, email: str, password: str = PASSWORD) -> httpx.Response:
    return client.post("/auth/login", json={"email": email, "password": password})


def bearer(answer: httpx.Response) -> tuple[tuple[str, str], ...]:
    assert answer.status_code == 200, answer.text
    return (("Authorization", f"Bearer {answer.json()['token']}"),)


def revoke_newest(conninfo: str, user: int) -> None:
    execute(
        conninfo,
        "UPDATE sessions SET revoked_at = created_at WHERE id ="
        " (SELECT max(id) FROM sessions WHERE user_id = %s)",
        [user],
    )


@pytest.mark.serial
def test_nobody_sees_a_5xx_sessions_are_verified_and_guesses_are_limited(
    world: World, server: Redis
) -> None:
    settings = msgspec.structs.replace(
        world.settings,
        redis=server.url(),
        policies=ROOMY,
        cache_budget_s=0.1,
        limiter_budget_s=0.1,
    )
    orders = Orders(settings=settings, behind_s=time.time() - START)
    with (
        Child(Path(served.__file__)) as child,
        redis.Redis.from_url(server.url()) as direct,
        ThreadPoolExecutor(1) as thread,
    ):
        child.say(msgspec.json.encode(orders).decode())
        port = int(child.hear())
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30) as client:
            ada = bearer(log_in(client, world.ada_email))
            bob = bearer(log_in(client, world.bob_email))
            late = bearer(log_in(client, world.bob_email))  # first shown while Redis is away
            ended = bearer(log_in(client, world.ada_email))
            revoke_newest(world.conninfo, world.ada)
            mix = [
                (Request("GET", "/tasks", ada), 200),
                (Request("GET", "/users/me", bob), 200),
                (Request("GET", "/analytics/dashboard", ada), 200),
                (Request("GET", "/users/me", ended), 401),
                (Request("GET", "/public/stats"), 200),
                (_written(ada), 201),
            ]
            seconds = BEFORE_S + AWAY_S + AFTER_S
            load = thread.submit(_load, port, [one for one, _ in mix], seconds)
            time.sleep(BEFORE_S)
            killed_at = time.monotonic()
            kill(server)
            guesses = _guess_until_refused(client, world.ada_email)
            seen_late = client.get("/users/me", headers=dict(late))
            assert not _pings(direct), "still away"
            time.sleep(max(0.0, killed_at + AWAY_S - time.monotonic()))
            server.restart()
            back_at = time.monotonic()
            while not (_limits_by(direct, settings.prefix) and _reads_by(client)):
                assert time.monotonic() < back_at + 2 * RECOVERY_S, "it does not recover"
                time.sleep(0.02)
            recovered_s = time.monotonic() - back_at
            samples = load.result()

    wanted = np.array([mix[position % len(mix)][1] for position in range(len(samples))])
    print(
        f"away {back_at - killed_at:.1f} s, recovered {recovered_s:.2f} s later; guesses"
        f" {dict(Counter(one.status_code for one in guesses))}; {len(samples)} requests under load:"
        f" {dict(Counter(samples.status.tolist()))},"
        f" slowest {1_000 * float(np.nanmax(samples.latency_s)):.0f} ms"
    )
    assert (samples.outcome == ANSWERED).all()
    assert (samples.status == wanted).all(), "nobody was refused, let through or failed"
    written = execute(world.conninfo, "SELECT count(*) FROM tasks WHERE title = 'dark'")
    assert written == [(int((samples.status == 201).sum()),)]
    assert seen_late.status_code == 200
    assert [one.status_code for one in guesses] == [401] * AUTH.limit + [429]
    assert int(guesses[-1].headers["retry-after"]) > 0
    assert recovered_s <= RECOVERY_S


def _written(who: tuple[tuple[str, str], ...]) -> Request:
    fields = (*who, ("Content-Type", "application/json"))
    return Request("POST", "/tasks", fields, b'{"title":"dark"}')


def _load(port: int, requests: list[Request], seconds: float) -> LoadSamples:
    return run_open(
        Target("127.0.0.1", port),
        lambda position: requests[position % len(requests)],
        poisson(RATE_RPS, seed=3, seconds=seconds),
        timeout_s=10.0,
        own_process=True,
    )


def _guess_until_refused(client: httpx.Client, email: str) -> list[httpx.Response]:
    """Wrong passwords until one is not even looked at; at most twice as many as may be."""
    answers: list[httpx.Response] = []
    while len(answers) < 2 * AUTH.limit:
        answers.append(log_in(client, email, "wrong"))
        if answers[-1].status_code != 401:
            break
    return answers


def _pings(direct: Any) -> bool:
    try:
        return bool(direct.ping())
    except redis.ConnectionError:
        return False


def _limits_by(direct: Any, prefix: str) -> bool:
    """Whether the new Redis holds the quota of somebody, other than the limiter's own probe."""
    return any(b"{probe}" not in key for key in direct.scan_iter(f"{prefix}rl:*"))


def _reads_by(client: httpx.Client) -> bool:
    return bool(client.get("/readyz").json()["redis"])
