"""What the habit screens ask."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
from sqlalchemy import BigInteger, Date, and_, bindparam, func, literal_column, select

from perflab.schema.population import NOW, Draw, Population
from perflab.schema.query import Query, query
from perflab.schema.statements.draws import owner, wide
from perflab.schema.tables import habit_entries, habits

_user = bindparam("user_id", type_=BigInteger())
_habit = bindparam("habit_id", type_=BigInteger())
_today = bindparam("today", type_=Date())
_since = bindparam("since", type_=Date())
TODAY = NOW.date()


def draw_habit(rng: np.random.Generator, population: Population) -> int:
    """A habit of somebody in proportion to activity."""
    habit = 0
    while habit == 0:  # a few users have none
        user = population.draw_users(rng, 1)
        habit = int(population.habits.pick(user, rng.random(1))[0])
    return habit


def _history(rng: np.random.Generator, population: Population) -> Draw:
    days, label = wide(rng, (7, 31, 366))
    return Draw(
        {"habit_id": draw_habit(rng, population), "since": TODAY - timedelta(days=days)}, label
    )


def _streak(rng: np.random.Generator, population: Population) -> Draw:
    return Draw({"habit_id": draw_habit(rng, population), "today": TODAY}, "typical")


def _today_screen(rng: np.random.Generator, population: Population) -> Draw:
    # most look at today, some page back through the week
    day = TODAY - timedelta(days=int(rng.choice(7, p=(0.6, 0.15, 0.05, 0.05, 0.05, 0.05, 0.05))))
    return owner(rng, population, today=day)


def _summary(rng: np.random.Generator, population: Population) -> Draw:
    days = int(rng.choice((7, 30, 90)))
    return owner(rng, population, since=TODAY - timedelta(days=days))


QUERIES: tuple[Query, ...] = (
    query(
        "habit_history",
        "habits",
        "How has this habit gone over these weeks?",
        select(habit_entries.c.entry_date, habit_entries.c.amount)
        .where(habit_entries.c.habit_id == _habit, habit_entries.c.entry_date >= _since)
        .order_by(habit_entries.c.entry_date),
        ("idx_habit_entries_habit_date",),
        _history,
    ),
    query(
        "habit_streak",
        "habits",
        "On which of the last days did I do this, for the streak?",
        select(habit_entries.c.entry_date)
        .where(habit_entries.c.habit_id == _habit, habit_entries.c.entry_date <= _today)
        .order_by(habit_entries.c.entry_date.desc())
        .limit(literal_column("60")),
        ("idx_habit_entries_habit_date",),
        _streak,
    ),
    query(
        "habits_today",
        "habits",
        "Which habits do I have, and which have I ticked today?",
        select(habits.c.id, habits.c.name, habit_entries.c.amount)
        .select_from(habits)
        .join(
            habit_entries,
            and_(habit_entries.c.habit_id == habits.c.id, habit_entries.c.entry_date == _today),
            isouter=True,
        )
        .where(habits.c.user_id == _user, habits.c.archived_at.is_(None)),
        ("idx_habits_user_active", "idx_habit_entries_habit_date"),
        _today_screen,
    ),
    query(
        "habit_summary",
        "habits",
        "How often did I do each of my habits lately?",
        select(
            habits.c.id,
            habits.c.name,
            func.count().label("days"),
            func.sum(habit_entries.c.amount).label("amount"),
        )
        .select_from(habits)
        .join(habit_entries, habit_entries.c.habit_id == habits.c.id)
        .where(
            habits.c.user_id == _user,
            habits.c.archived_at.is_(None),
            habit_entries.c.entry_date >= _since,
        )
        .group_by(habits.c.id),
        ("idx_habits_user_active", "idx_habit_entries_habit_date"),
        _summary,
    ),
)
