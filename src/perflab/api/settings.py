"""What the API needs to be told, typed and checked; secrets come from the environment."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal, TypeAlias

import msgspec

from perflab.errors import ParameterError
from perflab.ratelimit import API, DEFAULT_POLICIES, Policy

SHORTEST_SECRET: Final = 32
MOST_CONNECTIONS: Final = 10
_NEEDED: Final = ("auth", "api", "heavy", "realtime")

Part: TypeAlias = Literal["cache", "compression", "leases", "limiter", "monitoring", "pool"]
"""What an API can do without."""

POLICIES: Final = tuple(
    msgspec.structs.replace(policy, lease=20) if policy is API else policy
    for policy in DEFAULT_POLICIES
)
"""The limiter's own, but for what a process takes of ``api`` at once: at most a fiftieth of it."""


class ApiSettings(msgspec.Struct, frozen=True, kw_only=True):
    """The settings of one process; printed without the secrets.

    Raises:
        ParameterError: a field has no usable value; the message never repeats a secret.
    """

    postgres: str
    """A libpq connection string to a database with the lab's schema."""
    redis: str
    """``redis://…``."""
    secret: str
    """Signs cursors and tokens; at least 32 characters, the same for all processes of one API."""
    prefix: str = "perflab:api:"
    """Of the keys in Redis."""
    pool_size: int = MOST_CONNECTIONS
    """Connections to PostgreSQL; 1 to 10."""
    wait_timeout_s: float = 1.0
    """How long a request waits for a connection while all are in use."""
    deadline_s: float = 2.0
    """How long a read or write is tried again while PostgreSQL is away; then 503."""
    session_s: float = 14 * 86_400.0
    """How long a login lasts."""
    max_body_bytes: int = 64 * 1024
    """Of a request; more is 413."""
    body_s: float = 10.0
    """In which a request's body must have arrived; else 408."""
    policies: tuple[Policy, ...] = POLICIES
    """Must hold ``auth``, ``api``, ``heavy`` and ``realtime``."""
    trusted_proxies: tuple[str, ...] = ()
    """Networks whose ``X-Forwarded-For`` is believed."""
    password_threads: int = 2
    """Threads that verify passwords; each needs 19 MiB while it does."""
    cache_budget_s: float = 0.010
    """How long a request waits for the cache in Redis."""
    limiter_budget_s: float = 0.020
    """How long a request waits for the limiter in Redis."""
    without: tuple[Part, ...] = ()
    """Parts to leave out, to see what they are worth: every read goes to PostgreSQL, no response
    is compressed, every check of a limit goes to Redis, nobody is refused, requests and the event
    loop's lag go uncounted, every read and write connects anew."""

    def __post_init__(self) -> None:
        for field in ("postgres", "redis"):
            if not getattr(self, field):
                raise ParameterError(f"{field} is empty; give the address of the server")
        if len(self.secret) < SHORTEST_SECRET:
            raise ParameterError(f"secret must have at least {SHORTEST_SECRET} characters")
        if not 1 <= self.pool_size <= MOST_CONNECTIONS:
            raise ParameterError(
                f"pool_size={self.pool_size}: must be from 1 to {MOST_CONNECTIONS}"
            )
        for field in (
            "wait_timeout_s", "deadline_s", "session_s", "max_body_bytes", "body_s",
            "password_threads", "cache_budget_s", "limiter_budget_s",
        ):  # fmt: skip
            if not getattr(self, field) > 0:
                raise ParameterError(f"{field}={getattr(self, field)}: must be above 0")
        missing = set(_NEEDED) - {policy.name for policy in self.policies}
        if missing:
            raise ParameterError(f"policies: {', '.join(sorted(missing))} is missing")

    @property
    def channels_prefix(self) -> str:
        """Of the channels' keys; hubs with the same one are ends of the same channels."""
        return f"{self.prefix}channels:"

    def __repr__(self) -> str:
        return f"ApiSettings(prefix={self.prefix!r}, pool_size={self.pool_size})"

    def __rich_repr__(self) -> list[tuple[str, object]]:
        return [("prefix", self.prefix), ("pool_size", self.pool_size)]


def from_environment(environ: Mapping[str, str]) -> ApiSettings:
    """The settings with addresses and secret from ``PERFLAB_API_*``, else the defaults."""
    names = {field: variable(field) for field in ("postgres", "redis", "secret")}
    missing = [name for name in names.values() if not environ.get(name)]
    if missing:
        raise ParameterError(f"{', '.join(missing)} not set; the API takes its secrets from there")
    postgres, redis, secret = (environ[name] for name in names.values())
    return ApiSettings(postgres=postgres, redis=redis, secret=secret)


def variable(field: str) -> str:
    """The environment variable that may hold a setting."""
    return f"PERFLAB_API_{field.upper()}"
