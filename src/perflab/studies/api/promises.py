"""Promises that are counts: what is compressed, what runs at once, what a quota grants."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Final

import msgspec
import numpy as np
import psycopg

from perflab.load import Request
from perflab.ratelimit import DEFAULT_POLICIES, Policy
from perflab.services import Redis
from perflab.studies.api.caller import Caller
from perflab.studies.api.ceiling import Served
from perflab.studies.api.site import Person, Site, StudyError
from perflab.studies.api.traffic import signed
from perflab.studies.limits.admission import boundary_burst_us, most_within
from perflab.studies.limits.lapse import boundary_us, decide_at, own_limiter
from perflab.studies.loops import in_own_loop

LONGEST_TITLE: Final = 500
MOST_TASKS: Final = 20
BATCHED: Final = 20
"""Parts of a batch: the most that one may have."""
_HELD_S: Final = 0.8
_LOOK_S: Final = 0.02
_IDENTITY: Final = ("Accept-Encoding", "identity")


@dataclass(frozen=True)
class Counts:
    """What was counted, by claim."""

    by_claim: dict[str, float]
    granted: dict[str, int]
    """The most that each policy granted one subject in a window, by its name."""
    policies: tuple[Policy, ...]


def count_promises(site: Site, full: Served, uncached: Served) -> Counts:
    """The threshold of compression, the parts of a batch at once, the worst case of each quota.

    Args:
        site: whose users ask.
        full: a server with all parts.
        uncached: one without a cache, whose reads all reach PostgreSQL.
    """
    granted = {
        policy.name: most_granted(site.services.redis, policy) for policy in DEFAULT_POLICIES
    }
    counts: dict[str, float] = {
        "api.compression.threshold": float(smallest_compressed(full, site.people[0])),
        "api.batch.concurrency": float(most_at_once(site, uncached, site.people[0])),
        **{f"api.{claim}.quota": float(granted[name]) for claim, name in _QUOTAS.items()},
    }
    return Counts(counts, granted, DEFAULT_POLICIES)


_QUOTAS: Final = {"auth": "auth", "tasks": "api", "analytics": "heavy", "realtime": "realtime"}


def most_granted(redis: Redis, policy: Policy) -> int:
    """The most units in any window of one period, for a client that makes the most of its quota.

    Time lapse: the real limiter on the real Redis, with the time of each request as an argument.
    """
    return in_own_loop(_granted(redis, policy))


async def _granted(redis: Redis, policy: Policy) -> int:
    offsets = boundary_burst_us(policy)
    start = boundary_us(policy.period_s)
    async with own_limiter(redis, (policy,)) as limiter:
        passed = await decide_at(limiter, policy.name, [start + offset for offset in offsets])
    return most_within(np.array(offsets, np.int64)[np.array(passed)], policy.period_us)


def smallest_compressed(served: Served, person: Person) -> int:
    """Bytes of the smallest body that the API sends compressed to a client that takes gzip.

    Bodies are pages that begin with a new task, whose title is made longer and longer. A
    StudyError if even the longest page is sent as it is.
    """
    with Caller(served.port) as caller:

        def ask(request: Request) -> Any:
            answer = caller.ask(request)
            if answer.status not in (200, 201):
                raise StudyError(f"{request.method} {request.target}: status {answer.status}")
            return answer

        made = ask(signed(person, "POST", "/tasks", {"title": "x"}, _IDENTITY)).body
        task = f"/tasks/{_id_in(made)}"

        def entitle(characters: int) -> None:
            ask(signed(person, "PATCH", task, {"title": "x" * characters}, _IDENTITY))

        def coded(page: str) -> bool:
            return b"content-encoding: gzip" in ask(signed(person, "GET", page)).head.lower()

        entitle(LONGEST_TITLE)
        pages = (f"/tasks?limit={number}" for number in range(1, MOST_TASKS + 1))
        page = next((page for page in pages if coded(page)), None)
        if page is None:
            raise StudyError("no page of tasks is sent compressed")

        def is_coded(characters: int) -> bool:
            entitle(characters)
            return coded(page)

        entitle(_first(is_coded, LONGEST_TITLE))
        return len(ask(signed(person, "GET", page, None, _IDENTITY)).body)


def most_at_once(site: Site, uncached: Served, person: Person) -> int:
    """How many parts of a batch run at the same time, as PostgreSQL sees it.

    All of them read a table that is locked, so that those that have begun can be counted.
    """
    paths = [f"/tasks?limit={number}" for number in range(1, BATCHED + 1)]
    asked = signed(
        person, "POST", "/batch", {"requests": [{"method": "GET", "path": path} for path in paths]}
    )
    with (
        psycopg.connect(site.conninfo) as locking,
        psycopg.connect(site.conninfo, autocommit=True) as looking,
        ThreadPoolExecutor(1) as thread,
        Caller(uncached.port) as caller,
    ):
        caller.ask(asked)  # so that the pool has its connections
        locking.execute("LOCK TABLE tasks IN ACCESS EXCLUSIVE MODE")
        answer = thread.submit(caller.ask, asked)
        most = 0
        try:
            ends = time.perf_counter() + _HELD_S
            while time.perf_counter() < ends:
                row = looking.execute(_WAITING).fetchone()
                most = max(most, int(row[0]) if row else 0)
                time.sleep(_LOOK_S)
        finally:
            locking.rollback()
        if answer.result().status != 200:
            raise StudyError(f"a batch was answered {answer.result().status}")
    return most


_WAITING: Final = """
SELECT count(*) FROM pg_stat_activity
WHERE datname = current_database() AND wait_event_type = 'Lock'
"""


def _first(holds: Callable[[int], bool], most: int) -> int:
    """The smallest number from 1 to ``most`` that it holds for; it holds for ``most``."""
    low, high = 1, most
    while low < high:
        middle = (low + high) // 2
        if holds(middle):
            high = middle
        else:
            low = middle + 1
    return low


def _id_in(body: bytes) -> int:
    return int(msgspec.json.decode(body, type=dict[str, Any])["id"])
