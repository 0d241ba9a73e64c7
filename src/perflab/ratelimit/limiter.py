"""The rate limiter: one decision for one request, by Redis or by what its policies say instead."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Coroutine, Iterable
from typing import Any, Final, NamedTuple

from perflab.arguments import check_flag, check_seconds, check_whole
from perflab.closing import Closing
from perflab.ratelimit.decision import Charge, Decision
from perflab.ratelimit.errors import RateLimitError
from perflab.ratelimit.local import Part
from perflab.ratelimit.outcomes import Outcomes
from perflab.ratelimit.policies import DEFAULT_POLICIES, US, Policy, by_name
from perflab.ratelimit.script import WAIT
from perflab.ratelimit.shared import SharedStore
from perflab.ratelimit.stats import RateLimitStats
from perflab.ratelimit.subjects import Subject

_PROBE: Final = Policy(name="probe", limit=1_000, period_s=1)
_PREFIX: Final = re.compile(r"[!-z|~]{0,64}")
"""Printable ASCII without braces, which would be taken for a cluster's hash tag."""
_CHARGE_FIELDS: Final = len(Charge._fields)
_LATEST_S: Final = 1e10


class _Known(NamedTuple):
    """A policy of a limiter."""

    policy: Policy
    number: int
    """From 1."""
    suffix: str
    """Of its keys. What a state means depends on it; a new limit goes on with the old state."""
    most: int
    """What a check may cost."""


