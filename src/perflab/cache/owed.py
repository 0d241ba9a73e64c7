"""Purges that a shared tier could not be told of: remembered, retried, respected meanwhile."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from typing import Final

from perflab.cache.entry import Invalidation

BATCH: Final = 500
"""Keys and tags, each, in one retry."""


class OwedPurges:
    """Keys and tags whose purge has not reached the shared tier.

    At most ``max_names`` are kept by name; with more, everything is owed, so that no purge is
    forgotten however long the outage.
    """

    def __init__(self, max_names: int = 100_000) -> None:
        self._max_names = max_names
        self._keys: dict[str, None] = {}
        self._tags: dict[str, None] = {}
        self._everything = False
        self._paying = Invalidation()

    def __len__(self) -> int:
        """How many names; everything counts as one."""
        owed = len(self._keys) + len(self._tags) + self._everything
        paying = self._paying
        return owed + len(paying.keys) + len(paying.tags) + paying.everything

    def add(self, names: Invalidation) -> None:
        """Remember a purge."""
        if self._everything:
            return
        self._keys.update(dict.fromkeys(names.keys))
        self._tags.update(dict.fromkeys(names.tags))
        if names.everything or len(self._keys) + len(self._tags) > self._max_names:
            self._everything = True
            self._keys.clear()
            self._tags.clear()

    def covers(self, key: str, tags: Sequence[str]) -> bool:
        """Whether what the shared tier holds under ``key`` may be purged already."""
        paying = self._paying
        if self._everything or paying.everything or key in self._keys or key in paying.keys:
            return True
        return any(tag in self._tags or tag in paying.tags for tag in tags)

    def take(self) -> Invalidation:
        """Some of what is owed, to be sent; then say ``paid`` or ``unpaid``."""
        keys = tuple(islice(self._keys, BATCH))
        tags = tuple(islice(self._tags, BATCH))
        for name in keys:
            del self._keys[name]
        for name in tags:
            del self._tags[name]
        self._paying = Invalidation(keys=keys, tags=tags, everything=self._everything)
        self._everything = False
        return self._paying

    def paid(self) -> None:
        """What was taken has arrived."""
        self._paying = Invalidation()

    def unpaid(self) -> None:
        """What was taken has not arrived."""
        unpaid, self._paying = self._paying, Invalidation()
        self.add(unpaid)
