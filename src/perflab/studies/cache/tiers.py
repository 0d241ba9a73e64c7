"""Hit ratios of real tiers under a stated workload, beside virtual time and beside formulas."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd
from scipy import optimize

from perflab.cache import QUERY, CachePolicy, MemoryTier, TieredCache
from perflab.cache.ledger import LedgerStats, PolicyStats
from perflab.cache.policies.predict import lru_ttl_hit_ratio, ttl_hit_ratio
from perflab.cache.policies.synthetic import zipf_popularities
from perflab.measure.statistics import Estimate, mean_of_repetitions
from perflab.profiles import CacheSizes
from perflab.services import Redis
from perflab.studies.cache.driving import Drive, both_tiers, drive, poisson_s, scaled
from perflab.studies.cache.virtual import JITTER, Answers, replay
from perflab.studies.cache.workload import TWITTER_ALPHAS, Codes, Floats, Values, Workload
from perflab.studies.frames import triple
from perflab.studies.loops import in_own_loop

POLICY: Final = QUERY
"""Whose lifetimes are measured: the plan's shortest, so the hardest to hit."""
MEMORY_ENTRIES: Final = 1_000
PLAN_RPS: Final = 1_000.0
"""The plan's request capacity, all of it at one process: the kindest reading for its memory."""
TAGS: Final = ("workload",)
WINDOW_TTLS: Final = 0.25
"""The length of a window in lifetimes."""

_TRIED: Final = 3_000
_CALLERS: Final = 32
_SUSTAINED: Final = 0.6
"""Of the capacity: open arrivals come in clusters, and a run shall not build a queue."""
_SETTLED_TTLS: Final = 2
_RATES: Final = (1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1_000.0, 3_000.0, 10_000.0)
_FASTEST: Final = 1e7


@dataclass(frozen=True, kw_only=True)
class TierRun:
    """One run over real tiers: a cold part, then windows."""

    workload: str
    rate_rps: float
    """Of the service that is imitated."""
    factor: float
    """By which its TTLs were divided and its rate was multiplied."""
    policy: CachePolicy
    """Before scaling."""
    drive: Drive
    ledger: LedgerStats
    """Of the whole run."""
    virtual: Answers
    """The same requests after the cold part, in virtual time and unscaled."""
    predicted_memory: float
    predicted_combined: float

    @property
    def cold(self) -> PolicyStats:
        """The first part, which began with empty tiers."""
        return self.drive.windows[0].stats

    @property
    def warm(self) -> tuple[PolicyStats, ...]:
        """The parts after it."""
        return tuple(window.stats for window in self.drive.windows[1:])

    @property
    def predicted_redis(self) -> float:
        """Of Redis' own lookups, from the ratios of memory and of both."""
        return (self.predicted_combined - self.predicted_memory) / (1 - self.predicted_memory)

    def percent(self, ratio: Callable[[PolicyStats], float]) -> Estimate:
        """The mean of a ratio over the warm windows, in percent."""
        return mean_of_repetitions([100 * ratio(window) for window in self.warm])


def memory_ratio(stats: PolicyStats) -> float:
    """Memory's hits of its lookups."""
    return stats.memory.hit_ratio


def redis_ratio(stats: PolicyStats) -> float:
    """Redis' hits of its own lookups, which are what memory missed."""
    return stats.redis.hit_ratio


def combined_ratio(stats: PolicyStats) -> float:
    """What any tier answered, of all requests."""
    return stats.combined_ratio


def measure_memory(workload: Workload, redis: Redis, sizes: CacheSizes) -> TierRun:
    """The memory tier in real time: its TTL is shorter than the run, so nothing is scaled."""
    count = max(100, round(PLAN_RPS * sizes.memory_s))
    return _run(workload, redis, count, PLAN_RPS, 1.0, cold=0.2, windows=max(3, sizes.windows))


