"""What a simulated cache did."""

from __future__ import annotations

import msgspec


class Outcome(msgspec.Struct, frozen=True):
    """One policy at one size over one stream of accesses."""

    policy: str
    size: int
    """Entries."""
    accesses: int
    hits: int
    expired: int
    """Misses on a key that was held, but past its TTL: no policy could have helped."""
    evictions: int
    """Entries within their TTL that were pushed out."""

    @property
    def misses(self) -> int:
        """All of them: new keys, evicted ones and expired ones."""
        return self.accesses - self.hits

    @property
    def hit_ratio(self) -> float:
        """Hits of accesses; 0 without any."""
        return self.hits / self.accesses if self.accesses else 0.0
