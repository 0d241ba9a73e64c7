"""What workers ask in the background, and one report that no index helps."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
from sqlalchemy import (
    BigInteger,
    SmallInteger,
    bindparam,
    func,
    literal_column,
    select,
    tuple_,
)

from perflab.schema.population import ACTIVITY, NOW, Draw, Population
from perflab.schema.query import Query, query
from perflab.schema.statements.draws import ago, time_parameter, wide
from perflab.schema.statements.tasks import IS_OPEN
from perflab.schema.tables import habits, notifications, sessions, tasks

_since = time_parameter("since")
_until = time_parameter("until")


def _reminders(rng: np.random.Generator, population: Population) -> Draw:
    minutes, label = wide(rng, (5, 60, 24 * 60))
    since = NOW + timedelta(minutes=int(rng.integers(-600, 600)))
    return Draw({"since": since, "until": since + timedelta(minutes=minutes)}, label)


def _habit_reminders(rng: np.random.Generator, population: Population) -> Draw:
    # the worker wakes up every minute; after an outage it catches up on more
    minutes, label = wide(rng, (1, 5, 15))
    start = int(rng.integers(0, 1440 - minutes))
    return Draw({"from_minute": start, "to_minute": start + minutes}, label)


def _expired(rng: np.random.Generator, population: Population) -> Draw:
    return Draw({"at": ago(days=float(rng.integers(0, 5)))}, "typical")


def _purge(rng: np.random.Generator, population: Population) -> Draw:
    days, label = wide(rng, (170, 120, 90))
    return Draw({"until": ago(days=days)}, label)


def _export(rng: np.random.Generator, population: Population) -> Draw:
    after = ACTIVITY + (NOW - ACTIVITY) * float(rng.random())
    return Draw({"after": after, "after_id": 0}, "typical")


def _report(rng: np.random.Generator, population: Population) -> Draw:
    return Draw({"at": NOW}, "heavy")


QUERIES: tuple[Query, ...] = (
    query(
        "reminders_due",
        "housekeeping",
        "Which reminders of open tasks are to be sent now?",
        select(tasks.c.id, tasks.c.user_id, tasks.c.title)
        .where(IS_OPEN, tasks.c.reminder_at >= _since, tasks.c.reminder_at < _until)
        .order_by(tasks.c.reminder_at)
        .limit(literal_column("500")),
        ("idx_tasks_reminders",),
        _reminders,
    ),
    query(
        "habit_reminders_due",
        "housekeeping",
        "Which habits want a reminder in these minutes of the day?",
        select(habits.c.id, habits.c.user_id, habits.c.name).where(
            habits.c.archived_at.is_(None),
            habits.c.reminder_minute >= bindparam("from_minute", type_=SmallInteger()),
            habits.c.reminder_minute < bindparam("to_minute", type_=SmallInteger()),
        ),
        ("idx_habits_reminder",),
        _habit_reminders,
    ),
    query(
        "sessions_expired",
        "housekeeping",
        "Which sessions have run out, the oldest first?",
        select(sessions.c.id)
        .where(sessions.c.revoked_at.is_(None), sessions.c.expires_at < time_parameter("at"))
        .order_by(sessions.c.expires_at)
        .limit(literal_column("100")),
        ("idx_sessions_expiry",),
        _expired,
    ),
    query(
        "notifications_to_purge",
        "housekeeping",
        "Which notifications were read so long ago that they can go?",
        select(notifications.c.id)
        .where(notifications.c.read_at < _until)
        .order_by(notifications.c.read_at)
        .limit(literal_column("500")),
        ("idx_notifications_read",),
        _purge,
    ),
    query(
        "export_page",
        "housekeeping",
        "The next 200 tasks for the warehouse, in order of creation.",
        select(tasks.c.id, tasks.c.user_id, tasks.c.status, tasks.c.created_at)
        .where(
            tuple_(tasks.c.created_at, tasks.c.id)
            > tuple_(time_parameter("after"), bindparam("after_id", type_=BigInteger()))
        )
        .order_by(tasks.c.created_at, tasks.c.id)
        .limit(literal_column("200")),
        ("idx_tasks_created",),
        _export,
    ),
    query(
        "workload_report",
        "housekeeping",
        "How many tasks of each status and priority are there, and how many late?",
        # reads every row: the catalogue has no index for it, and none is worth its upkeep
        select(
            tasks.c.status,
            tasks.c.priority,
            func.count().label("tasks"),
            func.count().filter(tasks.c.due_date < time_parameter("at")).label("past_due"),
        ).group_by(tasks.c.status, tasks.c.priority),
        (),
        _report,
    ),
)
