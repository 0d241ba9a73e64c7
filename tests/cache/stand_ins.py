"""Stand-ins for time and Redis: an event loop whose clock jumps, a shared tier in memory."""

from __future__ import annotations

import asyncio
import gc
import itertools
import selectors
from collections.abc import Callable, Coroutine, Iterable, Iterator
from typing import Any, TypeVar

from perflab.cache.codec import Codec
from perflab.cache.entry import Entry, Fetched, Invalidation, Lease, check_names
from perflab.cache.memory import MemoryTier
from perflab.cache.tiered import TieredCache

T = TypeVar("T")

EPOCH_S = 1_700_000_000.0
"""The wall clock when a virtual loop starts."""


class _Skipping(selectors.DefaultSelector):
    """Instead of waiting, moves the loop's clock on."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            return super().select(None)
        if timeout > 0:
            self.now += timeout
        return super().select(0)


class VirtualLoop(asyncio.SelectorEventLoop):
    """Sleeping takes no time, but the clock says that it did. Not for threads."""

    def __init__(self) -> None:
        self._skipping = _Skipping()
        super().__init__(self._skipping)

    def time(self) -> float:
        return self._skipping.now


def run(work: Callable[[], Coroutine[Any, Any, T]], *, virtual: bool = True) -> T:
    """The result of ``work()``; fails if it leaves tasks behind or errors that nobody saw."""
    unseen: list[str] = []

    async def watched() -> T:
        asyncio.get_running_loop().set_exception_handler(
            lambda _, context: unseen.append(str(context.get("exception") or context["message"]))
        )
        result = await asyncio.wait_for(work(), 1e6 if virtual else 60)
        for _ in range(3):
            await asyncio.sleep(0)
        left = asyncio.all_tasks() - {asyncio.current_task()}
        assert not left, f"tasks left behind: {left}"
        return result

    factory = VirtualLoop if virtual else asyncio.SelectorEventLoop
    with asyncio.Runner(loop_factory=factory) as runner:
        result = runner.run(watched())
        gc.collect(1)  # what the scenario made is young
        assert not unseen, unseen
    return result


def wall() -> float:
    """The wall clock of the running virtual loop."""
    return EPOCH_S + asyncio.get_running_loop().time()


def monotonic() -> float:
    """The monotonic clock of the running virtual loop."""
    return asyncio.get_running_loop().time()


def memory_tier() -> MemoryTier:
    return MemoryTier(clock=monotonic, wall=wall)


class SharedStandIn:
    """A shared tier with RedisTier's promises, for several caches of one virtual loop.

    ``delays`` gives, over and over, how long each call takes before and after the moment at
    which it happens, and how long a message takes to each listener.
    """

    def __init__(self, delays: Iterable[float] = (0.001,)) -> None:
        self._delays: Iterator[float]
        self.pace(delays)
        self._serials = itertools.count(1)
        self.entries: dict[str, Entry] = {}
        self.versions: dict[str, bytes] = {}
        self.leases: dict[str, Lease] = {}
        self.listeners: list[Callable[[Invalidation], object]] = []
        self.away = False
        self.gets = 0

    def pace(self, delays: Iterable[float]) -> None:
        """Take these delays from now on."""
        self._delays = itertools.cycle(list(delays))

    async def get(self, key: str, tags: Iterable[str] = (), codec: Codec | None = None) -> Fetched:
        self.gets += 1
        await self._pass()
        found = Fetched("unavailable") if self.away else self._look(key, check_names(tags, "tag"))
        await self._pass()
        return found

    async def lease(
        self,
        key: str,
        tags: Iterable[str] = (),
        ttl_s: float = 5.0,
        *,
        after: Entry | None = None,
        codec: Codec | None = None,
    ) -> Lease | None:
        await self._pass()
        lease = None if self.away else self._take(key, check_names(tags, "tag"), ttl_s, after)
        await self._pass()
        return lease

    async def fill(
        self, lease: Lease, entry: Entry, ttl_s: float | None = None, codec: Codec | None = None
    ) -> bool:
        await self._pass()
        held = not self.away and self._held(lease.key) == lease
        if held:
            self.entries[lease.key] = entry
            del self.leases[lease.key]
        await self._pass()
        return held

    async def release(self, lease: Lease) -> None:
        await self._pass()
        if not self.away and self._held(lease.key) == lease:
            del self.leases[lease.key]

    async def wait(self, key: str, timeout_s: float) -> bool:
        end = monotonic() + timeout_s
        while not self.away:
            await self._pass()
            if self._held(key) is None:
                return True
            if monotonic() >= end:
                return False
            await asyncio.sleep(min(0.01, end - monotonic()))
        return False

    async def invalidate(
        self, *, keys: Iterable[str] = (), tags: Iterable[str] = (), everything: bool = False
    ) -> bool:
        await self._pass()
        done = not self.away
        if done:
            names = Invalidation(check_names(keys), check_names(tags, "tag"), everything)
            for key in names.keys:
                self.entries.pop(key, None)
                self.leases.pop(key, None)
            for tag in (*names.tags, *(self.versions if everything else ())):
                self.versions[tag] = self._serial()
            if everything:
                self.versions[""] = self._serial()
            for listener in self.listeners:
                loop = asyncio.get_running_loop()
                loop.call_later(next(self._delays), listener, names)
        await self._pass()
        return done

    def listen(self, callback: Callable[[Invalidation], object]) -> None:
        self.listeners.append(callback)

    async def _pass(self) -> None:
        await asyncio.sleep(next(self._delays))

    def _serial(self) -> bytes:
        return str(next(self._serials)).encode()

    def _current(self, tags: tuple[str, ...]) -> tuple[bytes, ...]:
        for tag in ("", *tags):
            self.versions.setdefault(tag, self._serial())
        return tuple(self.versions[tag] for tag in ("", *tags))

    def _look(self, key: str, tags: tuple[str, ...]) -> Fetched:
        entry = self.entries.get(key)
        if entry is None or entry.tags != tags or entry.versions != self._current(tags):
            return Fetched("miss")
        if wall() < entry.expires_at:
            return Fetched("hit", entry, 100)
        return Fetched("stale", entry, 100) if wall() < entry.stale_until else Fetched("miss")

    def _held(self, key: str) -> Lease | None:
        lease = self.leases.get(key)
        return lease if lease is not None and wall() < lease.expires_at else None

    def _take(
        self, key: str, tags: tuple[str, ...], ttl_s: float, after: Entry | None
    ) -> Lease | None:
        if self._held(key) is not None:
            return None
        there = self._look(key, tags)
        fresh = there.entry if there.state == "hit" else None
        if fresh is not None and (after is None or fresh.loaded_at > after.loaded_at):
            return None
        token = self._serial().decode()
        lease = Lease(key, token, tags, self._current(tags), wall() + ttl_s)
        self.leases[key] = lease
        return lease


def tiered(shared: SharedStandIn | None = None, **options: Any) -> TieredCache:
    """A cache as one process has it, on the virtual clock."""
    return TieredCache(memory_tier(), shared, clock=wall, **options)


class Source:
    """Something slow to load from; every load gives the next number."""

    def __init__(self, load_s: float = 0.1) -> None:
        self.load_s = load_s
        self.loads = 0
        self.ended = 0
        self.error: Exception | None = None

    async def __call__(self) -> int:
        self.loads += 1
        mine = self.loads
        await asyncio.sleep(self.load_s)
        self.ended += 1
        if self.error is not None:
            raise self.error
        return mine
