"""Which metrics each kind of process tells, from the very Structs that it registers."""

from __future__ import annotations

import importlib
from typing import Final, NamedTuple

from perflab.monitor.plan import Family, make_plan
from perflab.monitor.shapes import known_shape

REGISTERED: Final = {
    "API": {
        "cache": "perflab.cache.tiered.TieredStats",
        "cache_memory": "perflab.cache.memory.MemoryStats",
        "cache_redis": "perflab.cache.redis.stats.RedisStats",
        "channels": "perflab.realtime.log.LogStats",
        "http": "perflab.monitor.requests.RequestStats",
        "loop": "perflab.monitor.lag.LagStats",
        "pool": "perflab.database.pool.PoolStats",
        "ratelimit": "perflab.ratelimit.stats.RateLimitStats",
        "responses": "perflab.api.responses.responder.ResponderStats",
        "variants": "perflab.api.responses.variants.VariantStats",
    },
    "Hub": {
        "hub": "perflab.realtime.hub.stats.HubStats",
        "loop": "perflab.monitor.lag.LagStats",
    },
    "Load": {"load": "perflab.load.live.GeneratorStats"},
}
"""The names under which processes register their parts, and what their ``stats()`` give."""


class Row(NamedTuple):
    """A metric as the documentation has it."""

    name: str
    kind: str
    labels: str
    help: str


def families(process: str) -> list[Family]:
    """All of a process, its parts in order."""
    found: list[Family] = []
    for name, full in REGISTERED[process].items():
        module, _, struct = full.rpartition(".")
        type_ = getattr(importlib.import_module(module), struct)
        shape = known_shape(type_)
        assert shape is not None
        found += make_plan(type_, shape, f"perflab_{name}", ()).families.values()
    return found


def full_name(family: Family) -> str:
    return f"{family.name}_total" if family.kind == "counter" else family.name


def rows(process: str) -> list[Row]:
    return [
        Row(full_name(one), one.kind, ", ".join(one.labels), one.help) for one in families(process)
    ]


def markdown(process: str) -> str:
    """The table of a process, as docs/monitoring.md holds it."""
    lines = ["| metric | kind | labels | |", "|---|---|---|---|"]
    lines += [f"| `{row.name}` | {row.kind} | {row.labels} | {row.help} |" for row in rows(process)]
    return "\n".join(lines) + "\n"
