"""The ledger: what each tier did for each policy, in figures that add up at every moment.

A request is entered once, when it is over, in one step for all tiers. So in every snapshot, for
each tier::

    hits + stale hits + misses = its lookups
    its lookups = misses of the tier above - coalesced - bypassed

*Coalesced* requests missed the tier above and joined a load under way. *Bypassed* requests
missed it and got no answer here: the tier was absent or away (they go on to the next one, to
whose arrivals they belong), or the caller left before it. The loader is entered like a tier: a
hit is a load that gave a value, a miss one that failed. Loads that no request waits for
(refreshes, warming) are apart.
"""

from __future__ import annotations

from typing import Final, Literal, TypeAlias, TypeVar, get_args

import msgspec

from perflab.cache.entry import CacheError

Outcome: TypeAlias = Literal["hit", "stale", "miss", "coalesced", "bypassed"]
OUTCOMES: Final[tuple[Outcome, ...]] = get_args(Outcome)
S = TypeVar("S", bound=msgspec.Struct)

TierName: TypeAlias = Literal["edge", "memory", "redis", "loader"]

TIERS: Final[tuple[TierName, ...]] = ("edge", "memory", "redis", "loader")
"""From the user to the source."""

ALL: Final = "all"
"""The name of the sum over all policies."""


class Trail:
    """How far one request got: an outcome for every tier that it reached, None for the rest."""

    __slots__ = ("load_s", "loader", "memory", "redis", "redis_bytes", "redis_s", "stored")

    def __init__(self, memory: Outcome) -> None:
        self.memory: Outcome = memory
        # a caller that is cancelled leaves these behind
        self.redis: Outcome | None = "bypassed"
        self.loader: Outcome | None = "bypassed"
        self.redis_s = 0.0
        self.load_s = 0.0
        self.redis_bytes = 0
        self.stored = False

    def ended_at_redis(self, outcome: Outcome) -> None:
        """The request went no further than Redis."""
        self.redis = outcome
        self.loader = None


class TierStats(msgspec.Struct, frozen=True, kw_only=True):
    """One tier's part of the ledger."""

    hits: int = 0
    stale_hits: int = 0
    misses: int = 0
    coalesced: int = 0
    bypassed: int = 0
    bytes: int = 0
    """Of the values it gave, where their size is known."""
    seconds: float = 0.0
    """Spent waiting for its answers; for the loader, the time that loads took."""

    @property
    def lookups(self) -> int:
        """Requests that it answered: hits, stale hits and misses."""
        return self.hits + self.stale_hits + self.misses

    @property
    def hit_ratio(self) -> float:
        """Hits, stale ones included, of its own lookups; NaN without lookups."""
        return (self.hits + self.stale_hits) / self.lookups if self.lookups else float("nan")


class BackgroundStats(msgspec.Struct, frozen=True, kw_only=True):
    """Loads that no request waited for to its end."""

    refreshes: int = 0
    """Early refreshes, reloads of stale values, loads whose caller left, and warming."""
    adopted: int = 0
    """Of these, the ones for which another process had already loaded the value."""
    failures: int = 0
    seconds: float = 0.0
    """That their loaders took."""


class PolicyStats(msgspec.Struct, frozen=True, kw_only=True):
    """The ledger of one policy, or of all."""

    policy: str
    edge: TierStats
    memory: TierStats
    redis: TierStats
    loader: TierStats
    background: BackgroundStats

    @property
    def chain(self) -> tuple[TierStats, ...]:
        """The tiers that requests pass, from the user on; without an edge that was never used."""
        inside = (self.memory, self.redis, self.loader)
        return (self.edge, *inside) if self.edge.lookups + self.edge.bypassed else inside

    @property
    def requests(self) -> int:
        """Requests that are over."""
        first = self.chain[0]
        return first.lookups + first.bypassed

    def tier(self, name: TierName) -> TierStats:
        """The tier called ``name``."""
        found = getattr(self, name) if name in TIERS else None
        if not isinstance(found, TierStats):
            raise CacheError(f"tier {name!r} is unknown; known: {', '.join(TIERS)}")
        return found

    def global_ratio(self, name: TierName) -> float:
        """The share of all requests that a tier answered; NaN without requests."""
        tier = self.tier(name)
        answered = tier.hits + tier.stale_hits
        return answered / self.requests if self.requests else float("nan")

    @property
    def combined_ratio(self) -> float:
        """The share of all requests that some cache answered, loads under way not included."""
        cached = sum(t.hits + t.stale_hits for t in (self.edge, self.memory, self.redis))
        return cached / self.requests if self.requests else float("nan")

    def imbalances(self) -> list[str]:
        """The tiers whose lookups are not what arrived there; empty in every snapshot."""
        wrong = []
        arrived = self.requests
        for name, tier in zip(TIERS[-len(self.chain) :], self.chain, strict=True):
            if tier.lookups != arrived - tier.coalesced - tier.bypassed:
                wrong.append(
                    f"{self.policy}, {name}: {tier.lookups} lookups, but {arrived} arrived,"
                    f" {tier.coalesced} coalesced and {tier.bypassed} bypassed"
                )
            arrived = tier.misses + tier.bypassed
        return wrong


