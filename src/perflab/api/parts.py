"""What every endpoint is made of, assembled once for a process."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from perflab.api.bodies import Body
from perflab.api.cursors import Cursors
from perflab.api.settings import ApiSettings
from perflab.cache import MemoryTier, RedisTier, TieredCache
from perflab.database.pool import Pool
from perflab.ratelimit import RateLimiter
from perflab.realtime import ChannelLog
from perflab.realtime.waiting import Waiting

T = TypeVar("T")

Clock = Callable[[], float]
"""Unix seconds: the time of what is stored. It may run apart from the machine's, as the lab's
data was "taken" at a moment of its own; caches and limits keep the machine's time."""


@dataclass(frozen=True)
class Parts:
    """The libraries of one process, opened and closed by the application's lifespan."""

    settings: ApiSettings
    clock: Clock
    pool: Pool
    memory: MemoryTier
    redis: RedisTier
    cache: TieredCache
    limiter: RateLimiter
    channels: ChannelLog
    waiting: Waiting
    cursors: Cursors

    def body(self, type_: type[T], *, shown: Any = None) -> Body[T]:
        """What reads a request's body as this type, within the settings' bounds."""
        settings = self.settings
        return Body(type_, settings.max_body_bytes, settings.body_s, shown=shown)
