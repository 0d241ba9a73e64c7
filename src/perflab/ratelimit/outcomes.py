"""What checks come to: decisions out of what Redis, this process or the policies say, counted."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence

from perflab.ratelimit.decision import Decision, Quota, Source
from perflab.ratelimit.denied import Denied
from perflab.ratelimit.leases import Leases
from perflab.ratelimit.local import LocalStore, Part
from perflab.ratelimit.policies import US, Policy
from perflab.ratelimit.script import A_PART, MARK
from perflab.ratelimit.stats import Counters, QuotaStats


class Outcomes:
    """Makes decisions, enters each at its policies, and keeps what Redis denied and leased.

    Args:
        policies: all that are checked.
        probe_s: what those denied in an outage are told to wait.
        max_denied: keys whose denial is remembered.
        remember_at_most_s: how long at most.
        max_leases: keys of which units may be held.
        max_local: keys counted within this process.
        wall: seconds since 1970, for what is counted within this process.
    """

    def __init__(
        self,
        policies: Iterable[Policy],
        *,
        probe_s: float,
        max_denied: int,
        remember_at_most_s: float,
        max_leases: int,
        max_local: int,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self.denied = Denied(max_denied, remember_at_most_s)
        self.leases = Leases(max_leases)
        self.local = LocalStore(max_local)
        self._counters = {policy.name: Counters() for policy in policies}
        self._probe_s = probe_s
        self._wall = wall

    def stats(self) -> dict[str, QuotaStats]:
        """What was counted so far, by policy."""
        return {name: count.snapshot() for name, count in self._counters.items()}

    def forget(self, key: str) -> None:
        """Let a key of this process start from nothing."""
        self.denied.forget(key)
        self.leases.forget(key)
        self.local.forget(key)

    def of_redis(self, parts: Sequence[Part], values: Sequence[int]) -> Decision:
        """What the script's values say."""
        return self._decided(parts, values, "redis")

    def of_lease(self, part: Part, now_us: int) -> Decision | None:
        """Out of units that this process holds; None where it holds too few."""
        quota = self.leases.spend(part, now_us)
        if quota is None:
            return None
        count = self._counters[part.policy.name]
        count.allowed += 1
        count.leased += 1
        return Decision(True, (quota,))

    def of_this_process(self, parts: Sequence[Part], now_us: int) -> Decision:
        """Counted here alone, at a time of the caller's or, for 0, at this one."""
        return self._decided(parts, self.local.decide(parts, now_us or self._now_us()), "local")

    def remember(self, parts: Sequence[Part], decision: Decision, asked_at: float) -> None:
        """Keep what Redis denied when it was asked after ``asked_at``."""
        for part, quota in zip(parts, decision.quotas, strict=True):
            if not (quota.allowed or part.policy.shadow):
                self.denied.remember(part.key, part.cost, quota, asked_at)

    def remembered(self, parts: Sequence[Part], now: float) -> Decision | None:
        """The denial that is remembered of any of the parts."""
        quotas: list[Quota] = []
        for part in parts:
            quota = self.denied.find(part.key, part.cost, now)
            if quota is not None:
                quotas.append(quota)
                self._counters[part.policy.name].locally_denied += 1
        return Decision(False, tuple(quotas)) if quotas else None

    def of_outage(self, parts: Sequence[Part], now_us: int) -> Decision:
        """What the policies say where Redis does not answer."""
        own = [part for part in parts if part.policy.on_outage == "local"]
        shut = any(part.policy.on_outage == "closed" and not part.policy.shadow for part in parts)
        counted = self.local.decide(own, now_us or self._now_us(), charge=not shut)
        quotas = []
        allowed = True
        at = 0
        for part in parts:
            policy = part.policy
            if policy.on_outage == "local":
                quota = _quota(policy, counted, at, "local")
                at += 1
            elif policy.on_outage == "open":
                quota = Quota(policy, True, "outage")
            else:
                quota = Quota(policy, False, "outage", retry_after_s=self._probe_s)
            passes = quota.allowed or policy.shadow
            allowed = allowed and passes
            count = self._counters[policy.name]
            count.unavailable += 1
            count.unavailable_denied += not passes
            quotas.append(quota)
        return Decision(allowed, tuple(quotas))

    def _decided(self, parts: Sequence[Part], values: Sequence[int], source: Source) -> Decision:
        quotas = []
        allowed = True
        for at, part in enumerate(parts):
            quota = _quota(part.policy, values, at, source)
            quotas.append(quota)
            allowed = allowed and (quota.allowed or part.policy.shadow)
        for quota in quotas:
            count = self._counters[quota.policy.name]
            if quota.allowed:
                if allowed:
                    count.allowed += 1
                else:
                    count.withheld += 1
            elif quota.policy.shadow:
                count.shadow_denied += 1
            else:
                count.denied += 1
        return Decision(allowed, tuple(quotas))

    def _now_us(self) -> int:
        return round(self._wall() * US)


def _quota(policy: Policy, values: Sequence[int], at: int, source: Source) -> Quota:
    room, wait, more, rest = values[A_PART * at : A_PART * at + MARK]
    return Quota(policy, wait <= 0, source, room, wait / US, more / US, rest / US)