def measure_tiers(workload: Workload, redis: Redis, sizes: CacheSizes) -> TierRun:
    """Both tiers, TTLs and rate scaled alike so that some lifetimes fit into the run.

    Requests come at ``driven_rps``, or slower where this machine cannot keep that pace.
    """
    codes = workload.first(_TRIED)
    driven_rps = min(
        sizes.driven_rps, _SUSTAINED * in_own_loop(_capacity_rps(workload, redis, codes))
    )
    a_lifetime = sizes.rate_rps * POLICY.ttl_s
    lifetimes = 1 + WINDOW_TTLS * sizes.windows
    count = round(a_lifetime * lifetimes)
    factor = driven_rps / sizes.rate_rps
    cold = 1 / lifetimes
    return _run(workload, redis, count, sizes.rate_rps, factor, cold=cold, windows=sizes.windows)


def _run(
    workload: Workload,
    redis: Redis,
    count: int,
    rate_rps: float,
    factor: float,
    *,
    cold: float,
    windows: int,
) -> TierRun:
    codes = workload.first(count)
    due_s = poisson_s(len(codes), rate_rps, workload.seed)
    first = round(cold * len(codes))
    cuts = np.linspace(first, len(codes), windows + 1).astype(int)[:-1].tolist()
    done, ledger = in_own_loop(_drive(workload, redis, codes, due_s / factor, factor, cuts))
    answers = replay(
        codes, due_s, ttl_s=POLICY.ttl_s, memory_ttl_s=POLICY.memory_ttl_s, seed=workload.seed
    )
    shares = workload.shares(codes)
    memory, combined = predict(shares, rate_rps)
    return TierRun(
        workload=workload.title,
        rate_rps=rate_rps,
        factor=factor,
        policy=POLICY,
        drive=done,
        ledger=ledger,
        virtual=answers.after(float(due_s[first])),
        predicted_memory=memory,
        predicted_combined=combined,
    )


async def _drive(
    workload: Workload, redis: Redis, codes: Codes, due_s: Floats, factor: float, cuts: list[int]
) -> tuple[Drive, LedgerStats]:
    policy = scaled(POLICY, factor)
    async with both_tiers(redis, "tiers", MemoryTier(MEMORY_ENTRIES, policy.memory_ttl_s)) as (
        cache,
        _shared,
    ):
        request = requests_of(cache, policy, Values(workload.seed))
        done = await drive(request, codes.tolist(), due_s, lambda: cache.ledger.stats().total, cuts)
        return done, cache.ledger.stats()


async def _capacity_rps(workload: Workload, redis: Redis, codes: Codes) -> float:
    """What some callers get answered a second, each asking as soon as it has its answer.

    They begin with empty tiers, which is the hardest part of a run.
    """
    async with both_tiers(redis, "capacity", MemoryTier(MEMORY_ENTRIES)) as (cache, _shared):
        request = requests_of(cache, POLICY, Values(workload.seed))
        waiting = iter(codes.tolist())

        async def caller() -> None:
            for code in waiting:
                await request(code)

        began = time.perf_counter()
        await asyncio.gather(*(caller() for _ in range(_CALLERS)))
        return len(codes) / (time.perf_counter() - began)


def requests_of(
    cache: TieredCache, policy: CachePolicy, values: Values
) -> Callable[[int], Awaitable[object]]:
    """A function that asks the cache for a key's value; loads take no time.

    What a load takes is left out, since it could not be scaled: it does not change who answers.
    """

    async def request(code: int) -> object:
        async def load() -> str:
            return values.of(code)

        return await cache.get_or_load(f"key:{code}", load, policy, TAGS)

    return request


def predict(shares: Floats, rate_rps: float, policy: CachePolicy = POLICY) -> tuple[float, float]:
    """Memory's and the combined hit ratio by formula, for independent requests.

    Memory holds MEMORY_ENTRIES for its TTL (Che's approximation with a TTL); Redis holds all that
    was loaded within the TTL, jitter taken off: λτ/(1 + λτ) for each key. What memory has, Redis
    has too.
    """
    rates = shares * rate_rps
    memory = lru_ttl_hit_ratio(rates, min(MEMORY_ENTRIES, len(rates)), policy.memory_ttl_s)
    lasts_s = policy.ttl_s * (1 - JITTER / 2)
    return memory, max(memory, ttl_hit_ratio(rates, lasts_s))


