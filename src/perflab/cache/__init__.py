"""Caching in three tiers with one invalidation: memory, Redis, edge.

``TieredCache.get_or_load`` looks into memory, then Redis, then asks the loader;
``TieredCache.invalidate`` reaches every process's memory, Redis and whatever lies beyond. Traces
and simulated policies are in ``perflab.cache.traces`` and ``perflab.cache.policies``.
"""

from perflab.cache.codec import Codec
from perflab.cache.entry import ABSENT, CacheError, Entry, Invalidation
from perflab.cache.ledger import Ledger, LedgerStats
from perflab.cache.loading import LoadTimeout
from perflab.cache.memory import MemoryTier
from perflab.cache.policy import (
    ACTIVE_TASKS,
    ANALYTICS,
    PUBLIC_CONTENT,
    QUERY,
    USER_PROFILE,
    CachePolicy,
)
from perflab.cache.queries import QueryCache
from perflab.cache.redis import RedisTier, RedisUnavailable
from perflab.cache.tiered import Answer, TieredCache, TieredStats
from perflab.cache.warming import Warm, WarmReport, most_critical, warm

__all__ = [
    "ABSENT",
    "ACTIVE_TASKS",
    "ANALYTICS",
    "PUBLIC_CONTENT",
    "QUERY",
    "USER_PROFILE",
    "Answer",
    "CacheError",
    "CachePolicy",
    "Codec",
    "Entry",
    "Invalidation",
    "Ledger",
    "LedgerStats",
    "LoadTimeout",
    "MemoryTier",
    "QueryCache",
    "RedisTier",
    "RedisUnavailable",
    "TieredCache",
    "TieredStats",
    "Warm",
    "WarmReport",
    "most_critical",
    "warm",
]
