"""Denials that this process remembers, so that whoever is denied costs no round trips."""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from perflab.ratelimit.decision import Quota


class _Denial(NamedTuple):
    at: float
    until: float
    cost: int
    quota: Quota


class Denied:
    """Keys that Redis denied, each until it may be allowed again.

    Times are seconds of a monotonic clock. At most ``max_keys`` are kept; beyond that the denial
    that is oldest goes, and its key is asked about again.
    """

    def __init__(self, max_keys: int, at_most_s: float) -> None:
        self._max_keys = max_keys
        self._at_most_s = at_most_s
        self._denials: dict[str, _Denial] = {}

    def __len__(self) -> int:
        return len(self._denials)

    def find(self, key: str, cost: int, now: float) -> Quota | None:
        """The quota of a key that is still denied this cost, as it is now."""
        denial = self._denials.get(key)
        if denial is None:
            return None
        if now >= denial.until:
            del self._denials[key]
            return None
        if cost < denial.cost:
            return None  # less might be free
        passed = now - denial.at
        quota = denial.quota
        return msgspec.structs.replace(
            quota,
            source="memory",
            retry_after_s=quota.retry_after_s - passed,
            next_s=max(0.0, quota.next_s - passed),
            reset_s=quota.reset_s - passed,
        )

    def remember(self, key: str, cost: int, quota: Quota, asked_at: float) -> None:
        """Keep a denial. Redis decided it after ``asked_at``, so it ends no later than there."""
        denials = self._denials
        denials.pop(key, None)
        if len(denials) >= self._max_keys:
            del denials[next(iter(denials))]
        until = asked_at + min(quota.retry_after_s, self._at_most_s)
        denials[key] = _Denial(asked_at, until, cost, quota)

    def forget(self, key: str) -> None:
        """Ask about the key again."""
        self._denials.pop(key, None)
