"""Parameters that several queries draw in the same way."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, TypeVar

import numpy as np
from sqlalchemy import BindParameter, ColumnElement, DateTime, bindparam, func, literal_column

from perflab.schema.population import NOW, Draw, Population, Selectivity

T = TypeVar("T")

LABELS: tuple[Selectivity, ...] = ("light", "typical", "heavy")
_SHARES = (0.35, 0.45, 0.20)


def time_parameter(name: str) -> BindParameter[datetime]:
    """A timestamptz parameter."""
    return bindparam(name, type_=DateTime(timezone=True))


def truncated(unit: str, column: ColumnElement[datetime]) -> ColumnElement[datetime]:
    """``column`` cut to its UTC day or month.

    With the unit spelled out: as parameters, two uses of it would be two expressions.
    """
    return func.date_trunc(literal_column(f"'{unit}'"), column, literal_column("'UTC'"))


def owner(rng: np.random.Generator, population: Population, **params: Any) -> Draw:
    """A user in proportion to activity, with whatever else the query takes."""
    user, label = population.draw_user(rng)
    return Draw({"user_id": user, **params}, label)


def one_of(rng: np.random.Generator, options: Sequence[T]) -> T:
    """One option, all alike."""
    return options[int(rng.integers(len(options)))]


def wide(rng: np.random.Generator, options: Sequence[T]) -> tuple[T, Selectivity]:
    """One of three options (few, usual, many rows) and its label; the usual one most often."""
    label = int(np.searchsorted(np.cumsum(_SHARES), rng.random(), "right"))
    label = min(label, 2)
    return options[label], LABELS[label]


def ago(**span: float) -> datetime:
    """A time before NOW."""
    return NOW - timedelta(**span)
