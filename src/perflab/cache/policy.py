"""How long a kind of data may be kept, how stale it may be, and how long a load may take."""

from __future__ import annotations

from typing import Final

import msgspec

from perflab.arguments import check_flag, check_kind, check_seconds
from perflab.cache.codec import Codec
from perflab.cache.entry import CacheError, check_name

LEASE_MARGIN_S: Final = 0.5
"""A lease lasts this much longer than the longest load it covers."""


class CachePolicy(msgspec.Struct, frozen=True, kw_only=True):
    """The rules for one kind of data; every duration is in seconds.

    Two windows follow the expiry of an entry (RFC 5861, sections 3 and 4). In the first,
    ``stale_s``, a request gets the stale value at once and a refresh starts in the
    background. In the second, up to ``stale_if_error_s`` after the expiry, a request waits for
    a fresh value and gets the stale one only if the load fails or takes longer than
    ``soft_timeout_s``.
    """

    name: str
    ttl_s: float
    """How long a loaded value is fresh."""
    memory_ttl_s: float = 0.3
    """How long a process may keep its own copy without looking at Redis again."""
    stale_s: float = 0.0
    """Stale-while-revalidate."""
    stale_if_error_s: float = 0.0
    """Stale-if-error."""
    negative_ttl_s: float = 0.0
    """How long ``ABSENT`` is kept; 0: not at all."""
    absent_errors: tuple[type[Exception], ...] = ()
    """Exceptions of a loader that mean ``ABSENT``. Any other is raised and never cached."""
    early_refresh: bool = True
    """Whether XFetch may refresh an entry shortly before it expires."""
    early_beta: float = 1.0
    """Beta of XFetch: above 1 refreshes earlier."""
    soft_timeout_s: float = 0.1
    """How long a request waits for a fresh value while it has a stale one to fall back on."""
    hard_timeout_s: float = 5.0
    """How long one load may take at most."""
    codec: Codec | None = None
    """Type and compression of the values in Redis; None: the tier's own codec."""
    needs_tags: bool = False
    """Whether an entry without tags is a mistake."""
    edge_ttl_s: float = 0.0
    """How long a shared HTTP cache in front may keep a response made of it; 0: not at all."""

    def __post_init__(self) -> None:
        check_name(self.name, "policy name")
        mine = f"cache policy {self.name!r}: "
        for field in (*_POSITIVE, *_NOT_NEGATIVE):
            check_seconds(
                mine + field, getattr(self, field), CacheError, zero=field in _NOT_NEGATIVE
            )
        for field in ("early_refresh", "needs_tags"):
            check_flag(mine + field, getattr(self, field), CacheError)
        if self.codec is not None:
            check_kind(f"{mine}codec", self.codec, Codec, CacheError)
        if not isinstance(self.absent_errors, tuple) or not all(
            isinstance(kind, type) and issubclass(kind, Exception) for kind in self.absent_errors
        ):
            raise CacheError(
                f"{mine}absent_errors must be a tuple of exception classes, such as (KeyError,)"
            )

    @property
    def lease_s(self) -> float:
        """How long whoever loads a key may keep other processes from loading it too."""
        return self.hard_timeout_s + LEASE_MARGIN_S

    @property
    def longest_stale_s(self) -> float:
        """How long after its expiry an entry is of any use."""
        return max(self.stale_s, self.stale_if_error_s)


_POSITIVE = ("ttl_s", "memory_ttl_s", "early_beta", "hard_timeout_s")
_NOT_NEGATIVE = (
    "stale_s", "stale_if_error_s", "negative_ttl_s", "soft_timeout_s", "edge_ttl_s"
)  # fmt: skip

_MINUTE_S = 60.0
_HOUR_S = 3600.0

USER_PROFILE: Final = CachePolicy(
    name="user_profile",
    ttl_s=_HOUR_S,
    stale_if_error_s=_HOUR_S,
    negative_ttl_s=30.0,
    codec=Codec(compression="zstd"),
)
"""One hour, compressed."""

ACTIVE_TASKS: Final = CachePolicy(
    name="active_tasks", ttl_s=15 * _MINUTE_S, codec=Codec(compression=None)
)
"""A quarter of an hour."""

ANALYTICS: Final = CachePolicy(
    name="analytics",
    ttl_s=30 * _MINUTE_S,
    stale_if_error_s=30 * _MINUTE_S,
    hard_timeout_s=30.0,
    needs_tags=True,
)
"""Half an hour, with tags; slow to load, so old figures are preferred to none."""

PUBLIC_CONTENT: Final = CachePolicy(
    name="public_content",
    ttl_s=_HOUR_S,
    stale_s=_MINUTE_S,
    stale_if_error_s=24 * _HOUR_S,
    edge_ttl_s=6 * _HOUR_S,
)
"""Hours at the edge."""

QUERY: Final = CachePolicy(name="query", ttl_s=5 * _MINUTE_S, needs_tags=True)
"""Five minutes, tagged with the tables that a query reads."""

POLICIES: Final = (USER_PROFILE, ACTIVE_TASKS, ANALYTICS, PUBLIC_CONTENT, QUERY)
"""The plan's five."""
