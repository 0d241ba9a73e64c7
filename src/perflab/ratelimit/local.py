"""A limiter within one process: bounded, exact for this process, unknown to all others."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

import msgspec

from perflab.ratelimit.algorithms import METERS, Meter
from perflab.ratelimit.policies import Policy


class Part(msgspec.Struct, frozen=True, gc=False):
    """One policy of a check."""

    policy: Policy
    number: int
    """Of the policy among the limiter's, from 1."""
    key: str
    """Where the state is."""
    cost: int


class LocalStore:
    """Keys of one process, at most ``max_keys``; beyond that the key unused longest is forgotten.

    A forgotten key starts from nothing, so whoever can name more keys than that between two
    requests is not limited: the price of being bounded.
    """

    def __init__(self, max_keys: int) -> None:
        self._max_keys = max_keys
        self._meters: OrderedDict[str, Meter] = OrderedDict()

    def __len__(self) -> int:
        return len(self._meters)

    def decide(self, parts: Sequence[Part], now: int, *, charge: bool = True) -> list[int]:
        """Charge all parts if each allows (those in shadow aside) and ``charge`` is set.

        Returns the values that the script returns, with 0 for what a refund must name.
        """
        meters = [self._meter(part) for part in parts]
        waits = []
        for meter, part in zip(meters, parts, strict=True):
            meter.at(now)
            waits.append(meter.wait(part.cost))
        passes = charge and all(
            wait <= 0 or part.policy.shadow for wait, part in zip(waits, parts, strict=True)
        )
        values: list[int] = []
        for meter, part, wait in zip(meters, parts, waits, strict=True):
            if passes and wait <= 0:
                meter.take(part.cost)
            room = meter.room()
            more = meter.wait(room + 1) if room < meter.size else 0
            values += (room, max(0, wait), more, max(0, meter.wait(meter.size)), 0)
        self._trim()
        return values

    def forget(self, key: str) -> None:
        """Let a key start from nothing."""
        self._meters.pop(key, None)

    def clear(self) -> None:
        """Forget every key."""
        self._meters.clear()

    def _meter(self, part: Part) -> Meter:
        meter = self._meters.get(part.key)
        if meter is None:
            meter = self._meters[part.key] = METERS[part.policy.algorithm](part.policy)
        else:
            self._meters.move_to_end(part.key)
        return meter

    def _trim(self) -> None:
        while len(self._meters) > self._max_keys:
            self._meters.popitem(last=False)
