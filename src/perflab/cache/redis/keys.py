"""What the tier's keys are called, and which slot of a cluster each belongs to."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from redis.crc import key_slot

from perflab.cache.entry import CacheError, check_name


class Keys:
    """The names of one cache in Redis, all below a prefix.

    A value and its lease are changed by one script, so both carry the same hash tag. The colon in
    it keeps it from being empty, which would split them, where a key begins with ``}``.
    """

    __slots__ = ("_lease", "_tag", "_value", "channel", "epoch")

    def __init__(self, prefix: str) -> None:
        check_name(prefix, "prefix")
        if "{" in prefix or "}" in prefix:
            raise CacheError(f"the cache prefix {prefix!r} contains a brace; leave it out")
        self._value = prefix + "v{:"
        self._lease = prefix + "l{:"
        self._tag = prefix + "t:"
        self.epoch = prefix + "epoch"
        """The version that every entry carries; without it nothing is valid."""
        self.channel = prefix + "invalidations"

    def value(self, key: str) -> str:
        """Where the entry of ``key`` is."""
        return f"{self._value}{key}}}"

    def lease(self, key: str) -> str:
        """Where the token of whoever loads ``key`` is; in the slot of the value."""
        return f"{self._lease}{key}}}"

    def tag(self, tag: str) -> str:
        """Where the current version of ``tag`` is."""
        return self._tag + tag


def slot(name: str) -> int:
    """The slot of a Redis key, 0 to 16383."""
    return key_slot(name.encode())


def by_slot(names: Iterable[str]) -> list[list[str]]:
    """The names in groups that share a slot, so that one command may take each group."""
    groups: defaultdict[int, list[str]] = defaultdict(list)
    for name in names:
        groups[slot(name)].append(name)
    return list(groups.values())
