"""However many ask at once, exactly as many pass as may."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from event_loop import own_prefix, run
from perflab.ratelimit import Charge, Policy, RateLimiter
from perflab.ratelimit.policies import ALGORITHMS
from perflab.services import Redis

from .support import DAY_S, open_limiter, someone

PROCESSES = 3
LIMIT = 100

# a period so long that nothing is freed while the test runs
POLICIES = [
    Policy(name=algorithm.replace("_", "-"), limit=LIMIT, period_s=DAY_S, algorithm=algorithm)
    for algorithm in ALGORITHMS
]
POLICIES.append(Policy(name="leased", limit=LIMIT, period_s=DAY_S, lease=10))


@pytest.mark.parametrize("policy", POLICIES, ids=lambda policy: policy.name)
def test_many_limiters_admit_exactly_the_limit(redis_server: Redis, policy: Policy) -> None:
    async def scenario() -> None:
        prefix, user = own_prefix(), someone()
        # nothing is remembered for long, so that every check reaches the server
        limiters = [
            open_limiter(redis_server.url(), [policy], prefix=prefix, remember_at_most_s=1e-9)
            for _ in range(4)
        ]
        allowed = 0

        async def caller(limiter: RateLimiter) -> None:
            nonlocal allowed
            for _ in range(10):
                if (await limiter.check(policy.name, user)).allowed:
                    allowed += 1

        try:
            await asyncio.gather(*(caller(limiter) for limiter in limiters for _ in range(10)))
        finally:
            for limiter in limiters:
                await limiter.close()
        assert allowed == LIMIT
        counted = [limiter.stats().policies[policy.name] for limiter in limiters]
        assert sum(one.allowed for one in counted) == LIMIT
        assert (
            sum(one.denied for one in counted) + sum(one.locally_denied for one in counted) == 300
        )

    run(scenario())


def test_many_processes_admit_exactly_the_limit_of_every_policy(redis_server: Redis) -> None:
    orders = {
        "url": redis_server.url(),
        "prefix": own_prefix(),
        "policies": msgspec.to_builtins(POLICIES),
        "callers": 20,
        "checks": 4 * 10,
    }
    program = Path(__file__).with_name("caller_process.py")
    callers = [
        subprocess.Popen(
            [sys.executable, str(program)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(PROCESSES)
    ]
    try:
        for one in callers:
            assert one.stdin is not None
            one.stdin.write(json.dumps(orders) + "\n")
            one.stdin.flush()
        for one in callers:
            assert one.stdout is not None
            assert one.stdout.readline() == "ready\n"
        for one in callers:
            assert one.stdin is not None
            one.stdin.write("go\n")
            one.stdin.flush()
        allowed = [int(one.communicate(timeout=60)[0]) for one in callers]
    finally:
        for one in callers:
            one.kill()
            one.communicate()
    assert sum(allowed) == LIMIT * len(POLICIES)


def test_policies_charged_together_stay_in_step(redis_server: Redis) -> None:
    async def scenario() -> None:
        user, other = someone(), someone()
        async with open_limiter(redis_server.url(), POLICIES) as limiter:
            await limiter.check("gcra", other, 40)
            charges = [Charge("gcra", other), *(Charge(one.name, user) for one in POLICIES)]
            found = await asyncio.gather(*(limiter.check_all(charges) for _ in range(200)))
            assert sum(one.allowed for one in found) == 60
            left = [await limiter.check(one.name, user, 40) for one in POLICIES]
            assert all(one.allowed for one in left)

    run(scenario())
