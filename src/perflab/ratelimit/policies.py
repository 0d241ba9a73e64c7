"""Rate-limit policies: how much, in what time, by which algorithm, and what an outage means."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Final, Literal, get_args

import msgspec
from msgspec import Meta

from perflab.config import error_at, load_toml
from perflab.ratelimit.errors import RateLimitError

Algorithm = Literal["gcra", "sliding_log", "sliding_counter", "fixed_window"]
ALGORITHMS: Final[tuple[Algorithm, ...]] = get_args(Algorithm)

OnOutage = Literal["closed", "open", "local"]
ON_OUTAGE: Final[tuple[OnOutage, ...]] = get_args(OnOutage)

US: Final = 1_000_000
"""Microseconds of a second: all deciding is done in whole ones, which a double holds exactly."""

MAX_LOG: Final = 1_000
"""Entries that a sliding log may have: it costs 8 bytes each, read and written by every check."""
MIN_INTERVAL_US: Final = 10
"""Between two units, so that rounding it up to a whole microsecond takes at most a tenth."""
MAX_PERIOD_S: Final = 366 * 86_400.0

_NAME: Final = re.compile(r"[a-z][a-z0-9_-]{0,62}")
_EXACT: Final = 2**53
"""Integers up to this are exact in a double, the only number that Lua has."""
_Problem = tuple[str, str]


class Policy(msgspec.Struct, frozen=True, kw_only=True, cache_hash=True):
    """A quota: ``limit`` units of cost in ``period_s`` seconds for each subject.

    The worst that each algorithm admits in any window of one period (half-open, so that two
    requests exactly one period apart are not in one window):

    - ``sliding_log``: exactly ``limit``. It remembers every unit, 8 bytes each.
    - ``gcra``: ``burst + limit - 1`` at cost 1, that is up to twice the limit where the burst is
      the limit: the burst at once, and then what flows in again while it is used up.
    - ``sliding_counter``: up to twice the limit, spread out: a full window's units at its very
      end, and as many again while their weight fades in the next.
    - ``fixed_window``: twice the limit at once, around the boundary of two windows.

    Raises:
        RateLimitError: a field has no usable value; the message names policy and field.
    """

    name: str
    """Up to 63 of ``a-z0-9_-``, a letter first: what the response fields call it."""
    limit: int
    """Units in a period."""
    period_s: float
    algorithm: Algorithm = "gcra"
    burst: int | None = None
    """GCRA only: units that may come at once after a pause; None stands for ``limit``."""
    lease: int = 1
    """GCRA only: units that a process may take at once, to hand out what is left of them itself
    without asking Redis. It admits what GCRA admits and no more; a process may deny while another
    holds up to ``lease - 1`` units, but never more than a tenth of what was left."""
    on_outage: OnOutage = "local"
    """What is decided while Redis does not answer. ``closed``: nobody passes. ``open``: everybody
    passes. ``local``: each process counts for itself and from zero, so that P processes together
    admit up to P times the limit."""
    shadow: bool = False
    """Decide and count, but let pass: how a new limit is tried out."""
    sensitive: bool = False
    """Guards against guessing a secret, so ``on_outage`` may not be ``open``. A policy of the
    name ``auth`` is sensitive in any case."""

    def __post_init__(self) -> None:
        problem = _problem(self)
        if problem is not None:
            field, reason = problem
            raise RateLimitError(f"policy {_shown(self.name)}: {field} {reason}")

    @property
    def period_us(self) -> int:
        """The period in whole microseconds."""
        return round(self.period_s * US)

    @property
    def interval_us(self) -> int:
        """GCRA's T = period / limit, rounded up: the limit is never exceeded by rounding."""
        return -(-self.period_us // self.limit)

    @property
    def capacity(self) -> int:
        """The most units that may pass at once."""
        return self.limit if self.burst is None else self.burst

    @property
    def worst_case(self) -> int:
        """The most units of cost 1 that any half-open window of one period can admit."""
        if self.algorithm == "sliding_log":
            return self.limit
        return self.capacity + self.limit - 1 if self.algorithm == "gcra" else 2 * self.limit


class PolicyTable(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A policy as a TOML table, whose name is the policy's; the fields are ``Policy``'s."""

    limit: Annotated[int, Meta(ge=1)]
    period_s: Annotated[float, Meta(gt=0)]
    algorithm: Algorithm = "gcra"
    burst: Annotated[int, Meta(ge=1)] | None = None
    lease: Annotated[int, Meta(ge=1)] = 1
    on_outage: OnOutage = "local"
    shadow: bool = False
    sensitive: bool = False


def load_policies(path: Path) -> tuple[Policy, ...]:
    """The policies of a TOML file, one table each::

        [auth]
        limit = 10
        period_s = 900
        algorithm = "sliding_log"

    A ConfigError names file, line, key and reason.
    """
    tables = load_toml(path, dict[str, PolicyTable])
    if not tables:
        raise error_at(path, [], "there is no policy in it; a table [api] with limit and period_s")
    policies = []
    for name, table in tables.items():
        fields = msgspec.structs.asdict(table)
        problem = _problem_of(name=name, **fields)
        if problem is not None:
            field, reason = problem
            steps: list[str | int] = [name] if field == "name" else [name, field]
            raise error_at(path, steps, reason)
        policies.append(Policy(name=name, **fields))
    return tuple(policies)


def by_name(policies: Iterable[Policy]) -> dict[str, Policy]:
    """The policies by their names; a RateLimitError where two share one or there is none."""
    found: dict[str, Policy] = {}
    if not isinstance(policies, Iterable):
        kind = type(policies).__name__
        raise RateLimitError(f"policies must be a list of Policy structs, not one {kind}")
    for policy in policies:
        if not isinstance(policy, Policy):
            raise RateLimitError(f"policies must be Policy structs, not {type(policy).__name__}")
        if policy.name in found:
            raise RateLimitError(f"two policies are called {policy.name!r}; rename one")
        found[policy.name] = policy
    if not found:
        raise RateLimitError("policies is empty; give at least one, for example DEFAULT_POLICIES")
    return found


def _problem(policy: Policy) -> _Problem | None:
    return _problem_of(**msgspec.structs.asdict(policy))


def _problem_of(
    *,
    name: str,
    limit: int,
    period_s: float,
    algorithm: Algorithm,
    burst: int | None,
    lease: int,
    on_outage: OnOutage,
    shadow: bool,
    sensitive: bool,
) -> _Problem | None:
    """The first field without a usable value, and why; None if all is well."""
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        return "name", "must be 1 to 63 of a-z, 0-9, _ and -, a letter first"
    if type(limit) is not int or limit < 1:
        return "limit", f"must be a whole number of at least 1, not {_shown(limit)}"
    if type(period_s) not in (int, float) or not 0 < period_s <= MAX_PERIOD_S:
        return "period_s", f"must be above 0 and at most {MAX_PERIOD_S:.0f}, not {_shown(period_s)}"
    period_us = round(period_s * US)
    if limit * MIN_INTERVAL_US > period_us:
        most = math.floor(period_us / MIN_INTERVAL_US)
        return "limit", f"must be at most {most} in {period_s} s (one in {MIN_INTERVAL_US} µs)"
    if algorithm not in ALGORITHMS:
        return "algorithm", f"must be one of {', '.join(ALGORITHMS)}, not {_shown(algorithm)}"
    if algorithm == "sliding_log" and limit > MAX_LOG:
        return "limit", f"must be at most {MAX_LOG} for a sliding_log, not {limit}; use gcra"
    if algorithm == "sliding_counter" and limit * period_us >= _EXACT:
        most = _EXACT // period_us
        return "limit", f"must be at most {most} for a sliding_counter of {period_s} s; use gcra"
    if burst is not None:
        if algorithm != "gcra":
            return "burst", f"is a matter of gcra, not of {algorithm}; leave it out"
        if type(burst) is not int or not 1 <= burst <= limit:
            return "burst", f"must be from 1 to the limit, {limit}, not {_shown(burst)}"
    if type(lease) is not int or not 1 <= lease <= limit:
        return "lease", f"must be from 1 to the limit, {limit}, not {_shown(lease)}"
    if lease > 1 and algorithm != "gcra":
        return "lease", f"is a matter of gcra, not of {algorithm}; leave it out"
    if on_outage not in ON_OUTAGE:
        return "on_outage", f"must be one of {', '.join(ON_OUTAGE)}, not {_shown(on_outage)}"
    if on_outage == "open" and (sensitive is True or name == "auth"):
        return "on_outage", "must not be open where a secret could be guessed; local or closed"
    for field, value in (("shadow", shadow), ("sensitive", sensitive)):
        if type(value) is not bool:
            return field, f"must be true or false, not {_shown(value)}"
    return None


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 40 else text[:40] + "…"


# made last, since making a policy checks it
AUTH: Final = Policy(name="auth", limit=10, period_s=900, algorithm="sliding_log", sensitive=True)
API: Final = Policy(name="api", limit=1_000, period_s=900)
HEAVY: Final = Policy(name="heavy", limit=10, period_s=60, algorithm="sliding_log")
REALTIME: Final = Policy(name="realtime", limit=50, period_s=5)

DEFAULT_POLICIES: Final = (AUTH, API, HEAVY, REALTIME)
