"""What the dashboards ask: aggregates of one user, of one type of event, of everyone."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
from sqlalchemy import BigInteger, Date, bindparam, distinct, func, literal_column, select, text
from sqlalchemy.dialects.postgresql import JSONB

from perflab.schema import vocabulary as words
from perflab.schema.population import NOW, Draw, Population
from perflab.schema.query import Query, query
from perflab.schema.statements.draws import LABELS, ago, owner, time_parameter, wide
from perflab.schema.tables import analytics_events, habit_entries, projects, tasks

_user = bindparam("user_id", type_=BigInteger())
_since = time_parameter("since")
_until = time_parameter("until")


def _activity(rng: np.random.Generator, population: Population) -> Draw:
    return owner(rng, population, since=ago(days=30))


def _trend(rng: np.random.Generator, population: Population) -> Draw:
    return owner(rng, population, since=ago(days=int(rng.choice((7, 30, 90)))))


def _per_day(rng: np.random.Generator, population: Population) -> Draw:
    rank, label = wide(rng, (int(rng.integers(12, 48)), int(rng.integers(2, 12)), 0))
    until = ago(days=int(rng.integers(0, 28)))
    return Draw(
        {"event_type": words.EVENT_TYPES[rank], "since": until - timedelta(days=7), "until": until},
        label,
    )


def _active(rng: np.random.Generator, population: Population) -> Draw:
    days, label = wide(rng, (1, 3, 7))
    return Draw({"since": ago(days=days)}, label)


def _exposure(rng: np.random.Generator, population: Population) -> Draw:
    number = int(len(words.EXPERIMENTS) * rng.random() ** 2)
    label = LABELS[2] if number < 2 else LABELS[1] if number < 12 else LABELS[0]
    return Draw({"payload": f'{{"experiment": "{words.EXPERIMENTS[number]}"}}'}, label)


def _checkins(rng: np.random.Generator, population: Population) -> Draw:
    days, label = wide(rng, (1, 7, 14))
    return Draw({"since": (NOW - timedelta(days=days)).date()}, label)


_variant = analytics_events.c.payload.op("->>")(literal_column("'variant'"))
_day_of_event = func.date_trunc(
    literal_column("'day'"), analytics_events.c.occurred_at, literal_column("'UTC'")
)
_day_of_completion = func.date_trunc(
    literal_column("'day'"), tasks.c.completed_at, literal_column("'UTC'")
)

QUERIES: tuple[Query, ...] = (
    query(
        "user_activity",
        "analytics",
        "What has this user done in the last 30 days, by type?",
        select(analytics_events.c.event_type, func.count().label("events"))
        .where(analytics_events.c.user_id == _user, analytics_events.c.occurred_at >= _since)
        .group_by(analytics_events.c.event_type),
        ("idx_events_user_time",),
        _activity,
    ),
    query(
        "events_per_day",
        "analytics",
        "How often did this happen on each day of a week?",
        select(_day_of_event.label("day"), func.count().label("events"))
        .where(
            analytics_events.c.event_type == bindparam("event_type"),
            analytics_events.c.occurred_at >= _since,
            analytics_events.c.occurred_at < _until,
        )
        .group_by(text("1"))
        .order_by(text("1")),
        ("idx_events_type_time",),
        _per_day,
    ),
    query(
        "active_users",
        "analytics",
        "How many people were active on the last day, three days or week?",
        select(func.count(distinct(analytics_events.c.user_id))).where(
            analytics_events.c.occurred_at >= _since
        ),
        ("idx_events_time_brin",),
        _active,
    ),
    query(
        "experiment_exposure",
        "analytics",
        "How many people saw each variant of this experiment?",
        select(
            _variant.label("variant"),
            func.count().label("views"),
            func.count(distinct(analytics_events.c.user_id)).label("people"),
        )
        .where(analytics_events.c.payload.contains(bindparam("payload", type_=JSONB())))
        .group_by(text("1")),
        ("idx_events_payload",),
        _exposure,
    ),
    query(
        "project_progress",
        "analytics",
        "How far is each of my active projects?",
        select(
            projects.c.id,
            func.count().label("tasks"),
            func.count().filter(tasks.c.status == literal_column("'done'")).label("done"),
        )
        .select_from(projects)
        .join(tasks, tasks.c.project_id == projects.c.id)
        .where(projects.c.user_id == _user, projects.c.status == literal_column("'active'"))
        .group_by(projects.c.id),
        ("idx_projects_user_active", "idx_tasks_project_status"),
        owner,
    ),
    query(
        "completion_trend",
        "analytics",
        "How many tasks have I finished on each of these days?",
        select(_day_of_completion.label("day"), func.count().label("done"))
        .where(tasks.c.user_id == _user, tasks.c.completed_at >= _since)
        .group_by(text("1"))
        .order_by(text("1")),
        ("idx_tasks_user_completed",),
        _trend,
    ),
    query(
        "checkins_per_day",
        "analytics",
        "How many habits has everyone ticked on each of the last days?",
        select(
            habit_entries.c.entry_date,
            func.count().label("checkins"),
            func.sum(habit_entries.c.amount).label("amount"),
        )
        .where(habit_entries.c.entry_date >= bindparam("since", type_=Date()))
        .group_by(habit_entries.c.entry_date)
        .order_by(habit_entries.c.entry_date),
        ("idx_habit_entries_date_brin",),
        _checkins,
    ),
)
