"""Histories drawn by Hypothesis, replayed on a virtual clock: purges that race, books that add up.

A history is a list of steps with start times in milliseconds; the stand-in for Redis takes drawn
delays before and after everything that it does, and so do its messages. Equal histories run
equally, so a failing one can be replayed.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from hypothesis import given, settings
from hypothesis import strategies as st

from perflab.cache.entry import ABSENT, CacheError
from perflab.cache.loading import LoadTimeout
from perflab.cache.policy import CachePolicy
from perflab.cache.tiered import TieredCache

from .stand_ins import SharedStandIn, monotonic, run, tiered

MS = 0.001
PROCESSES = 3

POLICIES = (
    CachePolicy(name="lasting", ttl_s=10.0, memory_ttl_s=10.0, hard_timeout_s=0.03),
    CachePolicy(name="brief", ttl_s=8 * MS, memory_ttl_s=3 * MS, hard_timeout_s=0.03),
    CachePolicy(name="stale", ttl_s=5 * MS, memory_ttl_s=3 * MS, stale_s=1.0, hard_timeout_s=0.03),
    CachePolicy(
        name="on_error",
        ttl_s=5 * MS,
        memory_ttl_s=3 * MS,
        stale_if_error_s=1.0,
        soft_timeout_s=2 * MS,
        negative_ttl_s=5 * MS,
        hard_timeout_s=0.03,
    ),
)

Outcome = Literal["value", "error", "absent"]


@dataclass(frozen=True)
class Read:
    at: int
    process: int
    load: int
    outcome: Outcome = "value"
    leaves_after: int | None = None


@dataclass(frozen=True)
class Write:
    at: int
    process: int
    by: Literal["key", "tag", "everything"]


@dataclass(frozen=True)
class Outage:
    at: int
    lasts: int


class Purge(NamedTuple):
    """One that is complete."""

    at: float
    moment: int
    process: int
    version: int
    """That it announced."""
    heard: bool
    """Whether the shared tier heard of it."""


AT = st.integers(0, 40)
PROCESS = st.integers(0, PROCESSES - 1)
DELAYS = st.lists(st.sampled_from([0.0, 1 * MS, 2 * MS, 5 * MS, 9 * MS]), min_size=1, max_size=12)
READS = st.builds(Read, at=AT, process=PROCESS, load=st.integers(0, 12))
ANY_READS = st.builds(
    Read,
    at=AT,
    process=PROCESS,
    load=st.integers(0, 40),  # some of them above the hard timeout
    outcome=st.sampled_from(["value", "value", "error", "absent"]),
    leaves_after=st.none() | st.integers(0, 20),
)
WRITES = st.builds(Write, at=AT, process=PROCESS, by=st.sampled_from(["key", "tag", "everything"]))
OUTAGES = st.builds(Outage, at=AT, lasts=st.integers(1, 30))


@dataclass
class World:
    """Several processes, one shared tier, one source whose data has a version."""

    policy: CachePolicy
    shared: SharedStandIn | None
    caches: list[TieredCache]
    version: int = 0
    calls: int = 0
    moments: Iterator[int] = field(default_factory=itertools.count)
    """What happened at the same time by the clock happened in this order."""
    purges: list[Purge] = field(default_factory=list)

    async def read(self, step: Read) -> None:
        await asyncio.sleep(step.at * MS)
        asked = asyncio.ensure_future(self.ask(step))
        if step.leaves_after is None:
            await asked
            return
        await asyncio.sleep(step.leaves_after * MS)
        asked.cancel()
        with suppress(asyncio.CancelledError):
            await asked

    async def ask(self, step: Read) -> object:
        async def load() -> object:
            self.calls += 1
            seen = self.version  # a snapshot taken when the load begins: the worst case
            await asyncio.sleep(step.load * MS)
            if step.outcome == "error":
                raise ValueError("the source is broken")
            return ABSENT if step.outcome == "absent" else seen

        began_at, moment = monotonic(), next(self.moments)
        try:
            value = await self.caches[step.process].get_or_load("k", load, self.policy, ["t"])
        except (ValueError, LoadTimeout):
            return None
        if isinstance(value, int):
            self.check(value, began_at, moment, step.process)
        return value

    def check(self, value: int, began_at: float, moment: int, process: int) -> None:
        """A request that began when a purge had reached its process never sees older data."""
        for purge in self.purges:
            if purge.process == process:
                reached = moment > purge.moment
            else:
                reached = purge.heard and began_at >= purge.at + 10 * MS
            if reached:
                assert value >= purge.version, f"version {value} after the purge of {purge}"

    async def write(self, step: Write) -> None:
        await asyncio.sleep(step.at * MS)
        self.version += 1
        version = self.version
        heard = await self.caches[step.process].invalidate(
            keys=["k"] if step.by == "key" else (),
            tags=["t"] if step.by == "tag" else (),
            everything=step.by == "everything",
        )
        moment = next(self.moments)
        self.purges.append(Purge(monotonic(), moment, step.process, version, heard))

    async def outage(self, step: Outage) -> None:
        assert self.shared is not None
        await asyncio.sleep(step.at * MS)
        self.shared.away = True
        await asyncio.sleep(step.lasts * MS)
        self.shared.away = False

    async def audit(self) -> None:
        """The books balance at every moment, not only at the end."""
        for _ in range(30):
            for cache in self.caches:
                stats = cache.stats().ledger
                assert stats.total.imbalances() == []
                assert all(policy.imbalances() == [] for policy in stats.policies)
            await asyncio.sleep(3 * MS)

    async def close(self) -> None:
        for cache in self.caches:
            await cache.close()


def world(policy: CachePolicy, delays: list[float], *, with_shared: bool = True) -> World:
    shared = SharedStandIn(delays) if with_shared else None
    count = PROCESSES if with_shared else 1
    return World(policy, shared, [tiered(shared) for _ in range(count)])


@settings(max_examples=300, deadline=None)
@given(
    policy=st.sampled_from(POLICIES),
    reads=st.lists(READS, min_size=1, max_size=12),
    writes=st.lists(WRITES, min_size=1, max_size=4),
    delays=DELAYS,
)
def test_a_value_whose_load_began_before_a_purge_never_survives_it(
    policy: CachePolicy, reads: list[Read], writes: list[Write], delays: list[float]
) -> None:
    async def scenario() -> None:
        there = world(policy, delays)
        await asyncio.gather(*map(there.read, reads), *map(there.write, writes))
        await asyncio.sleep(0.1)  # every message is delivered
        for process in range(PROCESSES):
            await there.ask(Read(at=0, process=process, load=0))
        await there.close()

    run(scenario)


@settings(max_examples=100, deadline=None)
@given(
    policy=st.sampled_from(POLICIES),
    reads=st.lists(READS, min_size=1, max_size=12),
    writes=st.lists(WRITES, min_size=1, max_size=4),
)
def test_nor_does_it_in_a_memory_tier_alone(
    policy: CachePolicy, reads: list[Read], writes: list[Write]
) -> None:
    async def scenario() -> None:
        there = world(policy, [0.0], with_shared=False)
        alone = [Read(read.at, 0, read.load) for read in reads]
        purging = [Write(write.at, 0, write.by) for write in writes]
        await asyncio.gather(*map(there.read, alone), *map(there.write, purging))
        await there.ask(Read(at=0, process=0, load=0))
        await there.close()

    run(scenario)


@settings(max_examples=300, deadline=None)
@given(
    policy=st.sampled_from(POLICIES),
    reads=st.lists(ANY_READS, min_size=1, max_size=15),
    writes=st.lists(WRITES, max_size=2),
    outages=st.lists(OUTAGES, max_size=2),
    delays=DELAYS,
    with_shared=st.booleans(),
)
def test_the_ledger_adds_up_whatever_happens(
    policy: CachePolicy,
    reads: list[Read],
    writes: list[Write],
    outages: list[Outage],
    delays: list[float],
    with_shared: bool,
) -> None:
    async def scenario() -> None:
        there = world(policy, delays, with_shared=with_shared)
        mine = [r for r in reads if r.process < len(there.caches)]
        purging = [w for w in writes if w.process < len(there.caches)]
        away = outages if with_shared else []
        await asyncio.gather(
            *map(there.read, mine),
            *map(there.write, purging),
            *map(there.outage, away),
            there.audit(),
        )
        await asyncio.sleep(5.0)  # what nobody waits for has ended, purges have been repeated
        parts = [cache.stats() for cache in there.caches]
        totals = [part.ledger.total for part in parts]
        assert [total.imbalances() for total in totals] == [[] for _ in totals]
        assert sum(total.requests for total in totals) == len(mine)
        assert (
            sum(
                total.loader.lookups + total.background.refreshes - total.background.adopted
                for total in totals
            )
            == there.calls
        )
        assert [(part.loading, part.owed_purges) for part in parts] == [(0, 0)] * len(parts)
        await there.close()

    run(scenario)


@settings(max_examples=100, deadline=None)
@given(
    reads=st.lists(ANY_READS, min_size=1, max_size=15), closes_at=st.integers(0, 40), delays=DELAYS
)
def test_closing_at_any_moment_leaves_nothing_behind(
    reads: list[Read], closes_at: int, delays: list[float]
) -> None:
    async def scenario() -> None:
        there = world(POLICIES[2], delays)

        async def read(step: Read) -> None:
            with suppress(CacheError):
                await there.read(step)

        async def close() -> None:
            await asyncio.sleep(closes_at * MS)
            await there.close()

        await asyncio.gather(*map(read, reads), close())
        for cache in there.caches:
            assert cache.stats().loading == 0
            assert cache.stats().ledger.total.imbalances() == []
        # ``run`` fails where tasks are left or exceptions were seen by nobody

    run(scenario)
