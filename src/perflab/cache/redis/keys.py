"""What the tier's keys are called."""

from __future__ import annotations

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
