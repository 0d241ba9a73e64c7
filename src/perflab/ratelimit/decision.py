"""What the limiter answers: one decision, and where each of its policies stands."""

from __future__ import annotations

from typing import Literal, NamedTuple

import msgspec

from perflab.ratelimit.policies import Policy
from perflab.ratelimit.subjects import Subject

Source = Literal["redis", "lease", "memory", "local", "outage"]


class Charge(NamedTuple):
    """A part of what one request costs."""

    policy: str
    """The policy's name."""
    subject: Subject
    cost: int = 1
    """Units."""


class Quota(msgspec.Struct, frozen=True, gc=False):
    """Where one policy stands for one subject after a check."""

    policy: Policy
    allowed: bool
    """Whether the policy had room; False for one in shadow too."""
    source: Source
    """``redis``: decided there. ``lease``: of units that this process had taken there before; what
    others took since is not known. ``memory``: this process remembers that Redis denied it.
    ``local``: counted in this process alone. ``outage``: Redis did not answer, and the policy is
    ``open`` or ``closed``."""
    remaining: int | None = None
    """Units left; None where nobody knows."""
    retry_after_s: float = 0.0
    """Until the same check can succeed if nobody else uses the quota; 0 if allowed."""
    next_s: float = 0.0
    """Until more units than ``remaining`` are left; 0 where all are."""
    reset_s: float = 0.0
    """Until all units are left."""


class Decision(msgspec.Struct, frozen=True, gc=False):
    """Whether a request may pass; true where it may. If not, nothing was charged."""

    allowed: bool
    quotas: tuple[Quota, ...]
    """In the order asked. Where this process remembered a denial, only what it remembers."""

    def __bool__(self) -> bool:
        """Whether it may pass: what somebody means who writes ``if await limiter.check(…)``."""
        return self.allowed

    @property
    def violated(self) -> tuple[str, ...]:
        """The names of the policies that denied it, shadow policies aside."""
        return tuple(one.policy.name for one in self.quotas if _denies(one))

    @property
    def retry_after_s(self) -> float:
        """Until the same request can pass; 0 if it may now."""
        return max((one.retry_after_s for one in self.quotas if _denies(one)), default=0.0)

    @property
    def unavailable(self) -> bool:
        """Whether it was denied only because Redis did not answer."""
        denying = [one.source for one in self.quotas if _denies(one)]
        return bool(denying) and all(source == "outage" for source in denying)


def _denies(quota: Quota) -> bool:
    return not (quota.allowed or quota.policy.shadow)
