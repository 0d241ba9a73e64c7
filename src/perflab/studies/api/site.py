"""What is loaded: seeded data, users who are signed in, and servers with and without parts."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final, Protocol

import psycopg

from perflab.api.credentials import create_table
from perflab.api.passwords import hash_password
from perflab.api.settings import ApiSettings, Part
from perflab.database.index_builder import build_indexes
from perflab.datasets import Datasets
from perflab.errors import PerflabError
from perflab.progress import Step
from perflab.schema.population import NOW
from perflab.services import Services
from perflab.studies.api.ceiling import Served, serving_all
from perflab.studies.api.cores import Cores, two_cores
from perflab.studies.api.identities import sign_in
from perflab.studies.api.served import Orders
from perflab.studies.loops import in_own_loop
from perflab.studies.prefixes import own_prefix

PATIENT_S: Final = 0.25
"""What the API may wait for Redis here: a slow moment of the machine shall be seen as a slow
answer, not as a cache that is away."""
PROXY: Final = "127.0.0.1/32"
"""Whose word about a client's address is believed: the generator speaks for many clients."""

_PEOPLE: Final = """
SELECT users.id, users.email, min(tasks.id)
FROM users JOIN tasks ON tasks.user_id = users.id
GROUP BY users.id ORDER BY users.id LIMIT %s
"""
_PASSWORDS: Final = """
INSERT INTO api_credentials (user_id, password_hash)
SELECT unnest(%s::bigint[]), %s
ON CONFLICT (user_id) DO UPDATE SET password_hash = EXCLUDED.password_hash
"""


class Bench(Protocol):
    """What of a lab is needed: ``Lab`` is one."""

    @property
    def datasets(self) -> Datasets:
        """The seeded databases."""

    @property
    def services(self) -> Services:
        """The servers."""


class StudyError(PerflabError):
    """The API cannot be measured as described."""


@dataclass(frozen=True)
class Person:
    """A user who is signed in."""

    user_id: int
    email: str
    task_id: int
    """A task of theirs."""
    token: str


@dataclass(frozen=True, kw_only=True)
class Site:
    """An application's data and its users; servers are made for it by ``serving``."""

    conninfo: str
    services: Services
    cores: Cores
    secret: str
    password: str
    """Of everybody."""
    people: tuple[Person, ...]

    def orders(self, *without: Part) -> Orders:
        """An API with its own keys in Redis, and so with caches and counts of its own."""
        settings = ApiSettings(
            postgres=self.conninfo,
            redis=self.services.redis.url(),
            secret=self.secret,
            prefix=own_prefix(self.services.redis, "api"),
            cache_budget_s=PATIENT_S,
            limiter_budget_s=PATIENT_S,
            trusted_proxies=(PROXY,),
            without=without,
        )
        return Orders(settings=settings, behind_s=time.time() - NOW.timestamp())

    @contextmanager
    def serving(self, orders: Mapping[str, Orders]) -> Iterator[dict[str, Served]]:
        """Servers by name, on one core with Redis and PostgreSQL."""
        services = self.services
        with serving_all(orders, services.postgres, services.redis, self.cores) as served:
            yield served


def make_site(lab: Bench, identities: int, step: Step | None = None) -> Site:
    """The profile's data with the catalogue's indexes, and so many users who are signed in.

    Only users who have tasks. They have one password, stored under a single hash: that costs as
    much to verify as any other.
    """
    conninfo = lab.datasets.clone("api")
    report = build_indexes(conninfo, progress=step)
    if report.failed:
        raise StudyError(f"index {report.failed[0].name}: {report.failed[0].reason}")
    secret, password = secrets.token_urlsafe(32), secrets.token_urlsafe(12)
    people = signed_in(conninfo, secret, password, identities)
    return Site(
        conninfo=conninfo,
        services=lab.services,
        cores=two_cores(),
        secret=secret,
        password=password,
        people=people,
    )


def signed_in(conninfo: str, secret: str, password: str, identities: int) -> tuple[Person, ...]:
    """So many users of a database, with a token each and one password; fewer if there are fewer.

    A StudyError if there is none who has a task.
    """
    with psycopg.connect(conninfo) as conn:
        rows = conn.execute(_PEOPLE, [identities]).fetchall()
    if not rows:
        raise StudyError("no user of this profile has a task; choose one with more users")
    users = [int(row[0]) for row in rows]
    tokens = sign_in(conninfo, secret, users)
    _give_password(conninfo, users, password)
    return tuple(
        Person(int(user), str(email), int(task), token)
        for (user, email, task), token in zip(rows, tokens, strict=True)
    )


def _give_password(conninfo: str, users: Sequence[int], password: str) -> None:
    async def give() -> None:
        async with await psycopg.AsyncConnection.connect(conninfo) as conn:
            await create_table(conn)
            await conn.execute(_PASSWORDS, [list(users), hash_password(password)])

    in_own_loop(give())
