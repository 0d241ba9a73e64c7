"""Which cached reads a write affects: the names of keys and tags."""

from __future__ import annotations

from typing import Final

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
