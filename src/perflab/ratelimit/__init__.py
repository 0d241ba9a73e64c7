"""Rate limits shared by processes: decided atomically in Redis, one script call a tick.

``RateLimiter.check`` decides for one policy and subject, ``check_all`` for several together,
``RateLimitMiddleware`` for the requests of an ASGI application. Policies are ``Policy`` structs or
come out of a TOML file with ``load_policies``; whose quota it is, a ``Subject`` says.

What holds, and what does not:

- How much each algorithm admits in the worst case is in ``Policy``.
- Atomic over several policies on one server, and on a Redis Cluster for one subject; for several
  subjects on a cluster see ``RateLimiter``.
- What a process holds by a ``lease`` admits nothing that Redis would deny. Another process may be
  denied what is held.
- A Redis that evicts keys (any ``maxmemory-policy`` but ``noeviction``) forgets quotas when full.
  A failover to a replica forgets what was not replicated yet.
- While Redis does not answer, each policy decides by its ``on_outage``. Requests decided then may
  be charged as well, if the call arrives late.
"""

from perflab.ratelimit.decision import Charge, Decision, Quota
from perflab.ratelimit.errors import RateLimitError, RateLimitUnavailable
from perflab.ratelimit.headers import fields, problem, status
from perflab.ratelimit.limiter import RateLimiter
from perflab.ratelimit.middleware import RateLimitMiddleware, by_path, client_address
from perflab.ratelimit.policies import (
    API,
    AUTH,
    DEFAULT_POLICIES,
    HEAVY,
    REALTIME,
    Policy,
    load_policies,
)
from perflab.ratelimit.stats import QuotaStats, RateLimitStats
from perflab.ratelimit.subjects import Subject, TrustedProxies

__all__ = [
    "API",
    "AUTH",
    "DEFAULT_POLICIES",
    "HEAVY",
    "REALTIME",
    "Charge",
    "Decision",
    "Policy",
    "Quota",
    "QuotaStats",
    "RateLimitError",
    "RateLimitMiddleware",
    "RateLimitStats",
    "RateLimitUnavailable",
    "RateLimiter",
    "Subject",
    "TrustedProxies",
    "by_path",
    "client_address",
    "fields",
    "load_policies",
    "problem",
    "status",
]
