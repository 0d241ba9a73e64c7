"""The generator: for each table its rows, chunk by chunk, in the binary COPY format.

Every chunk has a random stream of its own, so that tables and chunks are independent of each
other and of the order in which they are made; memory is bounded by one chunk.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt

from perflab.schema import vocabulary as words
from perflab.schema.checkins import check_ins
from perflab.schema.distributions import (
    HOUR_US,
    NOW_US,
    choose,
    lognormal_us,
    times,
    uniform,
    users_at,
)
from perflab.schema.encode import (
    Field,
    Texts,
    boolean,
    encode,
    fixed,
    json_texts,
    text_array,
)
from perflab.schema.identities import email, tokens
from perflab.schema.population import (
    ACTIVITY,
    CHECK_INS,
    DAY_US,
    EVENTS,
    SIGN_UPS,
    Ints,
    Population,
    us,
)

Chunk = tuple[int, bytes]
"""Number of rows and their bytes."""

CHUNK_ROWS = 16_384

PER_USER = {
    "users": 1,
    "profiles": 1,
    "projects": 2,
    "habits": 3,
    "sessions": 3,
    "tasks": 30,
    "notes": 12,
    "goals": 1,
    "notifications": 8,
    "habit_entries": 25,
    "analytics_events": 20,
}
"""Rows of each table per user, in an order in which foreign keys point backwards."""


def rows_per_table(users: int) -> dict[str, int]:
    """How many rows each table gets."""
    return {table: count * users for table, count in PER_USER.items()}


def chunks(table: str, population: Population) -> Iterator[Chunk]:
    """The rows of ``table`` in time order."""
    total = PER_USER[table] * population.users
    number = list(PER_USER).index(table)
    if table == "habit_entries":
        yield from check_ins(population, total, population.rng(number), CHUNK_ROWS)
        return
    make = _MAKERS[table]
    for part, start in enumerate(range(0, total, CHUNK_ROWS)):
        ids = np.arange(start, min(start + CHUNK_ROWS, total)) + 1
        rng = population.rng(number, part)
        yield len(ids), encode(make(population, rng, ids, total))


_TAG_CDF = words.cdf(words.zipf(len(words.TAGS), words.TAG_SKEW))


def _make_users(
    population: Population, rng: np.random.Generator, ids: Ints, total: int
) -> list[Field]:
    names = [
        f"{words.FIRST_NAMES[u % 26].capitalize()} "
        f"{words.LAST_NAMES[(u * 7 // 26) % 26].capitalize()}"
        for u in ids.tolist()
    ]
    every = np.arange(len(ids))
    return [
        fixed(ids, ">i8"),
        Texts([email(u) for u in ids.tolist()]).take(every),
        Texts(names).take(every),
        _PLANS.take(choose(rng, (0.82, 0.14, 0.04), len(ids))),
        fixed(population.signed_up(ids), ">i8"),
    ]


def _make_profiles(
    population: Population, rng: np.random.Generator, ids: Ints, total: int
) -> list[Field]:
    size = len(ids)
    signed_up = population.signed_up(ids)
    return [
        fixed(ids, ">i8"),
        _TIME_ZONES.take(choose(rng, (30, 25, 15, 12, 8, 10), size)),
        _LOCALES.take(choose(rng, (50, 20, 10, 8, 6, 6), size)),
        _PREFERENCES.take(rng.integers(0, len(_PREFERENCES.lengths), size)),
        fixed(signed_up + (rng.random(size) ** 2 * (NOW_US - signed_up)).astype(np.int64), ">i8"),
    ]


def _make_projects(
    population: Population, rng: np.random.Generator, ids: Ints, total: int
) -> list[Field]:
    size = len(ids)
    user = population.projects.owners[ids - 1]
    signed_up = population.signed_up(user)
    created = signed_up + (rng.random(size) ** 3 * (NOW_US - signed_up)).astype(np.int64)
    # the older a project, the likelier it is archived
    age = (NOW_US - created) / (NOW_US - us(SIGN_UPS))
    return [
        fixed(ids, ">i8"),
        fixed(user, ">i8"),
        _PROJECT_NAMES.take(rng.integers(0, len(words.PROJECT_NAMES), size)),
        _PROJECT_STATUSES.take((rng.random(size) < 0.6 * age).astype(np.int64)),
        fixed(created, ">i8"),
    ]


def _make_habits(
    population: Population, rng: np.random.Generator, ids: Ints, total: int
) -> list[Field]:
    size = len(ids)
    created = population.habit_starts[ids - 1]
    archived = rng.random(size) < 0.2
    archived_at = created + (rng.random(size) * (NOW_US - created)).astype(np.int64)
    # people set reminders on quarters of an hour, mostly in the morning and the evening
    evening = rng.random(size) < 0.5
    minute = np.where(evening, 20 * 60, 7.5 * 60) + rng.normal(0, 75, size)
    minute = np.clip(np.where(rng.random(size) < 0.7, minute // 15 * 15, minute), 0, 1439)
    return [
        fixed(ids, ">i8"),
        fixed(population.habits.owners[ids - 1], ">i8"),
        _HABIT_NAMES.take(rng.integers(0, len(words.HABIT_NAMES), size)),
        _CADENCES.take(choose(rng, (0.8, 0.2), size)),
        fixed(minute.astype(np.int64), ">i2", rng.random(size) < 0.35),
        fixed(created, ">i8"),
        fixed(archived_at, ">i8", ~archived),
    ]


def _make_sessions(
    population: Population, rng: np.random.Generator, ids: Ints, total: int
) -> list[Field]:
    size = len(ids)
    created = times(rng, ids, total, us(CHECK_INS))
    agent = choose(rng, (30, 15, 25, 18, 12), size)
    lifetime = np.where(agent >= 3, 90, 30) * DAY_US
    seen = created + (rng.random(size) ** 2 * np.minimum(lifetime, NOW_US - created)).astype(
        np.int64
    )
    return [
        fixed(ids, ">i8"),
        fixed(users_at(population, rng, created), ">i8"),
        Field(tokens(population, ids), None, None),
        _USER_AGENTS.take(agent),
        fixed(created, ">i8"),
        fixed(seen, ">i8"),
        fixed(created + lifetime, ">i8"),
        fixed(seen, ">i8", rng.random(size) > 0.12),
    ]


def _make_tasks(
    population: Population, rng: np.random.Generator, ids: Ints, total: int
) -> list[Field]:
    size = len(ids)
    created = times(rng, ids, total, us(ACTIVITY))
    user = users_at(population, rng, created)
    project = population.projects.pick(user, rng.random(size))
    priority = 1 + choose(rng, (0.35, 0.40, 0.18, 0.07), size)

    # urgent work gets a nearer due date more often; dates fall on five in the afternoon
    has_due = rng.random(size) < 0.5 + 0.1 * priority
    due = created + lognormal_us(rng, 9 * DAY_US / priority, 0.9, size)
    due = (due // DAY_US + 1) * DAY_US + 17 * HOUR_US

    # done once its time was up, unless it is among the 14 % that nobody ever finishes
    finished = created + lognormal_us(rng, 6 * DAY_US / priority, 1.3, size)
    fate = rng.random(size)
    done = (finished < NOW_US) & (fate < 0.80)
    cancelled = (finished < NOW_US) & (fate >= 0.80) & (fate < 0.86)
    started = rng.random(size) < 0.25
    status = np.select([done, cancelled, started], [2, 3, 1], 0)
    touched = created + (rng.random(size) ** 2 * (NOW_US - created) * 0.5).astype(np.int64)
    updated = np.where(done | cancelled, finished, touched)

    ahead = np.array([HOUR_US // 2, HOUR_US, 24 * HOUR_US])[rng.integers(0, 3, size)]
    reminded = has_due & (rng.random(size) < 0.3) & (due - ahead > created)
    return [
        fixed(ids, ">i8"),
        fixed(user, ">i8"),
        fixed(project, ">i8", (project == 0) | (rng.random(size) > 0.6)),
        _TITLES.take(rng.integers(0, len(words.TITLES), size)),
        _STATUSES.take(status),
        fixed(priority, ">i2"),
        fixed(due, ">i8", ~has_due),
        fixed(due - ahead, ">i8", ~reminded),
        fixed(finished, ">i8", ~done),
        fixed(created, ">i8"),
        fixed(updated, ">i8"),
    ]


def _make_notes(
    population: Population, rng: np.random.Generator, ids: Ints, total: int
) -> list[Field]:
    size = len(ids)
    created = times(rng, ids, total, us(ACTIVITY))
    user = users_at(population, rng, created)
    index, present = _tags_of(rng, user)
    updated = created + (rng.random(size) ** 3 * (NOW_US - created)).astype(np.int64)
    return [
        fixed(ids, ">i8"),
        fixed(user, ">i8"),
        _TITLES.take(rng.integers(0, len(words.TITLES), size)),
        _BODIES.take(rng.integers(0, len(_BODIES.lengths), size)),
        text_array(_TAGS, index, present),
        boolean(rng.random(size) < 0.05),
        fixed(created, ">i8"),
        fixed(updated, ">i8"),
    ]


def _tags_of(rng: np.random.Generator, user: Ints) -> tuple[Ints, npt.NDArray[np.bool_]]:
    """Up to five different tags a note, half of them from six favourites of its user."""
    slots = 5
    count = choose(rng, (0.12, 0.24, 0.28, 0.20, 0.10, 0.06), len(user))
    drawn = rng.random((len(user), slots))
    favourite = rng.random((len(user), slots)) < 0.5
    which = rng.integers(0, 6, (len(user), slots))
    drawn = np.where(favourite, uniform(user[:, None] * 6 + which, 5), drawn)
    index = np.searchsorted(_TAG_CDF, drawn, "right")
    present = np.arange(slots) < count[:, None]
    for slot in range(1, slots):
        present[:, slot] &= (index[:, :slot] != index[:, slot, None]).all(axis=1)
    return index, present


def _make_goals(
    population: Population, rng: np.random.Generator, ids: Ints, total: int
) -> list[Field]:
    size = len(ids)
    created = times(rng, ids, total, us(ACTIVITY))
    target = created + lognormal_us(rng, 120 * DAY_US, 0.6, size)
    over = target < NOW_US
    active = np.where(over, 0.15, 0.85)
    status = np.where(rng.random(size) < active, 0, 1 + choose(rng, (0.6, 0.4), size))
    progress = np.where(status == 1, 100, rng.integers(0, 95, size))
    return [
        fixed(ids, ">i8"),
        fixed(users_at(population, rng, created), ">i8"),
        _GOAL_TITLES.take(rng.integers(0, len(words.GOAL_TITLES), size)),
        _GOAL_STATUSES.take(status),
        fixed(progress, ">i2"),
        fixed(target // DAY_US, ">i4"),
        fixed(created, ">i8"),
    ]


def _make_notifications(
    population: Population, rng: np.random.Generator, ids: Ints, total: int
) -> list[Field]:
    size = len(ids)
    created = times(rng, ids, total, us(EVENTS))
    kind = choose(rng, (35, 15, 20, 10, 12, 8), size)
    read = created + lognormal_us(rng, 6 * HOUR_US, 1.6, size)
    unread = (read >= NOW_US) | (rng.random(size) < 0.12)
    return [
        fixed(ids, ">i8"),
        fixed(users_at(population, rng, created), ">i8"),
        _KINDS.take(kind),
        _MESSAGES.take(kind),
        fixed(created, ">i8"),
        fixed(read, ">i8", unread),
    ]


def _make_events(
    population: Population, rng: np.random.Generator, ids: Ints, total: int
) -> list[Field]:
    size = len(ids)
    occurred = times(rng, ids, total, us(EVENTS))
    kind = choose(rng, words.EVENT_TYPE_SHARES, size)
    count = _PAYLOAD_FIRST[kind + 1] - _PAYLOAD_FIRST[kind]
    # squared: the first payloads of a type (its first experiments) are the commonest
    payload = _PAYLOAD_FIRST[kind] + (rng.random(size) ** 2 * count).astype(np.int64)
    return [
        fixed(ids, ">i8"),
        fixed(users_at(population, rng, occurred), ">i8"),
        _EVENT_TYPES.take(kind),
        fixed(occurred, ">i8"),
        _PAYLOADS.take(payload),
    ]


_PLANS = Texts(("free", "pro", "team"))
_TIME_ZONES = Texts(words.TIME_ZONES)
_LOCALES = Texts(words.LOCALES)
_PREFERENCES = json_texts(
    [
        f'{{"theme": "{theme}", "week_starts": "{day}", "digest": {digest}}}'
        for theme in ("light", "dark", "system")
        for day in ("monday", "sunday")
        for digest in ("true", "false")
    ]
)
_PROJECT_NAMES = Texts(words.PROJECT_NAMES)
_PROJECT_STATUSES = Texts(("active", "archived"))
_HABIT_NAMES = Texts(words.HABIT_NAMES)
_CADENCES = Texts(("daily", "weekly"))
_USER_AGENTS = Texts(words.USER_AGENTS)
_TITLES = Texts(words.TITLES)
_STATUSES = Texts(("todo", "in_progress", "done", "cancelled"))
_TAGS = Texts(words.TAGS)
_BODIES = Texts(
    [
        ". ".join(words.TITLES[(n * 37 + k * 911) % 7000] for k in range(2 + n % 7))
        for n in range(300)
    ]
)
_GOAL_TITLES = Texts(words.GOAL_TITLES)
_GOAL_STATUSES = Texts(("active", "achieved", "dropped"))
_KINDS = Texts(tuple(words.NOTIFICATIONS))
_MESSAGES = Texts(tuple(words.NOTIFICATIONS.values()))
_EVENT_TYPES = Texts(tuple(words.EVENT_TYPES))
_PAYLOAD_LISTS = [words.payloads(kind) for kind in words.EVENT_TYPES]
_PAYLOAD_FIRST = np.concatenate(([0], np.cumsum([len(texts) for texts in _PAYLOAD_LISTS])))
_PAYLOADS = json_texts([text for texts in _PAYLOAD_LISTS for text in texts])

_MAKERS: dict[str, Callable[[Population, np.random.Generator, Ints, int], list[Field]]] = {
    "users": _make_users,
    "profiles": _make_profiles,
    "projects": _make_projects,
    "habits": _make_habits,
    "sessions": _make_sessions,
    "tasks": _make_tasks,
    "notes": _make_notes,
    "goals": _make_goals,
    "notifications": _make_notifications,
    "analytics_events": _make_events,
}
