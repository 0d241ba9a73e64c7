"""The shapes of the package's own snapshots, by the full names of their Structs.

By name, because nothing that is measured knows this room, nor this room them. A Struct that has
changed since is refused when it is registered.
"""

from __future__ import annotations

from typing import Final

import msgspec

from perflab.monitor.declarations import (
    Counter,
    Each,
    Keyed,
    LeftOut,
    Part,
    Shape,
    counters,
    distributions,
    gauges,
)

_SIEVE: Final = counters("hits", "misses", "expired", "evictions") | gauges("entries", "size_bytes")

_TIER: Final[Shape] = counters(
    "hits", "stale_hits", "misses", "coalesced", "bypassed", "bytes", "seconds"
)

_POLICY: Final[Shape] = {
    "edge": Part(shape=_TIER, prefix="", labels={"tier": "edge"}),
    "memory": Part(shape=_TIER, prefix="", labels={"tier": "memory"}),
    "redis": Part(shape=_TIER, prefix="", labels={"tier": "redis"}),
    "loader": Part(shape=_TIER, prefix="", labels={"tier": "loader"}),
    "background": Part(shape=counters("refreshes", "adopted", "failures", "seconds")),
}

_LEDGER: Final[Shape] = {
    "policies": Each(shape=_POLICY, label="policy", by="policy"),
    "total": LeftOut("Prometheus adds the policies up"),
}

_RESPONDER: Final[Shape] = counters(
    "responses", "coded", "not_modified", "refused", "plain_bytes", "coded_bytes", "store_failures"
)

_SHAPES: Final[dict[str, Shape]] = {
    "perflab.cache.sieve.SieveStats": _SIEVE,
    "perflab.cache.memory.MemoryStats": _SIEVE | counters("invalidated", "refused"),
    "perflab.cache.ledger.LedgerStats": _LEDGER,
    "perflab.cache.tiered.TieredStats": {
        "ledger": Part(shape=_LEDGER, prefix=""),
        **gauges("loading", "owed_purges"),
    },
    "perflab.cache.redis.stats.RedisStats": counters(
        "gets", "hits", "stale", "misses", "unavailable", "outdated", "corrupted", "cancelled",
        "leases", "leases_refused", "leases_needless", "fills", "fills_refused", "invalidations",
        "invalidations_failed", "read_bytes", "written_bytes", "slow", "errors", "read_batches",
        "write_batches", "breaker_opened", "channel_losses",
    ) | gauges("breaker_open", "connected"),
    "perflab.cache.edge.nginx.NginxEdgeStats": counters(
        "purges", "removed", "removed_later", "scans", "repeated", "failed", "dropped"
    ) | gauges("waiting"),
    "perflab.cache.edge.cloudflare.CloudflareStats": counters(
        "purges", "requests", "retries", "limited"
    ),
    "perflab.cache.edge.origin.OriginStats": counters(
        "through_edge", "registered", "unregistered", "cut_off"
    ),
    "perflab.database.pool.PoolStats": counters(
        "requests", "queued", "wait_ms", "usage_ms", "lost", "retries", "replays", "errors"
    ) | gauges("size", "available", "waiting") | distributions("acquire_s"),
    "perflab.ratelimit.stats.RateLimitStats": {
        "policies": Keyed(
            of=counters(
                "allowed", "leased", "denied", "shadow_denied", "locally_denied", "withheld",
                "unavailable", "unavailable_denied",
            ),
            label="policy",
        ),
        **counters("batches", "slow", "errors", "refunds", "breaker_opened"),
        **gauges("breaker_open", "remembered", "leases", "local_keys"),
    },
    "perflab.realtime.hub.stats.HubStats": counters(
        "opened", "refused_full", "refused_handshake", "refused_token", "requests", "malformed",
        "rate_limited",
        "forbidden", "heard", "deliveries", "frames", "flushes", "dropped", "slow", "dead",
        "hostile", "recovered", "not_recovered", "gaps", "losses",
    ) | gauges("connections", "channels", "subscriptions", "queued"),
    "perflab.realtime.log.LogStats": counters(
        "published", "reads", "batches", "unavailable"
    ) | gauges("breaker_open"),
    "perflab.api.responses.responder.ResponderStats": _RESPONDER,
    "perflab.api.responses.middleware.MiddlewareStats": {
        **counters("left_alone"),
        "responder": Part(shape=_RESPONDER, prefix=""),
        "remembered": Part(shape=counters("hits", "misses") | gauges("entries", "size_bytes")),
    },
    "perflab.load.live.GeneratorStats": {
        **counters("requests", "connections_opened"),
        "outcomes": Keyed(of=Counter(), label="outcome"),
        "answers": Keyed(of=Counter(), label="status"),
        **distributions("latency_s", "late_s"),
        **gauges("in_flight"),
    },
    "perflab.monitor.requests.RequestStats": {
        "operations": Keyed(
            of={"by_status": Keyed(of=Counter(name="requests"), label="status")}, label="operation"
        ),
        **distributions("latency_s"),
        **gauges("in_progress"),
    },
    "perflab.monitor.lag.LagStats": distributions("lag_s") | gauges("last_s"),
    "perflab.api.responses.variants.VariantStats": counters(
        "hits", "joined", "made", "evictions"
    ) | gauges("entries", "size_bytes"),
}  # fmt: skip


def known_shape(struct: type[msgspec.Struct]) -> Shape | None:
    """The shape of a snapshot of the package's; None for any other."""
    return _SHAPES.get(f"{struct.__module__}.{struct.__qualname__}")
