"""A memory hit: our memory tier against theine's and cachetools' caches with a TTL."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any, Final

import numpy as np

from perflab.cache.entry import Entry
from perflab.cache.memory import MemoryTier
from perflab.cache.policies.synthetic import zipf_popularities
from perflab.measure.experiment import Arm, Draw, Operation, Params
from perflab.progress import Step
from perflab.studies.peers.cache.profiles import Profile, profile
from perflab.studies.peers.contest import Contest, Sizes, hold

WORK: Final = "memory hit"
FLOOR: Final = "a dict lookup and the clock"
ENTRIES: Final = 1_000
GETS: Final = 5_000
TTL_S: Final = 3_600.0
ALPHA: Final = 1.0

KEYS: Final = tuple(f"profile:{number}" for number in range(ENTRIES))

Ask = Callable[[Sequence[str]], int]
"""Asks for every key in turn and returns how many had a value."""


def measure_memory_hits(sizes: Sizes, step: Step | None = None) -> list[Contest]:
    """The same Zipf-distributed keys, all of them hits, from full caches of ``ENTRIES`` entries.

    Both sides take a key and end with the value in a local variable, TTL checked. Ours and ours
    again are one cache, for the reason that `measure_warm_get` gives. The last contest is a
    yardstick: what any function written in Python needs for that.
    """
    popularities = zipf_popularities(ENTRIES, ALPHA)

    def draw(rng: np.random.Generator) -> Draw:
        return Draw({"keys": [KEYS[n] for n in rng.choice(ENTRIES, GETS, p=popularities)]})

    values = {key: profile(number) for number, key in enumerate(KEYS)}
    ask_ours = _our_hits(values)
    ours, again = (_arm("memory tier", ask_ours) for _ in range(2))
    rivals = {
        "theine, without locks": _theine_hits(values, nolock=True),
        "theine, as it comes": _theine_hits(values, nolock=False),
        "cachetools, cache.get(key)": _cachetools_gets(values),
        "cachetools, cache[key]": _cachetools_items(values),
        FLOOR: _floor(values),
    }
    return [
        hold(
            WORK,
            (_arm(name, ask), ours, again),
            draw,
            sizes,
            requests=GETS,
            step=step,
            yardstick=name == FLOOR,
        )
        for name, ask in rivals.items()
    ]


def _arm(name: str, ask: Ask) -> Arm:
    def call(_operation: Operation, params: Params) -> int:
        keys: Any = params["keys"]
        return ask(keys)

    return Arm(name, call)


def _our_hits(values: dict[str, Profile]) -> Ask:
    tier = MemoryTier(ENTRIES, TTL_S)
    now = time.time()
    for key, value in values.items():
        tier.set(key, Entry(value, now, now + TTL_S, now + TTL_S))
    get = tier.get

    def ask(keys: Sequence[str]) -> int:
        found = 0
        for key in keys:
            entry = get(key)
            if entry is not None:
                _value = entry.value
                found += 1
        return found

    return ask


def _theine_hits(values: dict[str, Profile], *, nolock: bool) -> Ask:
    from theine import Cache

    cache: Any = Cache(ENTRIES, nolock)
    for key, value in values.items():
        cache.set(key, value, timedelta(seconds=TTL_S))
    get = cache.get

    def ask(keys: Sequence[str]) -> int:
        found = 0
        for key in keys:
            _value, there = get(key)
            if there:
                found += 1
        return found

    return ask


def _cachetools_cache(values: dict[str, Profile]) -> Any:
    from cachetools import TTLCache

    cache: Any = TTLCache(ENTRIES, TTL_S)
    cache.update(values)
    return cache


def _cachetools_gets(values: dict[str, Profile]) -> Ask:
    get = _cachetools_cache(values).get

    def ask(keys: Sequence[str]) -> int:
        found = 0
        for key in keys:
            value = get(key)
            if value is not None:
                found += 1
        return found

    return ask


def _cachetools_items(values: dict[str, Profile]) -> Ask:
    cache = _cachetools_cache(values)

    def ask(keys: Sequence[str]) -> int:
        found = 0
        for key in keys:
            try:
                _value = cache[key]
            except KeyError:
                continue
            found += 1
        return found

    return ask


def _floor(values: dict[str, Profile]) -> Ask:
    until = time.monotonic() + TTL_S
    clock = time.monotonic

    def get(key: str) -> Profile | None:
        return values[key] if until > clock() else None

    def ask(keys: Sequence[str]) -> int:
        found = 0
        for key in keys:
            value = get(key)
            if value is not None:
                found += 1
        return found

    return ask
