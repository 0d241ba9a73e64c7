"""Units charged ahead: a process takes several of a key at once and hands them out itself.

GCRA charges a unit by moving the theoretical arrival time (TAT) on by T = period / limit, so that
each unit owns a slot of length T, disjoint from all others, which has drained when its end has
passed. A unit taken ahead may be handed out as long as none of its slot has drained: at a time s
with s + T <= end. Nothing is admitted then that GCRA would deny: of units handed out within
[a, b], the slots end no earlier than a + T and no later than b + burst·T, hence they are at most
(b - a) / T + burst, whoever handed them out. What is not handed out drains like any other unit.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from perflab.ratelimit.decision import Quota
from perflab.ratelimit.local import Part
from perflab.ratelimit.policies import US, Policy
from perflab.ratelimit.script import REST, WAIT
from perflab.ratelimit.shared import Reply

Decide = Callable[[Part], Awaitable[Reply]]

SHARE: Final = 10
"""A process takes at most this part of the units that are left, so that others find some: the
fewer are left, the fewer it holds, and none of the last ten."""
_ROUNDED: Final = 2
"""Microseconds that two clocks' whole ones may be off: a held unit drains so much sooner here."""


class _Key:
    """What this process knows of a key, and what it holds."""

    __slots__ = ("asking", "capacity", "end", "held", "interval", "until")

    def __init__(self, policy: Policy) -> None:
        self.capacity = policy.capacity
        self.interval = policy.interval_us
        self.until = 0
        """The TAT."""
        self.held = 0
        """Units, in the last slots before ``end``."""
        self.end = 0
        self.asking = False

    def usable(self, now: int) -> int:
        """Held units of whose slots nothing has drained."""
        return max(0, min(self.held, (self.end - now) // self.interval))

    def told(self, found: Sequence[int], asked_at: int) -> Sequence[int]:
        """What Redis answered; where it charged, the units held count as left."""
        room, wait, more, rest, mark = found
        self.until = asked_at + rest
        if wait > 0:
            return found
        held = self.usable(asked_at)
        return room + held, wait, more, max(0, rest - held * self.interval), mark

    def rest(self, now: int) -> int:
        """Until all units are left, if those held are as good as free."""
        return max(0, self.until - self.held * self.interval - now)

    def room(self, rest: int) -> int:
        """Units that are left with so much to drain."""
        return self.capacity + -rest // self.interval


class Leases:
    """Units of GCRA policies that this process holds, of at most ``max_keys`` keys.

    Times are whole microseconds of a monotonic clock of this process. Redis decides after it was
    asked, so what it says of time to come counts from the moment of asking: never too late.
    """

    def __init__(self, max_keys: int) -> None:
        self._max_keys = max_keys
        self._keys: dict[str, _Key] = {}

    def __len__(self) -> int:
        return len(self._keys)

    def spend(self, part: Part, now: int) -> Quota | None:
        """Hand out what a check costs; None where less is held."""
        key = self._keys.get(part.key)
        if key is None or not key.held:
            return None
        held = key.usable(now)
        if held < part.cost:
            return None
        key.held = held - part.cost
        rest = key.rest(now)
        room = key.room(rest)
        more = rest - (key.capacity - room - 1) * key.interval if rest else 0
        return Quota(part.policy, True, "lease", room, 0.0, more / US, rest / US)

    async def ask(self, part: Part, asked_at: int, decide: Decide) -> Reply:
        """What Redis says of a check; whoever comes back takes some units ahead.

        Args:
            part: what is asked.
            asked_at: now.
            decide: asks Redis.
        """
        ahead = self._ahead(part, asked_at)
        if ahead:
            more = Part(part.policy, part.number, part.key, part.cost + ahead)
            key = self._keys[part.key]
            key.asking = True
            try:
                found = await decide(more)
            finally:
                key.asking = False
            if found is None:
                return None
            if found[WAIT] <= 0:
                # what was held before was less than the cost, and is given up
                key.held, key.end = ahead, asked_at + found[REST] - _ROUNDED
                return key.told(found, asked_at)
        # a first visit, or others have left less than was thought
        found = await decide(part)
        return None if found is None else self._known(part).told(found, asked_at)

    def forget(self, name: str) -> None:
        """Hold nothing of a key."""
        self._keys.pop(name, None)

    def _ahead(self, part: Part, now: int) -> int:
        """Units to take beyond the cost: none at a first visit, nor while some are asked for."""
        key = self._keys.get(part.key)
        if key is None or key.asking:
            return 0
        units = min(part.policy.lease, key.room(key.rest(now)) // SHARE)
        return max(0, units - part.cost)

    def _known(self, part: Part) -> _Key:
        key = self._keys.get(part.key)
        if key is None:
            if len(self._keys) >= self._max_keys:
                del self._keys[next(iter(self._keys))]
            key = self._keys[part.key] = _Key(part.policy)
        return key
