"""Memory, then Redis, then the loader: one way to read through all tiers, one to purge them."""

from __future__ import annotations

import inspect
import random
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any, Protocol, Self, TypeVar, overload

import msgspec

from perflab.arguments import check_function, check_kind
from perflab.cache.entry import CacheError, Entry, Invalidation, check_name, check_names
from perflab.cache.filling import Filler, Wanted
from perflab.cache.flights import Flights
from perflab.cache.ledger import Ledger, LedgerStats, Outcome, Trail
from perflab.cache.loading import Loader
from perflab.cache.loads import Loads
from perflab.cache.memory import MemoryTier
from perflab.cache.policy import CachePolicy
from perflab.cache.purging import Purging
from perflab.cache.shared import Purger, SharedTier
from perflab.cache.xfetch import REACH
from perflab.closing import Closing
from perflab.own_loop import OwnLoop

T = TypeVar("T")


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """A value and how each tier answered; an outcome is None where the tier was not reached."""

    entry: Entry
    """The value with its times."""
    memory: Outcome
    redis: Outcome | None
    loader: Outcome | None
    stored: bool
    """Whether this request led to the value being stored."""

    @property
    def value(self) -> Any:
        """What ``get_or_load`` returns."""
        return self.entry.value


class TieredStats(msgspec.Struct, frozen=True, kw_only=True):
    """A snapshot of a TieredCache."""

    ledger: LedgerStats
    loading: int
    """Loads and refreshes under way."""
    owed_purges: int
    """Keys and tags whose purge Redis could not be told of yet."""


class Uniform(Protocol):
    """A source of random numbers: ``random.Random`` and ``numpy.random.Generator`` are."""

    def random(self) -> float:
        """The next one, in [0, 1)."""


