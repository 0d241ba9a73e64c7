"""The generator: for each table its rows, chunk by chunk, in the binary COPY format.

Every chunk has a random stream of its own, so that tables and chunks are independent of each
other and of the order in which they are made; memory is bounded by one chunk.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from perflab.schema import vocabulary as words
from perflab.schema.encode import (
    Field,
    Texts,
    boolean,
    encode,
    fixed,
    json_texts,
    text_array,
)
from perflab.schema.population import (
    ACTIVITY,
    CHECK_INS,
    DAY_US,
    EVENTS,
    NOW,
    SIGN_UPS,
    Ints,
    Population,
    us,
)

Floats = npt.NDArray[np.float64]
Chunk = tuple[int, bytes]
"""Number of rows and their bytes."""

CHUNK_ROWS = 16_384
NOW_US = us(NOW)
HOUR_US = 3_600_000_000

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

# Share of activity by hour of the day in UTC, from 18:00 on (days are cut at NOW).
_HOURS = np.array(
    [4.5, 4.5, 4.5, 4, 3, 2, 1, 0.6, 0.4, 0.3, 0.4, 0.8, 2, 4, 6, 7, 7, 6, 5.5, 6, 6.5, 6.5, 6, 5]
)
_HOUR_CDF = np.concatenate(([0.0], words.cdf(_HOURS)))


def rows_per_table(users: int) -> dict[str, int]:
    """How many rows each table gets."""
    return {table: count * users for table, count in PER_USER.items()}


def chunks(table: str, population: Population) -> Iterator[Chunk]:
    """The rows of ``table`` in time order."""
    if table == "habit_entries":
        yield from _habit_entries(population)
        return
    make = _MAKERS[table]
    total = PER_USER[table] * population.users
    number = list(PER_USER).index(table)
    for part, start in enumerate(range(0, total, CHUNK_ROWS)):
        ids = np.arange(start, min(start + CHUNK_ROWS, total)) + 1
        rng = population.rng(number, part)
        yield len(ids), encode(make(population, rng, ids, total))


# --- shared pieces ----------------------------------------------------------------------


def _times(rng: np.random.Generator, ids: Ints, total: int, since_us: int) -> Ints:
    """Increasing moments from ``since_us`` to NOW: growing use, a daily rhythm."""
    share = (ids - 1 + rng.random(len(ids))) / total
    elapsed = (NOW_US - since_us) * share**0.7
    before_now = (NOW_US - since_us) - elapsed
    day = np.ceil(before_now / DAY_US)
    within = 1.0 - (before_now / DAY_US - (day - 1))
    shaped = np.interp(within, _HOUR_CDF, np.linspace(0.0, 1.0, len(_HOUR_CDF)))
    moments: Ints = (NOW_US - (day - shaped) * DAY_US).astype(np.int64)
    return moments


def _users(population: Population, rng: np.random.Generator, at_us: Ints) -> Ints:
    """Users by activity who had signed up by then."""
    user = population.draw_users(rng, len(at_us))
    known = population.users_by(at_us)
    found: Ints = np.where(user > known, 1 + (user - 1) % known, user)
    return found


def _choose(rng: np.random.Generator, shares: npt.ArrayLike, size: int) -> Ints:
    chosen: Ints = np.searchsorted(words.cdf(np.asarray(shares, float)), rng.random(size), "right")
    return chosen


def _lognormal_us(rng: np.random.Generator, median_us: Any, sigma: float, size: int) -> Ints:
    spans: Ints = (median_us * np.exp(sigma * rng.standard_normal(size))).astype(np.int64)
    return spans


def mix(number: Ints, salt: int) -> npt.NDArray[np.uint64]:
    """64 well-mixed bits of each number (the finaliser of SplitMix64)."""
    x = number.astype(np.uint64) + np.uint64((salt * 0x9E3779B97F4A7C15) % 2**64)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def _uniform(number: Ints, salt: int) -> Floats:
    return mix(number, salt).astype(np.float64) / 2.0**64


_TAG_CDF = words.cdf(words.zipf(len(words.TAGS), words.TAG_SKEW))
_HEX = np.frombuffer(b"0123456789abcdef", np.uint8)


def tokens(population: Population, session_ids: Ints) -> npt.NDArray[np.uint8]:
    """The token hash of each session as (n, 64) ASCII hex digits."""
    salt = population.seed * 4
    raw = np.stack([mix(session_ids, salt + part) for part in range(4)], axis=1)
    bytes_ = raw.astype(">u8").view(np.uint8)
    digits = np.empty((len(session_ids), 64), np.uint8)
    digits[:, 0::2] = _HEX[bytes_ >> 4]
    digits[:, 1::2] = _HEX[bytes_ & 15]
    return digits


def email(user: int) -> str:
    """The address of a user, as the user typed it when signing up."""
    first = words.FIRST_NAMES[user % 26]
    last = words.LAST_NAMES[(user * 7 // 26) % 26]
    host = words.MAIL_HOSTS[user % 3]
    if user % 11 == 0:
        first = first.capitalize()
    return f"{first}.{last}{user}@{host}"


# --- the tables -------------------------------------------------------------------------


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
        _PLANS.take(_choose(rng, (0.82, 0.14, 0.04), len(ids))),
        fixed(population.signed_up(ids), ">i8"),
    ]


def _make_profiles(
    population: Population, rng: np.random.Generator, ids: Ints, total: int
) -> list[Field]:
    size = len(ids)
    signed_up = population.signed_up(ids)
    return [
        fixed(ids, ">i8"),
        _TIME_ZONES.take(_choose(rng, (30, 25, 15, 12, 8, 10), size)),
        _LOCALES.take(_choose(rng, (50, 20, 10, 8, 6, 6), size)),
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
        _CADENCES.take(_choose(rng, (0.8, 0.2), size)),
        fixed(minute.astype(np.int64), ">i2", rng.random(size) < 0.35),
        fixed(created, ">i8"),
        fixed(archived_at, ">i8", ~archived),
    ]


def _make_sessions(
    population: Population, rng: np.random.Generator, ids: Ints, total: int
) -> list[Field]:
    size = len(ids)
    created = _times(rng, ids, total, us(CHECK_INS))
    agent = _choose(rng, (30, 15, 25, 18, 12), size)
    lifetime = np.where(agent >= 3, 90, 30) * DAY_US
    seen = created + (rng.random(size) ** 2 * np.minimum(lifetime, NOW_US - created)).astype(
        np.int64
    )
    return [
        fixed(ids, ">i8"),
        fixed(_users(population, rng, created), ">i8"),
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
    created = _times(rng, ids, total, us(ACTIVITY))
    user = _users(population, rng, created)
    project = population.projects.pick(user, rng.random(size))
    priority = 1 + _choose(rng, (0.35, 0.40, 0.18, 0.07), size)

    # urgent work gets a nearer due date more often; dates fall on five in the afternoon
    has_due = rng.random(size) < 0.5 + 0.1 * priority
    due = created + _lognormal_us(rng, 9 * DAY_US / priority, 0.9, size)
    due = (due // DAY_US + 1) * DAY_US + 17 * HOUR_US

    # done once its time was up, unless it is among the 14 % that nobody ever finishes
    finished = created + _lognormal_us(rng, 6 * DAY_US / priority, 1.3, size)
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
    created = _times(rng, ids, total, us(ACTIVITY))
    user = _users(population, rng, created)
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
    count = _choose(rng, (0.12, 0.24, 0.28, 0.20, 0.10, 0.06), len(user))
    uniform = rng.random((len(user), slots))
    favourite = rng.random((len(user), slots)) < 0.5
    which = rng.integers(0, 6, (len(user), slots))
    uniform = np.where(favourite, _uniform(user[:, None] * 6 + which, 5), uniform)
    index = np.searchsorted(_TAG_CDF, uniform, "right")
    present = np.arange(slots) < count[:, None]
    for slot in range(1, slots):
        present[:, slot] &= (index[:, :slot] != index[:, slot, None]).all(axis=1)
    return index, present


def _make_goals(
    population: Population, rng: np.random.Generator, ids: Ints, total: int
) -> list[Field]:
    size = len(ids)
    created = _times(rng, ids, total, us(ACTIVITY))
    target = created + _lognormal_us(rng, 120 * DAY_US, 0.6, size)
    over = target < NOW_US
    active = np.where(over, 0.15, 0.85)
    status = np.where(rng.random(size) < active, 0, 1 + _choose(rng, (0.6, 0.4), size))
    progress = np.where(status == 1, 100, rng.integers(0, 95, size))
    return [
        fixed(ids, ">i8"),
        fixed(_users(population, rng, created), ">i8"),
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
    created = _times(rng, ids, total, us(EVENTS))
    kind = _choose(rng, (35, 15, 20, 10, 12, 8), size)
    read = created + _lognormal_us(rng, 6 * HOUR_US, 1.6, size)
    unread = (read >= NOW_US) | (rng.random(size) < 0.12)
    return [
        fixed(ids, ">i8"),
        fixed(_users(population, rng, created), ">i8"),
        _KINDS.take(kind),
        _MESSAGES.take(kind),
        fixed(created, ">i8"),
        fixed(read, ">i8", unread),
    ]


def _make_events(
    population: Population, rng: np.random.Generator, ids: Ints, total: int
) -> list[Field]:
    size = len(ids)
    occurred = _times(rng, ids, total, us(EVENTS))
    kind = _choose(rng, words.EVENT_TYPE_SHARES, size)
    count = _PAYLOAD_FIRST[kind + 1] - _PAYLOAD_FIRST[kind]
    # squared: the first payloads of a type (its first experiments) are the commonest
    payload = _PAYLOAD_FIRST[kind] + (rng.random(size) ** 2 * count).astype(np.int64)
    return [
        fixed(ids, ">i8"),
        fixed(_users(population, rng, occurred), ">i8"),
        _EVENT_TYPES.take(kind),
        fixed(occurred, ">i8"),
        _PAYLOADS.take(payload),
    ]


def _habit_entries(population: Population) -> Iterator[Chunk]:
    """Check-ins day by day: a habit is ticked at most once a day, some habits nearly daily.

    A day's habits are a systematic sample in proportion to zeal: points at equal distances
    on the cumulated zeal of the habits that existed, so each is met at most once.
    """
    total = PER_USER["habit_entries"] * population.users
    rng = population.rng(list(PER_USER).index("habit_entries"))
    started = population.habit_starts // DAY_US
    zeal = np.exp(1.1 * rng.standard_normal(len(started)))
    zeal *= population.activity[population.habits.owners - 1] ** 0.3
    days = np.arange(us(CHECK_INS) // DAY_US, NOW_US // DAY_US + 1)
    # each day's share of the zeal; none may exceed the distance between two points
    alive = np.bincount(
        np.clip(started + 1 - days[0], 0, len(days)), zeal, minlength=len(days) + 1
    ).cumsum()[: len(days)]
    step = alive.sum() / total
    zeal = np.minimum(zeal, 0.8 * step)
    alive = np.bincount(
        np.clip(started + 1 - days[0], 0, len(days)), zeal, minlength=len(days) + 1
    ).cumsum()[: len(days)]
    until = np.round(alive.cumsum() / alive.sum() * total).astype(np.int64)
    quota = np.diff(until, prepend=0)

    waiting: list[tuple[Ints, Ints]] = []
    held, next_id = 0, 1
    for day, wanted in zip(days.tolist(), quota.tolist(), strict=True):
        reach = np.cumsum(np.where(started < day, zeal, 0.0))
        points = (np.arange(wanted) + rng.random()) * (reach[-1] / max(wanted, 1))
        habit = np.searchsorted(reach, points, "right") + 1
        waiting.append((habit, np.full(wanted, day)))
        held += wanted
        if held >= CHUNK_ROWS or day == days[-1]:
            habits, dates = (np.concatenate(part) for part in zip(*waiting, strict=True))
            for start in range(0, held, CHUNK_ROWS):
                part = slice(start, start + CHUNK_ROWS)
                size = len(habits[part])
                ids = np.arange(next_id, next_id + size)
                yield size, encode(_entry_fields(rng, ids, habits[part], dates[part]))
                next_id += size
            waiting, held = [], 0


def _entry_fields(rng: np.random.Generator, ids: Ints, habit: Ints, day: Ints) -> list[Field]:
    return [
        fixed(ids, ">i8"),
        fixed(habit, ">i8"),
        fixed(day, ">i4"),
        fixed(1 + _choose(rng, (0.7, 0.2, 0.1), len(ids)), ">i2"),
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
