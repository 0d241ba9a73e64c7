"""What a Redis tier counts."""

from __future__ import annotations

import msgspec


class RedisStats(msgspec.Struct, frozen=True):
    """A snapshot of a tier since it was made. gets = hits + stale + misses + unavailable."""

    gets: int
    """Answered; a get whose caller was cancelled is in ``cancelled`` instead."""
    hits: int
    stale: int
    misses: int
    unavailable: int
    """Gets without an answer: too slow, failed, or not asked because the breaker was open."""
    outdated: int
    """Misses because a tag was invalidated, or its version lost."""
    corrupted: int
    """Misses because the bytes under the key were no entry of the asked type."""
    cancelled: int
    leases: int
    """Taken."""
    leases_refused: int
    """Somebody else held it."""
    leases_needless: int
    """A fresh value had been filled between the caller's miss and its asking."""
    fills: int
    """Stored."""
    fills_refused: int
    """The lease had ended, was taken over or was purged."""
    invalidations: int
    invalidations_failed: int
    read_bytes: int
    written_bytes: int
    slow: int
    """Batches not answered within the budget."""
    errors: int
    """Batches and invalidations that failed outright, and error replies to single commands."""
    read_batches: int
    """MGETs: one each on a single server."""
    write_batches: int
    breaker_opened: int
    breaker_open: bool
    connected: bool
    """Whether the invalidation channel is being listened to."""
    channel_losses: int


class Counters:
    """The running counts behind ``RedisStats``, by the same names."""

    __slots__ = (
        "cancelled",
        "corrupted",
        "error_replies",
        "fills",
        "fills_refused",
        "hits",
        "invalidations",
        "invalidations_failed",
        "leases",
        "leases_needless",
        "leases_refused",
        "misses",
        "outdated",
        "read_bytes",
        "stale",
        "unavailable",
        "written_bytes",
    )

    def __init__(self) -> None:
        self.hits = self.stale = self.misses = self.unavailable = 0
        self.outdated = self.corrupted = self.cancelled = 0
        self.leases = self.leases_refused = self.leases_needless = 0
        self.fills = self.fills_refused = 0
        self.invalidations = self.invalidations_failed = 0
        self.read_bytes = self.written_bytes = 0
        self.error_replies = 0

    def snapshot(
        self,
        *,
        slow: int,
        errors: int,
        read_batches: int,
        write_batches: int,
        breaker_opened: int,
        breaker_open: bool,
        connected: bool,
        channel_losses: int,
    ) -> RedisStats:
        """The counts as of now, with what others count."""
        return RedisStats(
            gets=self.hits + self.stale + self.misses + self.unavailable,
            slow=slow,
            errors=errors + self.error_replies,
            read_batches=read_batches,
            write_batches=write_batches,
            breaker_opened=breaker_opened,
            breaker_open=breaker_open,
            connected=connected,
            channel_losses=channel_losses,
            **{name: getattr(self, name) for name in self.__slots__ if name != "error_replies"},
        )
