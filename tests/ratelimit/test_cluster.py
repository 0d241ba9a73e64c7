"""The limiter on a real Redis Cluster of three nodes."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Sequence
from typing import Any

import pytest

from event_loop import PATIENCE_S, own_prefix, run
from perflab.ratelimit import Charge, Policy, RateLimiter, Subject
from perflab.ratelimit.script import Check
from perflab.ratelimit.shared import Reply
from perflab.redis_link import slot

from .support import DAY_S, open_limiter, someone

WIDE = Policy(name="wide", limit=100, period_s=DAY_S, algorithm="sliding_counter")
NARROW = Policy(name="narrow", limit=5, period_s=DAY_S)
TRIED = Policy(name="tried", limit=1, period_s=DAY_S, shadow=True)
ALL = [
    NARROW,
    Policy(name="log", limit=5, period_s=DAY_S, algorithm="sliding_log"),
    Policy(name="counter", limit=5, period_s=DAY_S, algorithm="sliding_counter"),
    Policy(name="window", limit=5, period_s=DAY_S, algorithm="fixed_window"),
]


def script_calls(nodes: list[Any]) -> int:
    stats = [node.info("commandstats").get("cmdstat_evalsha", {"calls": 0}) for node in nodes]
    return sum(one["calls"] for one in stats)


def test_checks_of_a_tick_are_one_call_for_each_slot(nodes: list[Any], cluster: str) -> None:
    async def scenario() -> None:
        async with open_limiter(cluster, [WIDE, NARROW], cluster=True) as limiter:
            users = [Subject.user(number) for number in range(30)]
            await asyncio.gather(*(limiter.check("wide", user) for user in users))
            before = script_calls(nodes)
            found = await asyncio.gather(
                *(limiter.check("wide", user) for user in users for _ in range(3)),
                *(
                    limiter.check_all([Charge("wide", user), Charge("narrow", user)])
                    for user in users
                ),
            )
            assert all(one.allowed for one in found)
            slots = {slot("{" + user.key + "}") for user in users}
            assert script_calls(nodes) - before == len(slots)
            assert all(node.dbsize() > 0 for node in nodes), "one node holds nothing"

    run(scenario())


def test_exactly_the_limit_passes(cluster: str) -> None:
    async def scenario() -> None:
        prefix, user = own_prefix(), someone()
        async with (
            open_limiter(cluster, ALL, prefix=prefix, cluster=True) as here,
            open_limiter(cluster, ALL, prefix=prefix, cluster=True) as there,
        ):
            for policy in ALL:
                found = await asyncio.gather(
                    *(one.check(policy.name, user) for one in (here, there) for _ in range(20))
                )
                assert sum(one.allowed for one in found) == 5

    run(scenario())


def test_nodes_that_forgot_the_scripts_are_told_again(nodes: list[Any], cluster: str) -> None:
    async def scenario() -> None:
        async with open_limiter(cluster, [NARROW], cluster=True) as limiter:
            for node in nodes:
                node.script_flush()
            found = await asyncio.gather(
                *(limiter.check("narrow", Subject.user(number)) for number in range(20))
            )
            assert all(one.allowed and one.quotas[0].remaining == 4 for one in found)
            assert limiter.stats().errors == 0

    run(scenario())


def test_policies_of_several_subjects_are_charged_all_or_none(cluster: str) -> None:
    async def scenario() -> None:
        async with open_limiter(cluster, [WIDE, NARROW, TRIED], cluster=True) as limiter:
            user, address = someone(), Subject.address("192.0.2.1")
            charges = [Charge("wide", user), Charge("narrow", address), Charge("tried", user)]
            found = [await limiter.check_all(charges) for _ in range(5)]
            assert all(one.allowed for one in found)
            assert [one.quotas[1].remaining for one in found] == [4, 3, 2, 1, 0]
            assert [one.quotas[2].allowed for one in found] == [True] + [False] * 4
            refused = await limiter.check_all(charges)
            assert refused.violated == ("narrow",)
            assert [one.policy.name for one in refused.quotas] == ["wide", "narrow", "tried"]
            assert refused.quotas[0].remaining == 95
            assert (await limiter.check("wide", user, 95)).allowed
            assert limiter.stats().refunds == 0

    run(scenario())


class Interfering(RateLimiter):
    """Between asking and charging, somebody else takes what is named."""

    meanwhile: Sequence[Charge] = ()

    def interfere(self, other: RateLimiter) -> None:
        shared = self._shared
        assert shared is not None
        ask = shared.ask
        looked = False

        def asking(check: Check) -> asyncio.Future[Reply]:
            nonlocal looked
            if check.look:
                looked = True
                return ask(check)
            if not looked:
                return ask(check)

            async def later() -> Reply:
                await asyncio.gather(*(other.check(*charge) for charge in self.meanwhile))
                return await ask(check)

            return asyncio.ensure_future(later())

        shared.ask = asking  # type: ignore[method-assign]


@pytest.mark.parametrize("policy", ALL, ids=lambda policy: policy.name)
def test_a_lost_race_is_refunded_and_admits_nobody_too_many(cluster: str, policy: Policy) -> None:
    async def scenario() -> None:
        prefix, user, address = own_prefix(), someone(), Subject.address("192.0.2.1")
        options: dict[str, Any] = {
            "prefix": prefix,
            "cluster": True,
            "budget_s": 20.0,
            "timeout_s": 30.0,
        }
        tight = Policy(name="tight", limit=1, period_s=DAY_S)
        async with (
            RateLimiter(cluster, [policy, tight], **options) as other,
            Interfering(cluster, [policy, tight], **options) as limiter,
        ):
            await other.check(policy.name, user)
            limiter.meanwhile = [Charge("tight", address)]
            limiter.interfere(other)
            decision = await limiter.check_all(
                [Charge(policy.name, user, 3), Charge("tight", address)]
            )
            assert not decision.allowed
            assert decision.violated == ("tight",)
            assert limiter.stats().refunds == 1
            # one of five was used before, and no more is
            assert not (await other.check(policy.name, user, 5)).allowed
            assert (await other.check(policy.name, user, 4)).allowed

    run(scenario())


def test_a_node_that_hangs_is_an_outage_that_ends_with_it(nodes: list[Any], cluster: str) -> None:
    async def scenario() -> None:
        closed = Policy(name="closed", limit=100, period_s=DAY_S, on_outage="closed")
        async with open_limiter(
            cluster, [closed], cluster=True, budget_s=0.3, timeout_s=PATIENCE_S, probe_s=0.1
        ) as limiter:
            await limiter.ping()
            users = [Subject.user(number) for number in range(30)]
            process = nodes[0].info("server")["process_id"]
            os.kill(process, signal.SIGSTOP)
            try:
                async with asyncio.timeout(PATIENCE_S):
                    while limiter.available:
                        found = await asyncio.gather(*(limiter.check("closed", u) for u in users))
                        assert not any(one.allowed for one in found)
                        assert {one.quotas[0].source for one in found} == {"outage"}
            finally:
                os.kill(process, signal.SIGCONT)
            async with asyncio.timeout(PATIENCE_S):
                while not limiter.available:
                    await asyncio.sleep(0.01)
            found = await asyncio.gather(*(limiter.check("closed", user) for user in users))
            assert {one.quotas[0].source for one in found} == {"redis"}

    run(scenario())
