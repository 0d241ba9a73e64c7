"""What the task screens ask."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
from sqlalchemy import BigInteger, bindparam, func, literal_column, select, text, tuple_

from perflab.schema import vocabulary as words
from perflab.schema.population import ACTIVITY, Draw, Population
from perflab.schema.query import Query, query
from perflab.schema.statements.draws import ago, one_of, owner, time_parameter
from perflab.schema.tables import tasks

_user = bindparam("user_id", type_=BigInteger())

# Spelled out in the statement and not sent as parameters: a partial index is used only if
# the planner can see that its condition holds, also in a generic plan.
IS_OPEN = text("tasks.status IN ('todo', 'in_progress')")


def _by_status(rng: np.random.Generator, population: Population) -> Draw:
    status = ("todo", "in_progress", "done")[int(rng.choice(3, p=(0.5, 0.3, 0.2)))]
    return owner(rng, population, status=status)


def _due(rng: np.random.Generator, population: Population) -> Draw:
    days = one_of(rng, (1, 7, 7, 31))
    since = ago(days=float(rng.integers(0, 7)))
    return owner(rng, population, since=since, until=since + timedelta(days=days))


def _feed(rng: np.random.Generator, population: Population) -> Draw:
    # mostly the first pages, sometimes somewhere in the middle of the past
    back = float(rng.exponential(20.0))
    before = max(ago(days=back), ACTIVITY)
    return owner(rng, population, before=before, before_id=2**62)


def _prefix(rng: np.random.Generator, population: Population) -> Draw:
    verb = one_of(rng, words.VERBS)
    what = one_of(rng, words.OBJECTS).lower()
    length = one_of(rng, (3, len(verb), len(verb) + 3))
    return owner(rng, population, prefix=f"{verb} {what}"[:length] + "%")


QUERIES: tuple[Query, ...] = (
    query(
        "tasks_by_status",
        "tasks",
        "What is in this column of my board?",
        select(tasks.c.id, tasks.c.title, tasks.c.priority, tasks.c.due_date)
        .where(tasks.c.user_id == _user, tasks.c.status == bindparam("status"))
        .order_by(tasks.c.updated_at.desc())
        .limit(literal_column("50")),
        ("idx_tasks_user_status",),
        _by_status,
    ),
    query(
        "tasks_due_between",
        "tasks",
        "What of mine is due in these days?",
        select(tasks.c.id, tasks.c.title, tasks.c.status, tasks.c.due_date)
        .where(
            tasks.c.user_id == _user,
            tasks.c.due_date >= time_parameter("since"),
            tasks.c.due_date < time_parameter("until"),
        )
        .order_by(tasks.c.due_date),
        ("idx_tasks_user_due_date",),
        _due,
    ),
    query(
        "tasks_feed",
        "tasks",
        "The next page of everything I have written down, newest first.",
        select(tasks.c.id, tasks.c.title, tasks.c.status, tasks.c.created_at)
        .where(
            tasks.c.user_id == _user,
            tuple_(tasks.c.created_at, tasks.c.id)
            < tuple_(time_parameter("before"), bindparam("before_id", type_=BigInteger())),
        )
        .order_by(tasks.c.created_at.desc(), tasks.c.id.desc())
        .limit(literal_column("25")),
        ("idx_tasks_user_feed",),
        _feed,
    ),
    query(
        "tasks_focus",
        "tasks",
        "Which ten open tasks should I do first?",
        select(tasks.c.id, tasks.c.title, tasks.c.priority, tasks.c.due_date)
        .where(tasks.c.user_id == _user, IS_OPEN)
        .order_by(tasks.c.priority.desc(), tasks.c.due_date)
        .limit(literal_column("10")),
        ("idx_tasks_open_priority",),
        owner,
    ),
    query(
        "tasks_title_prefix",
        "tasks",
        "Which of my tasks begin with what I have typed so far?",
        select(tasks.c.id, tasks.c.title)
        .where(tasks.c.user_id == _user, func.lower(tasks.c.title).like(bindparam("prefix")))
        .limit(literal_column("10")),
        ("idx_tasks_user_title",),
        _prefix,
    ),
)
