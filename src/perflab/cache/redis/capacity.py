"""How much a Redis server may hold and what it does when it is full."""

from __future__ import annotations

from typing import Any, Final, Literal, get_args

import msgspec

from perflab.cache.entry import CacheError
from perflab.cache.redis.link import RedisUnavailable
from perflab.redis_link import Link, insisting

Policy = Literal[
    "noeviction",
    "allkeys-lru",
    "allkeys-lfu",
    "allkeys-random",
    "volatile-lru",
    "volatile-lfu",
    "volatile-random",
    "volatile-ttl",
]
POLICIES: Final[tuple[str, ...]] = get_args(Policy)

ENTRY_OVERHEAD_BYTES: Final = 250
"""Of a key of up to 64 bytes with its expiry, besides the stored bytes; rounded up."""


class Capacity(msgspec.Struct, frozen=True):
    """A server's limit, as it is."""

    max_bytes: int
    """0: none."""
    policy: str
    used_bytes: int
    keys: int
    evicted: int
    """Keys dropped for want of room since the server started."""

    @property
    def problems(self) -> tuple[str, ...]:
        """What is wrong with that for a cache, each as a sentence that says what to do."""
        found = []
        if self.max_bytes == 0:
            found.append("maxmemory is 0: the server grows until the machine is full; set it")
        if self.policy == "noeviction":
            found.append(
                "maxmemory-policy is noeviction: a full server refuses writes; use allkeys-lru"
            )
        return tuple(found)


def bytes_for(entries: int, entry_bytes: float) -> int:
    """Memory for that many entries of a mean stored size, without the server's own."""
    return int(entries * (entry_bytes + ENTRY_OVERHEAD_BYTES))


async def read_capacity(link: Link, timeout_s: float) -> Capacity:
    """The limit of a single server; RedisUnavailable if it does not answer."""
    _check_single(link)
    async with insisting(link, timeout_s, RedisUnavailable, "does not say its capacity"):
        memory: dict[str, Any] = await link.client.info("memory")
        stats: dict[str, Any] = await link.client.info("stats")
        keys = await link.client.dbsize()
    return Capacity(
        max_bytes=int(memory["maxmemory"]),
        policy=str(memory["maxmemory_policy"]),
        used_bytes=int(memory["used_memory"]),
        keys=int(keys),
        evicted=int(stats["evicted_keys"]),
    )


async def set_capacity(link: Link, timeout_s: float, max_bytes: int, policy: Policy) -> Capacity:
    """Change a server that one owns until it restarts; RedisUnavailable if it refuses."""
    _check_single(link)
    if max_bytes <= 0:
        raise CacheError(f"max_bytes must be positive, not {max_bytes}")
    if policy not in POLICIES:
        raise CacheError(f"unknown eviction policy {policy!r}; known are {', '.join(POLICIES)}")
    async with insisting(link, timeout_s, RedisUnavailable, "does not take a capacity"):
        await link.client.config_set("maxmemory", max_bytes)
        await link.client.config_set("maxmemory-policy", policy)
    return await read_capacity(link, timeout_s)


def _check_single(link: Link) -> None:
    if link.cluster:
        raise CacheError(
            f"capacity is a matter of each node of the {link.where}: give the URL of one node,"
            " without cluster"
        )
