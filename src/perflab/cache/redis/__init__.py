"""The Redis tier: entries shared by processes, leases for loaders, tags as versions."""

from __future__ import annotations

from perflab.cache.redis.capacity import Capacity, bytes_for
from perflab.cache.redis.link import RedisUnavailable
from perflab.cache.redis.stats import RedisStats
from perflab.cache.redis.tier import RedisTier

__all__ = ["Capacity", "RedisStats", "RedisTier", "RedisUnavailable", "bytes_for"]
