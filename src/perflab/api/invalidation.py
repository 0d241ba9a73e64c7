"""Which cached reads a write affects: names of keys and tags, and the purge around a write."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from typing import Final

from perflab.api.problems import Problem
from perflab.cache import TieredCache

SHOWN_ON_DASHBOARD: Final = frozenset({"status", "project_id"})
"""The fields of a task that a dashboard's figures depend on."""


def lists_tag(user_id: int) -> str:
    """Of every page of a user's tasks."""
    return f"tasks:{user_id}"


def task_key(user_id: int, task_id: int) -> str:
    """Of one task. The user is in it: nobody is served another's copy."""
    return f"task:{user_id}:{task_id}"


def dashboard_tag(user_id: int) -> str:
    """Of a user's dashboard."""
    return f"dashboard:{user_id}"


@asynccontextmanager
async def purging(
    cache: TieredCache, *, keys: Collection[str] = (), tags: Collection[str] = ()
) -> AsyncIterator[None]:
    """Purge after the body, which commits a write of its own.

    Also where it fails, since a lost connection leaves the fate of a commit unknown; not where it
    ends in a Problem, before which everything was rolled back.
    """
    try:
        yield
    except Problem:
        raise
    except BaseException:
        await cache.invalidate(keys=keys, tags=tags)
        raise
    await cache.invalidate(keys=keys, tags=tags)
