"""Which slot of a Redis Cluster a key belongs to."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from redis.crc import key_slot


def slot(name: str) -> int:
    """The slot of a Redis key, 0 to 16383."""
    return key_slot(name.encode())


def by_slot(names: Iterable[str]) -> list[list[str]]:
    """The names in groups that share a slot, so that one command may take each group."""
    groups: defaultdict[int, list[str]] = defaultdict(list)
    for name in names:
        groups[slot(name)].append(name)
    return list(groups.values())
