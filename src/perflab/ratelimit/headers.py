"""What a response says about rate limits: fields, status and problem (draft-11, RFC 9457).

draft-11 is draft-ietf-httpapi-ratelimit-headers-11; its sections are cited beside each rule.
"""

from __future__ import annotations

import math
import time
from functools import lru_cache
from typing import Any, Final

import http_sf
import msgspec

from perflab.ratelimit.decision import Decision, Quota
from perflab.ratelimit.policies import Policy

QUOTA_EXCEEDED: Final = "https://iana.org/assignments/http-problem-types#quota-exceeded"
"""Section 5.1."""
REDUCED_CAPACITY: Final = (
    "https://iana.org/assignments/http-problem-types#temporary-reduced-capacity"
)
"""Section 5.2."""
PROBLEM_JSON: Final = "application/problem+json"

Fields = list[tuple[str, str]]


class Problem(msgspec.Struct, frozen=True, rename="kebab"):
    """The body of a refusal (RFC 9457); ``violated_policies`` is the draft's own member."""

    type: str
    title: str
    status: int
    violated_policies: tuple[str, ...]


_encode: Final = msgspec.json.Encoder().encode


def status(decision: Decision) -> int:
    """429 where a quota is exceeded; 503 where nobody knows, since Redis did not answer."""
    if decision.allowed:
        return 200
    return 503 if decision.unavailable else 429


def problem(decision: Decision) -> bytes:
    """The body of a response to a request that may not pass, of the type ``PROBLEM_JSON``."""
    if decision.unavailable:
        title = "Request cannot be satisfied due to temporary server capacity constraints"
        return _encode(Problem(REDUCED_CAPACITY, title, 503, decision.violated))
    title = "Request cannot be satisfied as assigned quota has been exceeded"
    return _encode(Problem(QUOTA_EXCEEDED, title, 429, decision.violated))


def fields(decision: Decision, *, legacy: bool = False, wall: float | None = None) -> Fields:
    """The response fields, names in lower case.

    - ``ratelimit-policy``: each policy with ``q``, its limit, and ``w``, its period, left out
      where that is no whole number of seconds (section 3.1.3).
    - ``ratelimit``: each policy with ``r``, the units left, and ``t``, the seconds within which
      no more than those can be used: until one more is free (section 4.1.2). Left out where all
      are. A policy about which nothing is known is not in it, nor is one in shadow.
    - ``retry-after``: only where the request may not pass: until the same request can. It is not
      before the end of ``t`` of a policy that denied (section 6).

    Args:
        decision: of one request.
        legacy: also ``x-ratelimit-limit``, ``-remaining`` and ``-reset`` of the policy with the
            smallest share left, reset as seconds since 1970. No standard defines them.
        wall: seconds since 1970, for the legacy reset; None for now.
    """
    policies, limits, known = [], [], []
    for quota in decision.quotas:
        if quota.policy.shadow:
            continue
        policies.append(_policy(quota.policy))
        if quota.remaining is not None:
            limits.append(_limit(quota))
            known.append(quota)
    found: Fields = []
    if policies:
        found.append(("ratelimit-policy", ", ".join(policies)))
    if limits:
        found.append(("ratelimit", ", ".join(limits)))
    if not decision.allowed:
        found.append(("retry-after", str(max(1, math.ceil(decision.retry_after_s)))))
    if legacy and known:
        tightest = min(known, key=lambda quota: (quota.remaining or 0) / quota.policy.limit)
        reset = (time.time() if wall is None else wall) + tightest.reset_s
        found += [
            ("x-ratelimit-limit", str(tightest.policy.limit)),
            ("x-ratelimit-remaining", str(tightest.remaining)),
            ("x-ratelimit-reset", str(math.ceil(reset))),
        ]
    return found


@lru_cache(256)
def _policy(policy: Policy) -> str:
    """A member of ``ratelimit-policy``; members are joined with commas (RFC 9651 §4.1.1)."""
    parameters: dict[str, Any] = {"q": policy.limit}
    if policy.period_s == int(policy.period_s):
        parameters["w"] = int(policy.period_s)
    return http_sf.ser([(policy.name, parameters)])


def _limit(quota: Quota) -> str:
    # a policy's name needs no escaping, and a serialiser costs more than the check
    text = f'"{quota.policy.name}";r={quota.remaining}'
    return f"{text};t={math.ceil(quota.next_s)}" if quota.next_s > 0 else text
