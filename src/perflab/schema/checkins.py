"""The rows of habit_entries: a habit is ticked at most once a day, some habits nearly daily."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from perflab.schema.distributions import NOW_US, choose
from perflab.schema.encode import Field, encode, fixed
from perflab.schema.population import CHECK_INS, DAY_US, Ints, Population, us


def check_ins(
    population: Population, total: int, rng: np.random.Generator, chunk_rows: int
) -> Iterator[tuple[int, bytes]]:
    """``total`` check-ins day by day, each chunk as its rows and their bytes.

    A day's habits are a systematic sample in proportion to zeal: points at equal distances
    on the cumulated zeal of the habits that existed, so each is met at most once.
    """
    started = population.habit_starts // DAY_US
    zeal = np.exp(1.1 * rng.standard_normal(len(started)))
    zeal *= population.activity[population.habits.owners - 1] ** 0.3
    days = np.arange(us(CHECK_INS) // DAY_US, NOW_US // DAY_US + 1)
    # the day, counted from the first, on which each habit can first be ticked
    first = np.clip(started + 1 - days[0], 0, len(days))
    alive = np.bincount(first, zeal, minlength=len(days) + 1).cumsum()[: len(days)]
    step = alive.sum() / total
    # no habit may be wider than the distance between two points, also where rounding
    # gives a day one check-in more
    fewest = alive[0] / step
    zeal = np.minimum(zeal, 0.8 * step * fewest / (fewest + 1))
    alive = np.bincount(first, zeal, minlength=len(days) + 1).cumsum()[: len(days)]
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
        if held >= chunk_rows or day == days[-1]:
            habits, dates = (np.concatenate(part) for part in zip(*waiting, strict=True))
            for start in range(0, held, chunk_rows):
                part = slice(start, start + chunk_rows)
                size = len(habits[part])
                ids = np.arange(next_id, next_id + size)
                yield size, encode(_fields(rng, ids, habits[part], dates[part]))
                next_id += size
            waiting, held = [], 0


def _fields(rng: np.random.Generator, ids: Ints, habit: Ints, day: Ints) -> list[Field]:
    return [
        fixed(ids, ">i8"),
        fixed(habit, ">i8"),
        fixed(day, ">i4"),
        fixed(1 + choose(rng, (0.7, 0.2, 0.1), len(ids)), ">i2"),
    ]
