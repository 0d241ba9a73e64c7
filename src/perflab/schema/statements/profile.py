"""What signing in and opening the application asks."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
from sqlalchemy import BigInteger, Date, bindparam, func, literal_column, select, true

from perflab.schema.identities import email, tokens
from perflab.schema.population import NOW, Draw, Population
from perflab.schema.query import Query, query
from perflab.schema.rows import PER_USER
from perflab.schema.statements.draws import owner, time_parameter
from perflab.schema.statements.tasks import IS_OPEN
from perflab.schema.tables import (
    goals,
    habit_entries,
    habits,
    notifications,
    profiles,
    sessions,
    tasks,
    users,
)

_user = bindparam("user_id", type_=BigInteger())

_last_session = (
    select(sessions.c.created_at, sessions.c.user_agent)
    .where(sessions.c.user_id == users.c.id)
    .order_by(sessions.c.created_at.desc())
    .limit(literal_column("1"))
    .lateral("last_session")
)


def _sign_in(rng: np.random.Generator, population: Population) -> Draw:
    user, label = population.draw_user(rng)
    typed = email(user)
    return Draw({"email": typed.upper() if rng.random() < 0.1 else typed.lower()}, label)


def _token(rng: np.random.Generator, population: Population) -> Draw:
    # requests come with young tokens: those of the newest tenth of the sessions
    total = PER_USER["sessions"] * population.users
    session = rng.integers(total - total // 10, total + 1, 1)
    token = bytes(tokens(population, session)[0]).decode()
    return Draw({"token_hash": token, "at": NOW}, "typical")


def _streak(rng: np.random.Generator, population: Population) -> Draw:
    return owner(rng, population, since=(NOW - timedelta(days=60)).date())


QUERIES: tuple[Query, ...] = (
    query(
        "sign_in",
        "profile",
        "Who is signing in with this address, with profile and last session?",
        select(
            users.c.id,
            users.c.name,
            users.c.plan,
            profiles.c.time_zone,
            profiles.c.locale,
            profiles.c.preferences,
            _last_session.c.created_at.label("last_session_at"),
            _last_session.c.user_agent,
        )
        .select_from(users)
        .join(profiles, profiles.c.user_id == users.c.id)
        .join(_last_session, true(), isouter=True)
        .where(func.lower(users.c.email) == func.lower(bindparam("email"))),
        ("idx_users_email_lower", "idx_sessions_user_recent"),
        _sign_in,
    ),
    query(
        "session_by_token",
        "profile",
        "Whose request is this?",
        select(sessions.c.id, sessions.c.user_id, users.c.plan)
        .select_from(sessions)
        .join(users, users.c.id == sessions.c.user_id)
        .where(
            sessions.c.token_hash == bindparam("token_hash"),
            sessions.c.revoked_at.is_(None),
            sessions.c.expires_at > time_parameter("at"),
        ),
        ("idx_sessions_token",),
        _token,
    ),
    query(
        "open_task_counts",
        "profile",
        "How many open tasks do I have, by status?",
        select(tasks.c.status, func.count().label("tasks"))
        .where(tasks.c.user_id == _user, IS_OPEN)
        .group_by(tasks.c.status),
        ("idx_tasks_user_status",),
        owner,
    ),
    query(
        "unread_badge",
        "profile",
        "How many unread notifications do I have?",
        select(func.count()).where(
            notifications.c.user_id == _user, notifications.c.read_at.is_(None)
        ),
        ("idx_notifications_unread",),
        owner,
    ),
    query(
        "streak_input",
        "profile",
        "On which of the last 60 days did I do any of my habits?",
        select(habit_entries.c.entry_date)
        .distinct()
        .select_from(habits)
        .join(habit_entries, habit_entries.c.habit_id == habits.c.id)
        .where(
            habits.c.user_id == _user,
            habits.c.archived_at.is_(None),
            habit_entries.c.entry_date >= bindparam("since", type_=Date()),
        )
        .order_by(habit_entries.c.entry_date.desc()),
        ("idx_habits_user_active", "idx_habit_entries_habit_date"),
        _streak,
    ),
    query(
        "goals_active",
        "profile",
        "Which goals am I working on, the nearest first?",
        select(goals.c.id, goals.c.title, goals.c.progress, goals.c.target_date)
        .where(goals.c.user_id == _user, goals.c.status == literal_column("'active'"))
        .order_by(goals.c.target_date)
        .limit(literal_column("5")),
        ("idx_goals_active",),
        owner,
    ),
)
