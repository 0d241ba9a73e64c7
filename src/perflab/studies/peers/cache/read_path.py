"""The tiered read path: memory, Redis, loader, against cashews' at equal features."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import numpy as np

from perflab.cache.ledger import PolicyStats
from perflab.cache.policies.synthetic import zipf_popularities
from perflab.measure.experiment import Arm, Draw, Operation, Params
from perflab.progress import Step
from perflab.services import Redis as Server
from perflab.studies.peers.cache.sides import Cashews, Ours, opened_cashews, opened_ours
from perflab.studies.peers.contest import Ask, Contest, Sizes, concurrently, hold, in_thread

CALLERS: Final = 50
GETS_A_CALLER: Final = 10
GETS: Final = CALLERS * GETS_A_CALLER
KEYS: Final = 5_000
"""All of them stored in Redis."""
HOT: Final = 100
ALPHA: Final = 1.0
NEW_SHARE: Final = 0.0375
"""Of the mix, never asked for before: the median miss ratio of Twitter's production caches
(twitter/cache-trace, 2020, CC BY 4.0)."""

EARLY: Final = "cashews, early"
LOCKED: Final = "cashews, early and locked"

MEMORY_HITS: Final = "memory hits"
REDIS_HITS: Final = "Redis hits"
LOADS: Final = "loads"
MIX: Final = "the whole path"

Side: TypeAlias = Ours | Cashews
Draws: TypeAlias = Callable[[np.random.Generator], Draw]
Prepare: TypeAlias = Callable[[Side], Callable[[], None]]


@dataclass(frozen=True)
class Answered:
    """Where our gets were answered, as shares of all of them."""

    memory: float
    redis: float
    loader: float
    joined: float
    """By a load that another get had begun."""


@dataclass(frozen=True)
class ReadPath:
    """The contests of the read path."""

    contests: tuple[Contest, ...]
    answered: Answered
    """In the mix against ``EARLY``, all rounds and both of our sides."""
    loads: tuple[int, int, int]
    """Loader calls in that mix: cashews, ours, ours again."""

    def contest(self, work: str, rival: str) -> Contest:
        """The one of this work against this rival."""
        return next(c for c in self.contests if (c.work, c.rival) == (work, rival))


def measure_read_path(server: Server, sizes: Sizes, step: Step | None = None) -> ReadPath:
    """``CALLERS`` callers on each side: memory hits, Redis hits, loads, and a mix of all.

    The mix is bounded Zipf over keys that are all in Redis, with ``NEW_SHARE`` of keys that are
    nowhere. Each side keeps its memory from round to round.
    """

    def work(runner: asyncio.Runner) -> ReadPath:
        with opened_ours(runner, server) as (ours, again), opened_cashews(runner, server) as rival:
            return _Field(runner, (rival, ours, again), sizes, step).read_path()

    return in_thread(work)


class _Field:
    """The opened sides, and how contests between them are held."""

    def __init__(
        self,
        runner: asyncio.Runner,
        sides: tuple[Cashews, Ours, Ours],
        sizes: Sizes,
        step: Step | None,
    ) -> None:
        self._runner = runner
        self._sides = sides
        self._sizes = sizes
        self._step = step
        self._new = itertools.count(KEYS)
        for side in sides:
            self._ask(side, range(KEYS))

    def read_path(self) -> ReadPath:
        """Every contest, one after the other."""
        rival, ours, again = self._sides
        everyone: tuple[Side, ...] = self._sides
        apart = [
            self._hold(MEMORY_HITS, _draw_hot, before_block=self._warm),
            self._hold(REDIS_HITS, _draw_each_once, before_call=self._forget),
            self._hold(LOADS, self._draw_new),
        ]
        loads = [side.loads for side in everyone]
        stats = [side.cache.stats().ledger.total for side in (ours, again)]
        mix = self._hold(MIX, self._draw_mix)
        answered = _answered(stats, [side.cache.stats().ledger.total for side in (ours, again)])
        during = [side.loads - had for side, had in zip(everyone, loads, strict=True)]
        locked = self._hold(MIX, self._draw_mix, rival=LOCKED, get=rival.get_locked)
        return ReadPath((*apart, mix, locked), answered, (during[0], during[1], during[2]))

    def _hold(
        self,
        work: str,
        draw: Draws,
        *,
        rival: str = EARLY,
        get: Ask | None = None,
        before_block: Prepare | None = None,
        before_call: Prepare | None = None,
    ) -> Contest:
        def arm(name: str, side: Side, get: Ask) -> Arm:
            def call(_operation: Operation, params: Params) -> int:
                plan: Any = params["plan"]
                return self._runner.run(concurrently(get, plan))

            return Arm(
                name,
                call,
                before_block=before_block and before_block(side),
                before_call=before_call and before_call(side),
            )

        peer, ours, again = self._sides
        arms = (
            arm(rival, peer, get or peer.get),
            arm("tiered cache", ours, ours.get),
            arm("tiered cache again", again, again.get),
        )
        return hold(work, arms, draw, self._sizes, requests=GETS, step=self._step)

    def _warm(self, side: Side) -> Callable[[], None]:
        return lambda: self._ask(side, range(HOT))

    def _forget(self, side: Side) -> Callable[[], None]:
        return lambda: self._runner.run(side.forget())

    def _ask(self, side: Side, numbers: Sequence[int]) -> None:
        plan = [numbers[caller::CALLERS] for caller in range(CALLERS)]
        self._runner.run(concurrently(side.get, plan))

    def _draw_new(self, _rng: np.random.Generator) -> Draw:
        return _plan(np.array(list(itertools.islice(self._new, GETS))))

    def _draw_mix(self, rng: np.random.Generator) -> Draw:
        numbers = rng.choice(KEYS, GETS, p=_POPULARITIES)
        new = np.flatnonzero(rng.random(GETS) < NEW_SHARE)
        numbers[new] = list(itertools.islice(self._new, len(new)))
        return _plan(numbers)


_POPULARITIES: Final = zipf_popularities(KEYS, ALPHA)


def _draw_hot(rng: np.random.Generator) -> Draw:
    return _plan(rng.integers(HOT, size=GETS))


def _draw_each_once(rng: np.random.Generator) -> Draw:
    return _plan(rng.choice(KEYS, GETS, replace=False))


def _plan(numbers: Any) -> Draw:
    return Draw({"plan": numbers.reshape(CALLERS, GETS_A_CALLER).tolist()})


def _answered(before: Sequence[PolicyStats], after: Sequence[PolicyStats]) -> Answered:
    def grown(count: Callable[[PolicyStats], int]) -> int:
        return sum(map(count, after)) - sum(map(count, before))

    requests = grown(lambda stats: stats.requests)
    return Answered(
        memory=grown(lambda stats: stats.memory.hits) / requests,
        redis=grown(lambda stats: stats.redis.hits) / requests,
        loader=grown(lambda stats: stats.loader.hits) / requests,
        joined=grown(lambda stats: stats.redis.coalesced + stats.loader.coalesced) / requests,
    )