def rate_needed(shares: Floats, promised: float, *, memory: bool) -> float:
    """Requests per second from which the predicted hit ratio of memory, else of both, is promised.

    Infinite where no rate up to ten million is enough: memory that is too small for the keys.
    """
    which = 0 if memory else 1

    def short(log_rate: float) -> float:
        return predict(shares, float(np.exp(log_rate)))[which] - promised

    low, high = np.log(1e-3), np.log(_FASTEST)
    if short(high) < 0:
        return float("inf")
    if short(low) >= 0:
        return float(np.exp(low))
    return float(np.exp(optimize.brentq(short, low, high, xtol=1e-3)))


def tier_frame(memory: TierRun, tiers: TierRun) -> pd.DataFrame:
    """One row a figure: measured on real tiers, in virtual time, by formula, and the cold part."""
    rows = [
        ("memory, of its lookups", memory, memory_ratio, memory.virtual.memory_ratio,
         memory.predicted_memory),
        ("Redis, of what memory missed", tiers, redis_ratio, tiers.virtual.redis_ratio,
         tiers.predicted_redis),
        ("combined, of all requests", tiers, combined_ratio, tiers.virtual.combined_ratio,
         tiers.predicted_combined),
    ]  # fmt: skip
    return pd.DataFrame(
        [
            {
                "what": what,
                "rate_rps": run.rate_rps,
                "factor": run.factor,
                "cold": 100 * ratio(run.cold),
                **triple("measured", run.percent(ratio)),
                "virtual": 100 * virtual,
                "predicted": 100 * predicted,
                "late": 100 * run.drive.late_share,
            }
            for what, run, ratio, virtual, predicted in rows
        ]
    )


def measure_rates(workload: Workload, sizes: CacheSizes) -> pd.DataFrame:
    """Hit ratios against the request rate: in virtual time, unscaled, and by formula.

    Virtual time reaches as far as ``virtual_requests`` carry it over three TTLs.
    """
    rows = []
    # of all requests at every rate: the fewer a trace's shares are counted from, the more its
    # rare keys are overrated
    shares = workload.shares(workload.first(sizes.virtual_requests))
    for rate in _RATES:
        count = round((1 + _SETTLED_TTLS) * rate * POLICY.ttl_s)
        codes = workload.first(min(count, sizes.virtual_requests))
        memory, combined = predict(shares, rate)
        for tier, ratio in (("memory", memory), ("combined", combined)):
            rows.append({"rate_rps": rate, "series": f"{tier}, formula", "percent": 100 * ratio})
        if len(codes) < count:
            continue
        at_s = poisson_s(count, rate, workload.seed)
        answers = replay(
            codes, at_s, ttl_s=POLICY.ttl_s, memory_ttl_s=POLICY.memory_ttl_s, seed=workload.seed
        ).after(POLICY.ttl_s)
        for tier, ratio in (
            ("memory", answers.memory_ratio),
            ("combined", answers.combined_ratio),
        ):
            rows.append(
                {"rate_rps": rate, "series": f"{tier}, virtual time", "percent": 100 * ratio}
            )
    return pd.DataFrame(rows)


def needed_frame(
    workload: Workload, memory_promised: float, combined_promised: float
) -> pd.DataFrame:
    """One row a skew: the hit ratios at the plan's rate, and the rates that the claims need."""
    rows = []
    alphas = sorted({*TWITTER_ALPHAS, workload.alpha}) if workload.synthetic else [None]
    for alpha in alphas:
        if alpha is None:
            shares = workload.shares(workload.first(100_000))
        else:
            shares = zipf_popularities(workload.keys, alpha)
        memory, combined = predict(shares, PLAN_RPS)
        rows.append(
            {
                "skew": workload.title if alpha is None else f"alpha {alpha:g}",
                "memory": 100 * memory,
                "combined": 100 * combined,
                "memory_needs": rate_needed(shares, memory_promised, memory=True),
                "combined_needs": rate_needed(shares, combined_promised, memory=False),
            }
        )
    return pd.DataFrame(rows)
