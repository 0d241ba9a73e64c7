"""The edge tier: a shared HTTP cache in front of the origin, purged along with the tiers behind."""

from __future__ import annotations

from perflab.cache.edge.names import cache_tag
from perflab.cache.edge.nginx import NginxEdge, NginxEdgeStats
from perflab.cache.edge.nginx_config import NginxSettings, render
from perflab.cache.edge.origin import OriginMiddleware, OriginStats
from perflab.cache.edge.protocol import Edge, EdgeError, EdgePurger, Purged
from perflab.cache.edge.status import outcome_of
from perflab.cache.edge.tag_index import RedisTagIndex, TagIndex

__all__ = [
    "Edge",
    "EdgeError",
    "EdgePurger",
    "NginxEdge",
    "NginxEdgeStats",
    "NginxSettings",
    "OriginMiddleware",
    "OriginStats",
    "Purged",
    "RedisTagIndex",
    "TagIndex",
    "cache_tag",
    "outcome_of",
    "render",
]
