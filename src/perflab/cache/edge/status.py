"""What the edge's member of ``Cache-Status`` means in the ledger."""

from __future__ import annotations

from perflab.cache.cache_status import CacheStatus
from perflab.cache.ledger import Outcome

_STALE = ("STALE", "UPDATING")
_PAST = ("bypass", "method")


def outcome_of(status: CacheStatus) -> Outcome:
    """The outcome to enter with ``Ledger.enter_edge`` for an answer of ``nginx_config``'s nginx.

    A revalidated response is a miss: the origin was asked. Behind a stale hit nginx asks the
    origin, too, in a request of its own that belongs to no client's.
    """
    if status.detail in _STALE:
        return "stale"
    if status.hit:
        return "hit"
    return "bypassed" if status.fwd in _PAST else "miss"