class LedgerStats(msgspec.Struct, frozen=True):
    """A snapshot of a ledger."""

    policies: tuple[PolicyStats, ...]
    """By name."""
    total: PolicyStats

    def policy(self, name: str) -> PolicyStats:
        """The part of one policy; a CacheError names those that were used."""
        for found in self.policies:
            if found.policy == name:
                return found
        used = ", ".join(p.policy for p in self.policies) or "none"
        raise CacheError(f"the ledger has no policy {name!r}; used so far: {used}")


class Counts:
    """The running figures of one tier."""

    __slots__ = ("bypassed", "bytes", "coalesced", "hit", "miss", "seconds", "stale")

    def __init__(self) -> None:
        self.hit = self.stale = self.miss = self.coalesced = self.bypassed = 0
        self.bytes = 0
        self.seconds = 0.0

    def enter(self, outcome: Outcome | None) -> None:
        """Count one request; None means that it did not get here."""
        # written out, because it is on the path of every request that memory cannot answer
        if outcome == "miss":
            self.miss += 1
        elif outcome == "hit":
            self.hit += 1
        elif outcome == "stale":
            self.stale += 1
        elif outcome == "coalesced":
            self.coalesced += 1
        elif outcome == "bypassed":
            self.bypassed += 1

    def snapshot(self) -> TierStats:
        """The figures now."""
        return TierStats(
            hits=self.hit,
            stale_hits=self.stale,
            misses=self.miss,
            coalesced=self.coalesced,
            bypassed=self.bypassed,
            bytes=self.bytes,
            seconds=self.seconds,
        )


class Book:
    """The running figures of one policy."""

    __slots__ = ("adopted", "edge", "failures", "loader", "memory", "redis", "refresh_s",
                 "refreshes")  # fmt: skip

    def __init__(self) -> None:
        self.edge = Counts()
        self.memory = Counts()
        self.redis = Counts()
        self.loader = Counts()
        self.refreshes = self.adopted = self.failures = 0
        self.refresh_s = 0.0

    def enter(self, trail: Trail) -> None:
        """Count a request that is over."""
        self.memory.enter(trail.memory)
        self.redis.enter(trail.redis)
        self.loader.enter(trail.loader)
        self.redis.seconds += trail.redis_s
        self.redis.bytes += trail.redis_bytes
        self.loader.seconds += trail.load_s

    def enter_refresh(self, seconds: float, *, adopted: bool, failed: bool) -> None:
        """Count a load that no request waited for to its end."""
        self.refreshes += 1
        self.adopted += adopted
        self.failures += failed
        self.refresh_s += seconds

    def snapshot(self, policy: str) -> PolicyStats:
        """The figures now."""
        return PolicyStats(
            policy=policy,
            edge=self.edge.snapshot(),
            memory=self.memory.snapshot(),
            redis=self.redis.snapshot(),
            loader=self.loader.snapshot(),
            background=BackgroundStats(
                refreshes=self.refreshes,
                adopted=self.adopted,
                failures=self.failures,
                seconds=self.refresh_s,
            ),
        )


class Books(dict[str, Book]):
    """A book for every policy name that was asked for."""

    def __missing__(self, policy: str) -> Book:
        book = self[policy] = Book()
        return book


class Ledger:
    """Counts per tier and policy; one ledger may serve several caches of an event loop."""

    def __init__(self) -> None:
        self.books = Books()
        """By the names of policies; for whoever enters requests."""

    def enter_edge(self, policy: str, outcome: Outcome, *, size_bytes: int = 0) -> None:
        """Count a request at the edge, as its log or its response header tells.

        *Bypassed* are the policy's requests that came past the edge.
        """
        if outcome not in OUTCOMES:
            raise CacheError(f"outcome {outcome!r} is unknown; known: {', '.join(OUTCOMES)}")
        edge = self.books[policy].edge
        edge.enter(outcome)
        edge.bytes += size_bytes

    def stats(self) -> LedgerStats:
        """The figures so far."""
        policies = tuple(self.books[name].snapshot(name) for name in sorted(self.books))
        return LedgerStats(policies=policies, total=_sum(policies))


def _sum(parts: tuple[PolicyStats, ...]) -> PolicyStats:
    edge = _added([TierStats()] + [part.edge for part in parts])
    if edge.lookups + edge.bypassed:
        past = sum(part.requests for part in parts if len(part.chain) < len(TIERS))
        edge = msgspec.structs.replace(edge, bypassed=edge.bypassed + past)
    return PolicyStats(
        policy=ALL,
        edge=edge,
        memory=_added([TierStats()] + [part.memory for part in parts]),
        redis=_added([TierStats()] + [part.redis for part in parts]),
        loader=_added([TierStats()] + [part.loader for part in parts]),
        background=_added([BackgroundStats()] + [part.background for part in parts]),
    )


def _added(parts: list[S]) -> S:
    """The field-wise sum of structs of one kind."""
    first = parts[0]
    columns = zip(*(msgspec.structs.astuple(part) for part in parts), strict=True)
    return type(first)(
        **{name: sum(column) for name, column in zip(first.__struct_fields__, columns, strict=True)}
    )
