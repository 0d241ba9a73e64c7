"""What fits: entries counted in memory and in a Redis filled to the promised number."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import msgspec
import redis as redis_py

from perflab.cache import Codec, Entry, MemoryTier, RedisTier
from perflab.cache.redis import Capacity, bytes_for
from perflab.cache.redis.keys import Keys
from perflab.report.not_run import NotRun
from perflab.services import Redis
from perflab.studies.cache.driving import PATIENT_S
from perflab.studies.cache.workload import Values
from perflab.studies.loops import in_own_loop
from perflab.studies.prefixes import own_prefix

_BATCH: Final = 2_000
_ASKED: Final = 500
_SPARE: Final = 32 * 2**20
"""Bytes beyond the entries: the server's own, and the lab's other keys."""
_TTL_S: Final = 600.0


@dataclass(frozen=True)
class Room:
    """How many entries each tier holds."""

    memory: int
    """Kept of more than it takes, at the tier's default."""
    redis: int
    """Found again after all were written."""
    asked: int
    """Of those, read through the tier."""
    readable: int
    """Of these, answered."""
    value_bytes: float
    bytes_per_entry: float
    """By which the server grew."""
    capacity: Capacity
    configured: bool
    """Whether the lab set the server's limit; it does so only on its own."""
    seconds: float


def measure_room(redis: Redis, entries: int, seed: int) -> Room | NotRun:
    """Write ``entries`` entries of the workload's sizes and look how many are still there.

    On the lab's own server the limit is set to what they need, and eviction to allkeys-lru, until
    all is counted; on another nothing is set, and a limit with too little room left means that
    this is not run.
    """
    return in_own_loop(_measure(redis, entries, seed))


async def _measure(redis: Redis, entries: int, seed: int) -> Room | NotRun:
    values = Values(seed)
    memory = MemoryTier()
    now = time.time()
    for number in range(4 * 1_000):
        memory.set(f"key:{number}", Entry(None, now, now + _TTL_S, now + _TTL_S))
    prefix = own_prefix(redis, "room")
    async with RedisTier(redis.url(), prefix=prefix, budget_s=PATIENT_S) as tier:
        await tier.ping()
        before = found_so = await tier.check_capacity()
        needed = bytes_for(entries, values.mean_bytes) + _SPARE
        if redis.owned:
            before = await tier.configure_capacity(before.used_bytes + needed)
        elif before.max_bytes and before.max_bytes - before.used_bytes < needed:
            return NotRun(
                "a full Redis tier",
                f"the server's maxmemory leaves {(before.max_bytes - before.used_bytes) >> 20} MiB,"
                f" {needed >> 20} MiB are needed",
            )
        keys = Keys(prefix)
        started = time.perf_counter()
        lease = await tier.lease("first")
        if lease is None:
            return NotRun("a full Redis tier", "the server does not take writes")
        entry = Entry("", now, now + _TTL_S, now + _TTL_S, versions=lease.versions)
        with redis_py.Redis.from_url(redis.url()) as client:
            try:
                _write(client, keys, entry, values, entries)
                seconds = time.perf_counter() - started
                after = await tier.check_capacity()
                found = sum(int(client.exists(*names)) for names in _names(keys, entries))
                step = max(1, entries // _ASKED)
                asked = range(0, entries, step)
                answers = [await tier.get(f"key:{number}") for number in asked]
            finally:
                for names in _names(keys, entries):
                    client.unlink(*names)
                if redis.owned:
                    client.config_set("maxmemory", found_so.max_bytes)
                    client.config_set("maxmemory-policy", found_so.policy)
    return Room(
        memory=memory.stats().entries,
        redis=found,
        asked=len(answers),
        readable=sum(1 for answer in answers if answer.state == "hit"),
        value_bytes=values.mean_bytes,
        bytes_per_entry=(after.used_bytes - before.used_bytes) / entries,
        capacity=after,
        configured=redis.owned,
        seconds=seconds,
    )


def _write(client: Any, keys: Keys, entry: Entry, values: Values, entries: int) -> None:
    """What the tier itself would store, without its leases: those only cost time here."""
    codec = Codec()
    lasts_ms = round(1_000 * _TTL_S)
    for start in range(0, entries, _BATCH):
        with client.pipeline(transaction=False) as pipe:
            for number in range(start, min(start + _BATCH, entries)):
                filled = msgspec.structs.replace(entry, value=values.of(number))
                pipe.set(keys.value(f"key:{number}"), codec.encode(filled), px=lasts_ms)
            pipe.execute()


def _names(keys: Keys, entries: int) -> Iterator[list[str]]:
    for start in range(0, entries, _BATCH):
        yield [keys.value(f"key:{number}") for number in range(start, min(start + _BATCH, entries))]
