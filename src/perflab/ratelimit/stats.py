"""What a limiter counts."""

from __future__ import annotations

import msgspec


class QuotaStats(msgspec.Struct, frozen=True, kw_only=True):
    """Checks of one policy. A check of several policies counts once for each that was decided."""

    allowed: int
    """Passed and charged."""
    leased: int
    """Of those, without a round trip: of units that this process had taken before."""
    denied: int
    """Denied by Redis, or by this process where the limiter has no Redis."""
    shadow_denied: int
    """Over the limit, and passed because the policy is in shadow."""
    locally_denied: int
    """Denied from memory, without a round trip."""
    withheld: int
    """Had room and was not charged, because another policy denied the request."""
    unavailable: int
    """Not decided by Redis: too slow, failed, or not asked because the breaker was open."""
    unavailable_denied: int
    """Of those, denied by what the policy says about outages."""


class RateLimitStats(msgspec.Struct, frozen=True, kw_only=True):
    """A snapshot of a limiter since it was made."""

    policies: dict[str, QuotaStats]
    """By name."""
    batches: int
    """Script calls, or pipelines of them on a cluster, that were sent for checks."""
    slow: int
    """Batches not answered within the budget."""
    errors: int
    """Batches that failed outright."""
    refunds: int
    """Charges of a cluster's slots taken back because another slot denied."""
    breaker_opened: int
    breaker_open: bool
    remembered: int
    """Denied keys in memory now."""
    leases: int
    """Keys of which this process holds units, or may the next time that it asks."""
    local_keys: int
    """Keys of the limiter within this process now."""


class Counters:
    """The running counts of one policy, by the names of ``QuotaStats``."""

    __slots__ = (
        "allowed",
        "denied",
        "leased",
        "locally_denied",
        "shadow_denied",
        "unavailable",
        "unavailable_denied",
        "withheld",
    )

    def __init__(self) -> None:
        for name in self.__slots__:
            setattr(self, name, 0)

    allowed: int
    denied: int
    leased: int
    locally_denied: int
    shadow_denied: int
    unavailable: int
    unavailable_denied: int
    withheld: int

    def snapshot(self) -> QuotaStats:
        """The counts as they are."""
        return QuotaStats(**{name: getattr(self, name) for name in self.__slots__})