class TieredCache(Closing):
    """One cache over a process's memory, a Redis shared by all, and what lies further out.

    >>> async with TieredCache(MemoryTier(), redis) as cache:
    ...     profile = await cache.get_or_load(f"user:{id}", load, USER_PROFILE, [f"user:{id}"])
    ...     await cache.invalidate(tags=[f"user:{id}"])

    It belongs to one event loop, and a CacheError says so in another. Either tier may be None.

    Tiers:
        memory: this process's own copies; nothing else should use it.
        shared: what all processes see. While it is there, only it serves stale values, because
            it knows whether they were purged; a local copy never outlives its local TTL.
        beyond: caches further out that ``invalidate`` purges too, after the tiers.
    Time and chance:
        clock: wall-clock seconds, the same for all processes, give or take.
        rng: decides about early refreshes.
    Accounting:
        ledger: where requests are entered; a new one by default.
    """

    def __init__(
        self,
        memory: MemoryTier | None = None,
        shared: SharedTier | None = None,
        *,
        beyond: Sequence[Purger] = (),
        clock: Callable[[], float] = time.time,
        rng: Uniform | None = None,
        ledger: Ledger | None = None,
    ) -> None:
        _check_tiers(memory, shared, beyond)
        self._memory = memory
        self._shared = shared
        self._clock = clock
        self.ledger = ledger or Ledger()
        """Requests are entered here."""
        self._books = self.ledger.books
        self._flights = Flights()
        self._purging = Purging(memory, shared, beyond, self._flights)
        self._owed = self._purging.owed
        self._filler = Filler(memory, shared, self._owed, clock)
        uniform = (rng or random.Random()).random  # noqa: S311 - no secret depends on it
        self._loads = Loads(self._flights, self._filler, self._books, clock, uniform)
        self._listening = False
        self._closed = False
        self._home = OwnLoop("TieredCache", CacheError)
        self._local: Callable[[str], Entry | None] = _nothing if memory is None else memory.get

    async def __aenter__(self) -> Self:
        self._open()
        return self

    @overload
    async def get_or_load(
        self,
        key: str,
        loader: Callable[[], Awaitable[T]],
        policy: CachePolicy,
        tags: Sequence[str] = (),
    ) -> T: ...

    @overload
    async def get_or_load(
        self, key: str, loader: Callable[[], T], policy: CachePolicy, tags: Sequence[str] = ()
    ) -> T: ...

    async def get_or_load(
        self, key: str, loader: Loader, policy: CachePolicy, tags: Sequence[str] = ()
    ) -> Any:
        """The value of ``key``: from the nearest tier that has it, else from ``loader``.

        However many ask at once, the loader runs once; over all processes too, while Redis is
        there. ``ABSENT`` is returned where the loader returned it (or raised one of the
        policy's ``absent_errors``) and is kept for the policy's ``negative_ttl_s``. Any other
        exception of the loader reaches everybody who waits for that load and is not kept.

        Cancelling the caller leaves the load to the others; it goes on even without any.

        Args:
            key: names the value, for all policies alike.
            loader: a coroutine function, awaited; or any other callable, run in a thread.
            policy: how long the value is good for.
            tags: what the value was made of; ``invalidate`` finds it by them.

        Raises:
            LoadTimeout: the loader took longer than the policy's ``hard_timeout_s``.
            CacheError: a name that cannot be a key or tag; no loader or policy; a loader that
                asks for its own key; the cache is closed, or another event loop's.
        """
        try:
            entry = self._local(key)
        except TypeError:
            check_name(key)  # what cannot be hashed is no name
            raise
        if entry is None:
            return (await self._request(key, loader, policy, tags, self._trail())).value
        if (
            entry.expires_at - self._clock() < entry.load_s * policy.early_beta * REACH
            and policy.early_refresh
        ):
            self._loads.refresh_early(self._checked(key, loader, policy, tags), entry)
        self._books[policy.name].memory.hit += 1
        return entry.value

    async def trace(
        self, key: str, loader: Loader, policy: CachePolicy, tags: Sequence[str] = ()
    ) -> Answer:
        """As ``get_or_load``, with the way that the request took: for ``Cache-Status``."""
        try:
            entry = self._local(key)
        except TypeError:
            check_name(key)
            raise
        if entry is not None:
            if (
                entry.expires_at - self._clock() < entry.load_s * policy.early_beta * REACH
                and policy.early_refresh
            ):
                self._loads.refresh_early(self._checked(key, loader, policy, tags), entry)
            self._books[policy.name].memory.hit += 1
            return Answer(entry=entry, memory="hit", redis=None, loader=None, stored=False)
        trail = self._trail()
        entry = await self._request(key, loader, policy, tags, trail)
        return Answer(
            entry=entry,
            memory=trail.memory,
            redis=trail.redis,
            loader=trail.loader,
            stored=trail.stored,
        )

    async def prefetch(
        self, key: str, loader: Loader, policy: CachePolicy, tags: Sequence[str] = ()
    ) -> bool:
        """Load ``key`` unless a tier has it fresh; True if it was loaded here.

        It is no request: the ledger enters it among the background loads. Raises what
        ``get_or_load`` raises.
        """
        wanted = self._checked(key, loader, policy, tags)
        if self._local(key) is not None:
            return False
        flight = self._loads.under_way(key) or self._loads.launch(wanted, None, refresh=True)
        await self._loads.join(flight)
        return flight.called

    async def invalidate(
        self, *, keys: Iterable[str] = (), tags: Iterable[str] = (), everything: bool = False
    ) -> bool:
        """Drop these keys and whatever bears these tags, or everything, in all tiers.

        When it returns True, this process and Redis hold nothing of them any more and refuse
        values whose load began before; other processes drop their copies when the message
        reaches them, at the latest when the local TTL is over. False: Redis is away. It is told
        as soon as it is back, and until then this process ignores what it may still hold.

        Once begun it is carried out even if the caller is cancelled, as when a client leaves.
        A CacheError from a cache further out is raised after all have been purged.
        """
        names = Invalidation(check_names(keys), check_names(tags, "tag"), everything)
        if not (names.keys or names.tags or everything):
            return True
        self._open()
        return await self._purging.purge(names)

    def stats(self) -> TieredStats:
        """The figures so far."""
        return TieredStats(
            ledger=self.ledger.stats(), loading=len(self._flights), owed_purges=len(self._owed)
        )

    async def close(self) -> None:
        """End every load and refresh, and forget this process's copies; purges are awaited.

        Whoever waits for a load gets a CacheError. The shared tier belongs to whoever made it
        and stays open; purges that it has not heard of (``stats().owed_purges``) are forgotten.
        Harmless when called twice.
        """
        self._home.check()
        self._closed = True
        await self._purging.close()
        await self._flights.close()
        if self._memory is not None:
            self._memory.clear()

    def _trail(self) -> Trail:
        return Trail("bypassed" if self._memory is None else "miss")

    async def _request(
        self, key: str, loader: Loader, policy: CachePolicy, tags: Sequence[str], trail: Trail
    ) -> Entry:
        """The entry for a request that memory cannot answer; enters it when it is over."""
        wanted = self._checked(key, loader, policy, tags)
        try:
            return await self._seek(wanted, trail)
        finally:
            self._books[policy.name].enter(trail)

    async def _seek(self, wanted: Wanted, trail: Trail) -> Entry:
        """The entry, from wherever it is to be had; ``trail`` tells where."""
        flight = self._loads.under_way(wanted.key)
        if flight is not None and not flight.refresh:
            trail.ended_at_redis("coalesced")
            return await self._loads.join(flight)
        if self._shared is None:
            held = None if self._memory is None else self._memory.get_stale(wanted.key)
        else:
            ticket = self._filler.ticket()
            asked_at = time.perf_counter()
            fetched = await self._shared.get(wanted.key, wanted.tags, wanted.policy.codec)
            trail.redis_s = time.perf_counter() - asked_at
            trail.redis_bytes = fetched.size_bytes
            self._check_open()
            held = fetched.entry
            if held is not None and self._owed and self._owed.covers(wanted.key, wanted.tags):
                held = None
            if held is not None and fetched.state == "hit":
                trail.ended_at_redis("hit")
                self._filler.keep(wanted, held, ticket)
                self._loads.refresh_early(wanted, held)
                return held
            trail.redis = "bypassed" if fetched.state == "unavailable" else "miss"
        if held is not None:
            return await self._stale_or_fresh(wanted, held, trail)
        return await self._loads.loaded(wanted, trail)

    async def _stale_or_fresh(self, wanted: Wanted, held: Entry, trail: Trail) -> Entry:
        """The stale entry, or a fresh one if it comes in time; a refresh is on its way."""
        policy = wanted.policy
        flight = self._loads.refreshed(wanted, held)
        if flight is not None and self._clock() >= held.expires_at + policy.stale_s:
            landed = await flight.landed(policy.soft_timeout_s)
            if landed and not flight.task.cancelled() and flight.task.exception() is None:
                trail.loader = "coalesced"
                return flight.task.result()
        if self._shared is not None:
            trail.ended_at_redis("stale")
        else:
            trail.memory, trail.redis, trail.loader = "stale", None, None
        return held

    def _checked(
        self, key: str, loader: Loader, policy: CachePolicy, tags: Sequence[str]
    ) -> Wanted:
        self._open()
        check_function(f"loader of {key!r:.60}", loader, CacheError)
        check_kind(f"policy of {key!r:.60}", policy, CachePolicy, CacheError)
        checked = check_names(tags, "tag") if tags else ()
        if policy.needs_tags and not checked:
            raise CacheError(f"policy {policy.name!r} needs tags, and {key!r} was given none")
        return Wanted(check_name(key), loader, policy, checked)

    def _check_open(self) -> None:
        if self._closed:
            raise CacheError("the cache is closed")

    def _open(self) -> None:
        self._home.check()
        self._check_open()
        if not self._listening:
            self._listening = True
            if self._shared is not None:
                self._shared.listen(self._purging.drop)


def _check_tiers(memory: object, shared: object, beyond: object) -> None:
    if memory is not None:
        check_kind("memory", memory, MemoryTier, CacheError)
    if shared is not None and not all(
        callable(getattr(shared, name, None)) for name in ("lease", "fill", "listen")
    ):
        raise CacheError(f"shared must be a RedisTier, not {type(shared).__name__}")
    if not isinstance(beyond, Sequence):
        raise CacheError(f"beyond must be a list of purgers, not {type(beyond).__name__}")
    for purger in beyond:
        try:
            inspect.signature(purger.purge).bind(Invalidation())
        except (AttributeError, TypeError):
            raise CacheError(
                f"beyond: {type(purger).__name__} has no purge(invalidation); wrap an edge into"
                " EdgePurger"
            ) from None


def _nothing(_key: str) -> None:
    return None
