"""A Redis to be broken."""

from __future__ import annotations

from redis_outages import proxy, server

__all__ = ["proxy", "server"]
