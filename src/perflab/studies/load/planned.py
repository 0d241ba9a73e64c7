"""The plan's HTTP scenarios against the API, under the plan's own quotas and under wide ones."""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

import msgspec
import psutil

from perflab.cache.edge import NginxSettings, render
from perflab.load.errors import LoadError
from perflab.load.samples import MOST_BUSY_SHARE
from perflab.load.scenarios import (
    VERDICTS,
    Run,
    Scenario,
    Summary,
    load_scenario,
    run_scenario,
    schedule_of,
    summarise,
)
from perflab.load.scenarios.file import Constant, Poisson
from perflab.paths import data_dir
from perflab.progress import Step
from perflab.ratelimit import DEFAULT_POLICIES, Policy, RateLimiter, Subject
from perflab.ratelimit.policies import by_name
from perflab.report.not_run import NotRun
from perflab.services import Nginx, Redis
from perflab.studies.api.cores import confined, listening
from perflab.studies.api.served import HOST, Orders
from perflab.studies.api.site import Person, Site
from perflab.studies.load.accounts import address_of, write_accounts
from perflab.studies.load.quotas import Past
from perflab.studies.loops import in_own_loop

AS_PLANNED: Final = "as planned"
WIDENED: Final = "widened"
TIMES_WIDER: Final = 100
CARRIED_WITHIN_S: Final = 1.0
USERS: Final = 200
"""As many as the largest scenario has."""


@dataclass(frozen=True)
class Part:
    """One of the plan's scenarios."""

    name: str
    """As in the claims' ids."""
    file: str
    limit: str
    """The policy that its users may run into."""
    by_address: bool = False
    """Whether that policy counts by address and not by user."""

    @property
    def path(self) -> Path:
        """Its file."""
        return data_dir() / "scenarios" / self.file


PARTS: Final = (
    Part("auth", "authentication.toml", "auth", by_address=True),
    Part("tasks", "task_management.toml", "api"),
    Part("analytics", "analytics_dashboard.toml", "heavy"),
)


class Expected(NamedTuple):
    """What a quota was predicted to refuse."""

    share: float
    """Of the run's requests."""
    long_run: float
    """Of the same load, over many periods."""


@dataclass(frozen=True, kw_only=True)
class Trial:
    """One scenario under one set of quotas."""

    part: Part
    quotas: str
    """``AS_PLANNED`` or ``WIDENED``."""
    policy: Policy
    """The one that its users may run into, as it was."""
    run: Run
    summary: Summary
    expected: Expected | None
    """None where the policy is no sliding log: that quota is not reached."""

    @property
    def active_users(self) -> int:
        """How many users sent at least one request in the run."""
        return len(set(self.run.user.tolist()))

    @property
    def void(self) -> bool:
        """Whether the generator missed the rate: busy, or 1 % later than the mean gap."""
        generator = self.summary.generator
        gap_ms = 1e3 / rate_of(self.run.scenario)
        return generator.busy_share > MOST_BUSY_SHARE or generator.late_p99_ms > gap_ms

    @property
    def scheduled(self) -> int:
        """The requests of all flows that were to begin."""
        flows = self.run.scenario.flows
        return sum(len(flows[flow].steps) for flow in schedule_of(self.run.scenario).flow)

    @property
    def carried_per_s(self) -> float:
        """The scenario's rate, times the share of its requests that was carried.

        A request is carried if its answer is good and comes within a second of when it was due: a
        server that falls behind answers all of them too, later and later.
        """
        run = self.run
        carried = (run.verdict == VERDICTS.index("good")) & (
            run.samples.latency_s <= CARRIED_WITHIN_S
        )
        return rate_of(run.scenario) * int(carried.sum()) / self.scheduled


def rate_of(scenario: Scenario) -> float:
    """Requests a second, as the file says; a LoadError if it says no rate that stays the same."""
    if not isinstance(scenario.arrival, Constant | Poisson):
        raise LoadError(f"{scenario.title}: its kind of arrival has not one rate from end to end")
    return scenario.arrival.rate_per_s


