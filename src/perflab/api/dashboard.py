"""``GET /analytics/dashboard``: six of the workload's queries, read together and kept long."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any, Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from perflab.api.authentication import signed_in
from perflab.api.invalidation import dashboard_tag
from perflab.api.parts import Parts
from perflab.api.reading import Reads, as_sent
from perflab.api.routing import Operation, Resource, resource
from perflab.cache import ANALYTICS
from perflab.database.pool import Connection
from perflab.schema.queries import find_query

DASHBOARD: Final = as_sent(ANALYTICS)
DAYS: Final = 30

_ACTIVITY: Final = find_query("user_activity").sql.encode()
_PROGRESS: Final = find_query("project_progress").sql.encode()
_TREND: Final = find_query("completion_trend").sql.encode()
_OPEN: Final = find_query("open_task_counts").sql.encode()
_UNREAD: Final = find_query("unread_badge").sql.encode()
_GOALS: Final = find_query("goals_active").sql.encode()


class Project(msgspec.Struct, frozen=True):
    """How far an active project is."""

    id: int
    tasks: int
    done: int


class Goal(msgspec.Struct, frozen=True):
    """A goal that is worked on."""

    id: int
    title: str
    progress: int
    target_date: date


class Day(msgspec.Struct, frozen=True):
    """Tasks finished on one day (UTC)."""

    day: date
    done: int


class Dashboard(msgspec.Struct, frozen=True, kw_only=True):
    """The figures of one user."""

    days: int
    """How far back activity and completed tasks go."""
    activity: dict[str, int]
    """Events by type."""
    projects: list[Project]
    completed: list[Day]
    open_tasks: dict[str, int]
    """By status."""
    unread: int
    goals: list[Goal]


class Analytics:
    """The endpoint of the dashboard."""

    def __init__(self, parts: Parts) -> None:
        self._clock = parts.clock
        self._reads = Reads(parts)

    def routes(self) -> list[Resource]:
        """The routes of these endpoints."""
        return [resource("/analytics/dashboard", get=Operation(self.dashboard, {200: Dashboard}))]

    async def dashboard(self, request: Request) -> Response:
        """The user's figures."""
        user_id = signed_in(request).user_id
        since = datetime.fromtimestamp(self._clock(), UTC) - timedelta(days=DAYS)
        tag = dashboard_tag(user_id)
        return await self._reads.one(
            tag, lambda conn: _read(conn, user_id, since), policy=DASHBOARD, tags=[tag]
        )


async def _read(conn: Connection, user_id: int, since: datetime) -> Dashboard:
    """All figures of one moment."""
    asked = {"user_id": user_id, "since": since}

    async def rows(statement: bytes) -> list[tuple[Any, ...]]:
        return await (await conn.execute(statement, asked)).fetchall()

    async with conn.transaction():
        await conn.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        return Dashboard(
            days=DAYS,
            activity=dict(sorted(await rows(_ACTIVITY))),
            projects=[Project(*row) for row in sorted(await rows(_PROGRESS))],
            completed=[Day(day.date(), done) for day, done in await rows(_TREND)],
            open_tasks=dict(sorted(await rows(_OPEN))),
            unread=(await rows(_UNREAD))[0][0],
            goals=[Goal(*row) for row in await rows(_GOALS)],
        )
