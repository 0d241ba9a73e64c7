"""The rules: each looks at one thing, and is silent unless a figure speaks.

A gain is what the figures allow at most, by Amdahl's law or by arithmetic that the rule states:
``verify`` says how to find out what it is. Days of work are assumptions, shown as such.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from perflab.capacity.recommend.evidence import Evidence
from perflab.capacity.scalability import Scalability
from perflab.measure.statistics import Interval

NOTICEABLE: Final = 0.05
"""A gain of capacity below this is within what a run differs from the next."""
BUSY: Final = 0.80
"""A core that is used so far is the limit."""
FEW_HITS: Final = 0.80
GOOD_HITS: Final = 0.95
"""The hit ratio that a gain is reckoned for."""
MANY_WAIT: Final = 0.05
"""The share of checkouts that wait, from which on a pool is too small."""
LATE_MS: Final = 10.0
"""An event loop that is so late on average is kept by something."""
GENERATOR_BUSY: Final = 0.70


@dataclass(frozen=True, kw_only=True)
class Recommendation:
    """One piece of advice."""

    what: str
    because: str
    """With the figure that triggered it."""
    gain: float
    """More requests a second that hold the promise, as a share of now: 0.5 is half as much again.
    """
    days: float
    """Days of work, assumed."""
    verify: str

    @property
    def value(self) -> float:
        """Gain a day."""
        return self.gain / self.days


Rule = Callable[[Evidence], Recommendation | None]


def recommend(evidence: Evidence) -> tuple[Recommendation, ...]:
    """What the figures speak for, the most gain for a day of work first; there may be nothing."""
    found = [advice for rule in RULES if (advice := rule(evidence)) is not None]
    noticed = [advice for advice in found if advice.gain >= NOTICEABLE]
    return tuple(sorted(noticed, key=lambda advice: (-advice.value, advice.what)))


def more_processes(evidence: Evidence) -> Recommendation | None:
    """The load asks for more than one core holds."""
    held, needed = evidence.core_rps.lo, evidence.needed_rps
    if held <= 0 or needed <= held:
        return None
    return Recommendation(
        what=f"run {math.ceil(needed / held)} server processes, each on a core",
        because=f"{needed:,.0f} requests/s are asked for and one core holds {held:,.0f}",
        gain=needed / held - 1,
        days=1,
        verify="load all of them at once: they share PostgreSQL and Redis, which this run did not"
        " bring to their limit",
    )


def own_machines(evidence: Evidence) -> Recommendation | None:
    """PostgreSQL and Redis take from a busy core what the server could use."""
    shares = evidence.shares
    if shares is None or shares.total < BUSY or shares.server <= 0:
        return None
    others = shares.postgres + shares.redis
    return Recommendation(
        what="give PostgreSQL and Redis machines of their own",
        because=f"they take {shares.of_work(others):.0%} of the work on a core that is"
        f" {shares.total:.0%} busy",
        gain=others / shares.server,
        days=2,
        verify="the same loads with services='url' and servers elsewhere; the network's round"
        " trips come on top",
    )


def lighter_queries(evidence: Evidence) -> Recommendation | None:
    """PostgreSQL does most of the work."""
    shares = evidence.shares
    if shares is None or shares.total < BUSY:
        return None
    part = shares.of_work(shares.postgres)
    if part < 0.5:
        return None
    return Recommendation(
        what="make the most expensive statements cheaper, as 01_database times them",
        because=f"PostgreSQL takes {part:.0%} of the work",
        gain=1 / (1 - part / 2) - 1,
        days=3,
        verify="run this notebook again; the gain is reckoned for half of that time",
    )


def more_hits(evidence: Evidence) -> Recommendation | None:
    """Too few lookups find something, and a miss costs more than a hit."""
    cached = evidence.cached
    if cached is None or cached.hit_ratio >= FEW_HITS or cached.hit_ratio <= 0:
        return None
    now, miss = 1 / cached.with_rps, 1 / cached.without_rps
    hit = (now - (1 - cached.hit_ratio) * miss) / cached.hit_ratio
    if not 0 < hit < miss:
        return None
    return Recommendation(
        what="longer lifetimes, or warming before the busiest hour",
        because=f"{cached.hit_ratio:.0%} of the lookups hit, and a core answers"
        f" {cached.with_rps:,.0f} requests/s with the cache, {cached.without_rps:,.0f} without",
        gain=now / (GOOD_HITS * hit + (1 - GOOD_HITS) * miss) - 1,
        days=2,
        verify=f"reckoned for {GOOD_HITS:.0%}; 03_cache shows which lifetime gives how many",
    )


def no_cache(evidence: Evidence) -> Recommendation | None:
    """For this mix the cache costs more than it saves."""
    cached = evidence.cached
    if cached is None or cached.without_rps <= cached.with_rps:
        return None
    return Recommendation(
        what="leave the cache out for these requests",
        because=f"a core answers {cached.without_rps:,.0f} requests/s without it and"
        f" {cached.with_rps:,.0f} with it, {cached.hit_ratio:.0%} of the lookups hitting",
        gain=cached.without_rps / cached.with_rps - 1,
        days=0.5,
        verify="04_api compares both in interleaved blocks",
    )


def larger_pool(evidence: Evidence) -> Recommendation | None:
    """Requests wait for a connection while there is CPU time to be had."""
    pooled, shares = evidence.pooled, evidence.shares
    if pooled is None or shares is None or pooled.waited < MANY_WAIT or shares.total >= BUSY:
        return None
    return Recommendation(
        what=f"more connections than {pooled.size}",
        because=f"{pooled.waited:.0%} of the checkouts waited, {pooled.wait_ms:.3g} ms on average,"
        f" on a core that is {shares.total:.0%} busy",
        gain=min(1.0, BUSY / max(shares.total, 0.1) - 1),
        days=0.5,
        verify="the same step with a larger pool: p95 must fall and PostgreSQL's share rise",
    )


def blocked_loop(evidence: Evidence) -> Recommendation | None:
    """The server's event loop is late although its core has time to spare."""
    lag_ms, shares = evidence.lag_ms, evidence.shares
    if lag_ms is None or shares is None or not lag_ms >= LATE_MS or shares.total >= BUSY:
        return None
    return Recommendation(
        what="find what keeps the event loop waiting, and move it into a thread",
        because=f"the event loop is {lag_ms:.0f} ms late on average, on a core that is"
        f" {shares.total:.0%} busy",
        gain=min(1.0, BUSY / max(shares.total, 0.1) - 1),
        days=2,
        verify="perflab_loop_lag_seconds at /metrics under the same load; no other process may"
        " have the core meanwhile",
    )


