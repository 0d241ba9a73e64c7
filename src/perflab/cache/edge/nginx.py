"""nginx as an edge: purged by removing the files in which it keeps responses."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from pathlib import Path
from typing import Final

import msgspec

from perflab.cache.edge import nginx_files
from perflab.cache.edge.nginx_config import LEVELS, NginxSettings
from perflab.cache.edge.protocol import EdgeError, Purged
from perflab.cache.edge.repeats import Repeats
from perflab.cache.edge.tag_index import TagIndex
from perflab.cache.edge.wanted import Wanted, wanted
from perflab.closing import Closing

MARGIN_S: Final = 1.0
"""Added to the origin's longest response time before the last repetition."""
EARLY_S: Final = 1.0
"""The first repetition comes so soon: most responses take less."""


class NginxEdgeStats(msgspec.Struct, frozen=True, kw_only=True):
    """A snapshot of an NginxEdge."""

    purges: int
    removed: int
    """Stored responses dropped at once."""
    removed_later: int
    """Dropped by repetitions: stored after the purge, many of them from loads before it."""
    scans: int
    """Times that all files were looked at."""
    waiting: int
    """Batches of purges that will be repeated."""
    repeated: int
    failed: int
    """Repetitions that could not be done."""
    dropped: int
    """Repetitions that ``close`` cancelled."""


class NginxEdge(Closing):
    """The cache of one nginx, set up by ``nginx_config``, on this machine.

    A purge removes files, so it works while nginx is down, and nginx need not know. It must run
    as nginx's user or as root. Each host with an nginx needs a process that purges there; one
    that follows ``RedisTier.listen`` does.

    URLs: the file of each variant is known by name. Tags: the index tells the URLs; where it
    cannot, all files are looked at, each of which carries its tags. Prefixes and everything: all
    files are looked at.

    **The remaining window.** A response that the origin began before a purge is stored when it is
    complete, maybe after the purge, and would be served until it expires. So every purge is
    repeated, after ``EARLY_S`` and once more after the longest time that the origin may take,
    then with a look at all files for tags. Between being stored and the next repetition, such a
    response is served: in the worst case for the origin's longest response time.

    nginx goes on counting a removed file to ``max_mb`` until the URL is stored again or its
    inactive time is over.

    Args:
        settings: those that nginx was configured with.
        index: from tags to URLs; without one every purge of tags looks at all files.
        again_s: delays of the repetitions, instead of those said above.
        clock: seconds, for the repetitions; the event loop's by default.
        sleep: waits for seconds of that clock.
    """

    def __init__(
        self,
        settings: NginxSettings,
        index: TagIndex | None = None,
        *,
        again_s: Sequence[float] | None = None,
        clock: Callable[[], float] | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._folder = Path(settings.folder)
        self._variants = settings.variants
        self._index = index
        last_s = settings.longest_response_s + MARGIN_S
        delays_s = tuple(again_s or sorted({min(EARLY_S, last_s), last_s}))
        self._repeats = Repeats(self._purge_again, delays_s, clock=clock, sleep=sleep)
        self._purges = self._removed = self._removed_later = self._scans = 0

    def __repr__(self) -> str:
        return f"<NginxEdge in {self._folder}>"

    async def purge(
        self,
        *,
        urls: Iterable[str] = (),
        tags: Iterable[str] = (),
        prefixes: Iterable[str] = (),
        everything: bool = False,
    ) -> Purged:
        """Drop stored responses now, and once more later; see ``Edge.purge``.

        A prefix is one of the text: ``example.org/task`` is one of ``example.org/tasks``, too.
        """
        asked = wanted(urls=urls, tags=tags, prefixes=prefixes, everything=everything)
        if not asked:
            return Purged(names=0, removed=0)
        self._purges += 1
        self._repeats.add(asked)  # first, so that it happens whatever becomes of this attempt
        found = await self._index.urls(asked.tags) if self._index and asked.tags else None
        scan = bool(everything or asked.prefixes or (asked.tags and found is None))
        removed = await self._drop(asked | Wanted(found or frozenset()), scan=scan)
        self._removed += removed
        return Purged(names=len(asked), removed=removed)

    async def settled(self) -> None:
        """Return when every purge has been repeated."""
        await self._repeats.settled()

    async def close(self) -> None:
        """Cancel the repetitions that wait; ``settled`` awaits them instead."""
        await self._repeats.close()

    def stats(self) -> NginxEdgeStats:
        """The figures so far."""
        return NginxEdgeStats(
            purges=self._purges,
            removed=self._removed,
            removed_later=self._removed_later,
            scans=self._scans,
            waiting=len(self._repeats),
            repeated=self._repeats.done,
            failed=self._repeats.failed,
            dropped=self._repeats.dropped,
        )

    async def _purge_again(self, asked: Wanted) -> None:
        # no index: what it lost or never heard of must be found now at the latest
        scan = bool(asked.everything or asked.prefixes or asked.tags)
        removed = await self._drop(asked, scan=scan)
        self._removed_later += removed

    async def _drop(self, asked: Wanted, *, scan: bool) -> int:
        self._scans += scan
        try:
            return await asyncio.to_thread(self._unlink, asked, scan)
        except OSError as error:
            raise EdgeError(
                f"files in {self._folder} cannot be removed ({error.strerror}); purge as the user"
                " that nginx runs as, or as root"
            ) from None

    def _unlink(self, asked: Wanted, scan: bool) -> int:
        removed = 0
        for url in asked.urls:
            for variant in self._variants:
                key = nginx_files.key(variant, url)
                removed += nginx_files.remove(nginx_files.path_of(self._folder, key, LEVELS))
        for path in nginx_files.stored(self._folder) if scan else ():
            if asked.everything or _is_meant(path, asked):
                removed += nginx_files.remove(path)
        return removed


def _is_meant(path: str, asked: Wanted) -> bool:
    found = nginx_files.read(path)
    if found is None:
        return False
    return not asked.tags.isdisjoint(found.tags) or found.url.startswith(tuple(asked.prefixes))