class RateLimiter(Closing):
    """Decides whether requests may pass; shared by all processes that use the same Redis.

    >>> async with RateLimiter(url) as limiter:
    ...     decision = await limiter.check("auth", Subject.user(42))

    Checks of one tick of the event loop travel as one script call; where a policy has a ``lease``,
    most are decided without one. A check of several policies is atomic: all are charged or none. On
    a Redis Cluster that holds for one subject, whose keys share a slot; for several subjects every
    slot is asked first, and if all have room, each is charged by itself; if one of them denies by
    then, the others are refunded. No policy ever admits more than on a single server: the bound of
    over-admission is 0. What a lost race or a lost refund costs is the other way round: until the
    refund, at most the cost of the checks under way is charged too much, and where the refund is
    lost, until that drains.

    A limiter with a Redis belongs to one event loop, and a RateLimitError says so in another.

    Args:
        url: ``redis://user:password@host:port/db``, ``rediss://`` for TLS, ``unix://`` for a
            socket; None to count within this process only.
        policies: see ``Policy``; the defaults are ``auth``, ``api``, ``heavy``, ``realtime``.
    Redis:
        prefix: with what the keys begin; limiters that share quotas share it.
        cluster: whether ``url`` names a node of a Redis Cluster.
        budget_s: how long a check may wait for an answer, connecting included; then each policy's
            ``on_outage`` decides. Checks that need two trips (see above) may take twice that, and
            where the event loop itself was too busy to look, an answer gets as much once more.
        timeout_s: for connecting, and for ``ping`` and ``reset``.
        failures: after so many batches in a row that failed or were late nobody asks until a probe
            succeeded.
        probe_s: between probes. A server that is back is used again after at most this, the
            connecting and one call.
    Memory:
        max_denied: keys whose denial this process remembers.
        remember_at_most_s: how long at most; the time until a ``reset`` by another process is
            seen by this one. By default until the key may be allowed again.
        max_leases: keys of which this process may hold units, see ``Policy.lease``.
        max_local: keys of the limiter within this process.
    Time:
        clock: monotonic seconds, for what this process remembers.
        wall: seconds since 1970, for what it counts itself. Redis uses its own.
    """

    def __init__(
        self,
        url: str | None,
        policies: Iterable[Policy] = DEFAULT_POLICIES,
        *,
        prefix: str = "perflab:rl:",
        cluster: bool = False,
        budget_s: float = 0.020,
        timeout_s: float = 1.0,
        failures: int = 3,
        probe_s: float = 1.0,
        max_denied: int = 10_000,
        remember_at_most_s: float = float("inf"),
        max_leases: int = 10_000,
        max_local: int = 10_000,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        found = by_name(policies)
        if not isinstance(prefix, str) or not _PREFIX.fullmatch(prefix):
            raise RateLimitError("prefix must be at most 64 printable characters without braces")
        for name, value in (("budget_s", budget_s), ("timeout_s", timeout_s), ("probe_s", probe_s)):
            check_seconds(name, value, RateLimitError)
        check_seconds("remember_at_most_s", remember_at_most_s, RateLimitError, endless=True)
        for name, count in (
            ("failures", failures),
            ("max_denied", max_denied),
            ("max_leases", max_leases),
            ("max_local", max_local),
        ):
            check_whole(name, count, RateLimitError)
        check_flag("cluster", cluster, RateLimitError)
        self._policies = {
            name: _Known(one, number, f"}}{name}:{one.algorithm}:{one.period_us}", one.capacity)
            for number, (name, one) in enumerate(found.items(), 1)
        }
        self._prefix = prefix + "{"
        self._clock = clock
        self._outcomes = Outcomes(
            found.values(),
            probe_s=probe_s,
            max_denied=max_denied,
            remember_at_most_s=remember_at_most_s,
            max_leases=max_leases,
            max_local=max_local,
            wall=wall,
        )
        self._denied = self._outcomes.denied
        self._shared: SharedStore | None = None
        if url is not None:
            self._shared = SharedStore(
                url,
                (*found.values(), _PROBE),
                Part(_PROBE, len(found) + 1, f"{prefix}{{probe}}", 1),
                cluster=cluster,
                budget_s=budget_s,
                timeout_s=timeout_s,
                failures=failures,
                probe_s=probe_s,
            )

    def __repr__(self) -> str:
        where = "this process" if self._shared is None else self._shared.where
        return f"<RateLimiter at {where}: {', '.join(self._policies)}>"

    @property
    def policies(self) -> tuple[Policy, ...]:
        """The policies, in the order given."""
        return tuple(known.policy for known in self._policies.values())

    @property
    def available(self) -> bool:
        """Whether Redis is asked at all; False while the breaker is open, and without Redis."""
        return self._shared is not None and not self._shared.circuit.is_open

    async def ping(self) -> None:
        """Connect and return when Redis decides; RateLimitUnavailable says why it does not.

        For start-up: the first check otherwise has to connect within its budget.
        """
        if self._shared is not None:
            await self._shared.ping()

    def check(
        self, policy: str, subject: Subject, cost: int = 1, *, now: float | None = None
    ) -> Coroutine[Any, Any, Decision]:
        """Charge ``cost`` units of one policy if there is room for them; see ``check_all``."""
        return self._decide((self._part(policy, subject, cost),), now)

    def check_all(
        self, charges: Iterable[Charge], *, now: float | None = None
    ) -> Coroutine[Any, Any, Decision]:
        """Charge several policies, of one subject or several, if each has room; else none.

        Args:
            charges: each policy and subject at most once.
            now: seconds since 1970 in place of the server's clock, to the microsecond: for tests,
                and for a notebook in which time lapses. A subject should be asked with it always
                or never. Nothing is remembered locally then.

        Raises:
            RateLimitError: an unknown policy, a cost that can never be had, nothing to check.
        """
        if not isinstance(charges, list) and (
            isinstance(charges, str) or not isinstance(charges, Iterable)
        ):
            raise RateLimitError(f"charges must be a list of Charge, not {type(charges).__name__}")
        parts = tuple([self._part(*one) for one in map(_checked, charges)])
        if not parts:
            raise RateLimitError("nothing to check: charges is empty")
        if len(parts) > 1 and len({part.key for part in parts}) < len(parts):
            raise RateLimitError("a policy is charged twice for one subject; add up the costs")
        return self._decide(parts, now)

    async def reset(self, policy: str, subject: Subject) -> None:
        """Let a subject start from nothing under a policy, as after a mistaken lock-out.

        Other processes go on denying what they remember, see ``remember_at_most_s``. A
        RateLimitUnavailable says that it was not done.
        """
        key = self._part(policy, subject, 1).key
        self._outcomes.forget(key)
        if self._shared is not None:
            await self._shared.delete([key])

    def stats(self) -> RateLimitStats:
        """What was counted so far."""
        shared = self._shared
        return RateLimitStats(
            policies=self._outcomes.stats(),
            batches=shared.batches if shared else 0,
            slow=shared.circuit.slow if shared else 0,
            errors=shared.circuit.errors if shared else 0,
            refunds=shared.refunds if shared else 0,
            breaker_opened=shared.circuit.opened if shared else 0,
            breaker_open=shared.circuit.is_open if shared else False,
            remembered=len(self._denied),
            leases=len(self._outcomes.leases),
            local_keys=len(self._outcomes.local),
        )

    async def close(self) -> None:
        """Let everybody go and close the connections; harmless when called twice.

        What is asked later is decided as in an outage.
        """
        if self._shared is not None:
            await self._shared.close()

    def _part(self, name: str, subject: Subject, cost: int = 1) -> Part:
        known = self._policies.get(name) if isinstance(name, str) else None
        if known is None:
            listed = ", ".join(self._policies)
            raise RateLimitError(f"unknown policy {name!r}; known are {listed}")
        policy, number, suffix, most = known
        if type(cost) is not int or not 1 <= cost <= most:
            raise RateLimitError(f"the cost of {name!r} must be from 1 to {most}, not {cost!r}")
        if not isinstance(subject, Subject):
            raise RateLimitError(
                f"the subject of {name!r} must be a Subject, not {type(subject).__name__};"
                " make one with Subject.user, api_key or address"
            )
        return Part(policy, number, f"{self._prefix}{subject.key}{suffix}", cost)

    async def _decide(self, parts: tuple[Part, ...], now: float | None) -> Decision:
        now_us = 0 if now is None else _microseconds(now)
        outcomes, shared = self._outcomes, self._shared
        if shared is None:
            return outcomes.of_this_process(parts, now_us)
        asked_at = self._clock()
        if now is None and self._denied:
            remembered = outcomes.remembered(parts, asked_at)
            if remembered is not None:
                return remembered
        lone = parts[0]
        leased = lone.policy.lease > 1 and now is None and len(parts) == 1
        if leased:
            handed_out = outcomes.of_lease(lone, int(asked_at * US))
            if handed_out is not None:
                return handed_out
        if shared.circuit.is_open:
            shared.home.check()
            return outcomes.of_outage(parts, now_us)
        if leased:
            found = await outcomes.leases.ask(
                lone, int(asked_at * US), lambda part: shared.decide((part,), 0)
            )
        else:
            found = await shared.decide(parts, now_us)
        if found is None:
            return outcomes.of_outage(parts, now_us)
        if leased and found[WAIT] > 0:
            # whoever asked at the same time may hold what Redis no longer has
            handed_out = outcomes.of_lease(lone, int(self._clock() * US))
            if handed_out is not None:
                return handed_out
        decision = outcomes.of_redis(parts, found)
        if now is None and not decision.allowed:
            outcomes.remember(parts, decision, asked_at)
        return decision


def _checked(charge: Charge) -> Charge:
    if type(charge) is not Charge and (
        not isinstance(charge, tuple) or len(charge) != _CHARGE_FIELDS
    ):
        raise RateLimitError("charges must be Charge tuples: a policy's name, a subject and a cost")
    return charge


def _microseconds(now: float) -> int:
    if not isinstance(now, int | float) or not 0 < now < _LATEST_S:
        raise RateLimitError(f"now must be seconds since 1970, not {now!r}")
    return round(now * US)