def bounded_concurrency(evidence: Evidence) -> Recommendation | None:
    """Beyond the peak, more users get less done together."""
    curve = evidence.scalability
    if not isinstance(curve, Scalability):
        return None
    peak, kappa = curve.peak_users, curve.kappa
    most = float(curve.users.max())
    if not isinstance(peak, Interval) or kappa.lo <= 0 or peak.hi >= most:
        return None
    return Recommendation(
        what=f"answer at most {peak.estimate:.0f} requests at once, let the others wait in line",
        because=f"κ = {kappa.estimate:.2g} [{kappa.lo:.2g}, {kappa.hi:.2g}]: throughput falls"
        f" beyond {peak.estimate:.0f} users",
        gain=curve.fitted.highest / float(curve.fitted.at(most)) - 1,
        days=1,
        verify=f"a closed load of {most:.0f} users again: it must reach the peak's throughput",
    )


def stronger_generator(evidence: Evidence) -> Recommendation | None:
    """The load generator may have been the limit."""
    busy = evidence.generator
    if busy is None or busy < GENERATOR_BUSY:
        return None
    return Recommendation(
        what="measure again with more generators before building on this limit",
        because=f"the generator was busy for {busy:.0%} of the time",
        gain=1 / busy - 1,
        days=0.5,
        verify="the highest rate that holds rises, or the server's core is the limit",
    )


RULES: Final[tuple[Rule, ...]] = (
    more_processes,
    own_machines,
    lighter_queries,
    more_hits,
    no_cache,
    larger_pool,
    blocked_loop,
    bounded_concurrency,
    stronger_generator,
)