def run_planned(
    site: Site, edge: Nginx | NotRun, seconds: float, seed: int, step: Step | None = None
) -> tuple[Trial, ...]:
    """Every scenario twice, for ``seconds`` each; the users are those of the site.

    Requests go through the edge, where there is one.
    """
    orders = {AS_PLANNED: site.orders(), WIDENED: _widened(site.orders())}
    trials = []
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="perflab-load-")))
        accounts = folder / "accounts.csv"
        write_accounts(accounts, site.people, site.password)
        served = stack.enter_context(site.serving(orders))
        stack.enter_context(confined([psutil.Process()], site.cores.generator))
        for number, (part, quotas) in enumerate((p, q) for p in PARTS for q in orders):
            if step is not None:
                step(f"{part.file.removesuffix('.toml')}, quotas {quotas}", number, 2 * len(PARTS))
            with _before(edge, served[quotas].port, site) as port:
                scenario = load_scenario(
                    part.path,
                    target=f"http://{HOST}:{port}",
                    data={"account": accounts},
                    duration_s=seconds,
                    seed=seed,
                )
                trials.append(_try(part, quotas, scenario, orders[quotas], site))
    return tuple(trials)


@contextmanager
def _before(edge: Nginx | NotRun, port: int, site: Site) -> Iterator[int]:
    """The port to ask: that of the edge before the API on ``port``, on the same core."""
    if isinstance(edge, NotRun):
        yield port
        return
    edge.serve(
        render(
            NginxSettings(host=edge.host, port=edge.port, origin_port=port, folder=str(edge.cache))
        )
    )
    with confined(listening(edge.port), site.cores.served):
        yield edge.port


def _try(part: Part, quotas: str, scenario: Scenario, orders: Orders, site: Site) -> Trial:
    settings = orders.settings
    policies = DEFAULT_POLICIES if settings is None else settings.policies
    policy = by_name(policies)[part.limit]
    expected = None
    if quotas == AS_PLANNED and policy.algorithm == "sliding_log":
        past = Past(
            policy, users=scenario.users, rate_per_s=rate_of(scenario), seed=scenario.seed + 1
        )
        subjects = [_subject(part, n, person) for n, person in enumerate(site.people)]
        zero = time.time()
        prefix = "" if settings is None else settings.prefix
        in_own_loop(_remember(site.services.redis, prefix, policy, past, zero, subjects))
        run = run_scenario(scenario)
        schedule = schedule_of(scenario)
        began = run.samples.began_unix_s - zero  # what has lapsed until then is free again
        share = past.refused_after(schedule.due_s + began, schedule.user)
        expected = Expected(share, past.refused_share)
    else:
        run = run_scenario(scenario)
    return Trial(
        part=part,
        quotas=quotas,
        policy=policy,
        run=run,
        summary=summarise(run),
        expected=expected,
    )


async def _remember(
    redis: Redis, prefix: str, policy: Policy, past: Past, zero: float, subjects: Sequence[Subject]
) -> None:
    """Enter what was granted before ``zero`` into the API's own limiter, at its times."""
    async with RateLimiter(redis.url(), (policy,), prefix=f"{prefix}rl:", budget_s=5.0) as limiter:
        await limiter.ping()
        await asyncio.gather(
            *(
                limiter.check(policy.name, subjects[user], now=zero + at)
                for at, user in past.granted
            )
        )


def _subject(part: Part, number: int, person: Person) -> Subject:
    return Subject.address(address_of(number)) if part.by_address else Subject.user(person.user_id)


def _widened(orders: Orders) -> Orders:
    """The same API with quotas that nobody reaches."""
    if orders.settings is None:
        return orders
    policies = tuple(
        msgspec.structs.replace(policy, limit=policy.limit * TIMES_WIDER)
        for policy in orders.settings.policies
    )
    settings = msgspec.structs.replace(orders.settings, policies=policies)
    return msgspec.structs.replace(orders, settings=settings)
