"""Parameter generators: what one parameter of a query may be, and how it is drawn."""

from __future__ import annotations

import datetime as dt
import math
import string
import uuid
from collections.abc import Callable, Sequence
from typing import Any, Literal

import msgspec
import numpy as np

Draw = Callable[[np.random.Generator], object]
Rank = Callable[[np.random.Generator], int]
Distribution = Literal["uniform", "zipf", "normal"]

RANKED_MAX = 1_000_000
"""The most values among which zipf can choose, and the most rows drawn from the data."""
_CHOOSABLE = (bool, int, float, str, dt.date, dt.datetime, dt.time)
KINDS = ("integer", "float", "choice", "date", "timestamp", "pattern", "uuid", "boolean", "sql")
"""The keys of which a generator has exactly one."""
OPTIONS = ("weights", "distribution", "skew", "mean", "deviation", "null_share", "array")


class Spec(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A generator as the file describes it: exactly one of the kinds, and its options."""

    integer: tuple[int, int] | None = None
    """From and to, both included."""
    number: tuple[float, float] | None = msgspec.field(name="float", default=None)
    choice: tuple[Any, ...] | None = None
    date: tuple[dt.date, dt.date] | None = None
    """First and last day, both included."""
    timestamp: tuple[dt.datetime, dt.datetime] | None = None
    pattern: str | None = None
    """``#`` a digit, ``@`` a lower-case letter, ``\\`` before either takes it as it is."""
    uuid: bool | None = None
    boolean: float | None = None
    """The share of true."""
    sql: str | None = None
    """A query of one column; its rows are the values."""

    weights: tuple[float, ...] | None = None
    distribution: Distribution | None = None
    skew: float | None = None
    mean: float | None = None
    deviation: float | None = None
    null_share: float = 0.0
    array: int | tuple[int, int] | None = None
    """How many values make an array, or between which two numbers."""

    @property
    def kind(self) -> str:
        """The key that says what is drawn; empty where there is none or more than one."""
        given = [kind for kind in KINDS if self._value(kind) is not None]
        return given[0] if len(given) == 1 else ""

    def _value(self, kind: str) -> object:
        return getattr(self, "number" if kind == "float" else kind)


class Unusable(ValueError):
    """A generator cannot work: ``key`` is at fault, the message says why."""

    def __init__(self, key: str, reason: str) -> None:
        super().__init__(reason)
        self.key = key


def check(spec: Spec) -> None:
    """Raise an Unusable for what the types of a :class:`Spec` cannot say."""
    if not spec.kind:
        raise Unusable("", f"give exactly one of {', '.join(KINDS)}")
    _check_options(spec)
    _check_bounds(spec)
    if spec.kind == "choice":
        _check_choice(spec)
    if spec.pattern is not None and not spec.pattern:
        raise Unusable("pattern", "is empty")
    if spec.uuid is False:
        raise Unusable("uuid", "write uuid = true")
    for key, share in (("boolean", spec.boolean), ("null_share", spec.null_share)):
        if share is not None and not 0 <= share <= 1:
            raise Unusable(key, f"{share:g} is no share; give a number from 0 to 1")
    if spec.array is not None and not 0 <= _array(spec)[0] <= _array(spec)[1] <= 10_000:
        raise Unusable("array", "give a length from 0 to 10000, or two in ascending order")


def make(spec: Spec, drawn: Sequence[object] = ()) -> Draw:
    """The generator that a checked ``spec`` describes; ``drawn`` are the values of its ``sql``."""
    draw = _with_nulls(_one(spec, drawn), spec.null_share)
    return draw if spec.array is None else _array_of(draw, *_array(spec))


def ranked(
    count: int, distribution: Distribution | None, skew: float | None
) -> Callable[[np.random.Generator], int]:
    """Draws ranks from 0 to ``count - 1``: all alike, or the first the most often (Zipf)."""
    if distribution != "zipf":
        return lambda rng: int(rng.integers(count))
    heights = 1.0 / np.arange(1, count + 1, dtype=np.float64) ** (1.0 if skew is None else skew)
    cdf = np.cumsum(heights)
    return lambda rng: int(np.searchsorted(cdf, rng.random() * cdf[-1], "right"))


def _one(spec: Spec, drawn: Sequence[object]) -> Draw:
    if spec.integer is not None:
        return _integers(spec, *spec.integer)
    if spec.number is not None:
        return _floats(spec, *spec.number)
    if spec.date is not None:
        first, last = spec.date
        days = _integers(spec, 0, (last - first).days)
        return lambda rng: first + dt.timedelta(days=days(rng))
    if spec.timestamp is not None:
        return _timestamps(spec, *spec.timestamp)
    if spec.choice is not None:
        return _choice(spec.choice, spec.weights)
    if spec.pattern is not None:
        return _pattern(spec.pattern)
    if spec.boolean is not None:
        share = spec.boolean
        return lambda rng: bool(rng.random() < share)
    if spec.uuid is not None:
        return lambda rng: uuid.UUID(bytes=rng.bytes(16), version=4)
    rank = ranked(len(drawn), spec.distribution, spec.skew)
    return lambda rng: drawn[rank(rng)]


def _integers(spec: Spec, first: int, last: int) -> Rank:
    if spec.distribution == "normal":
        normal = _normal(spec, first, last)
        # a float does not hold every bigint
        return lambda rng: min(max(round(normal(rng)), first), last)
    if spec.distribution == "zipf":
        step = 1 if last >= first else -1
        rank = ranked(abs(last - first) + 1, "zipf", spec.skew)
        return lambda rng: first + step * rank(rng)
    return lambda rng: int(rng.integers(first, last, endpoint=True))


def _floats(spec: Spec, low: float, high: float) -> Draw:
    if spec.distribution == "normal":
        return _normal(spec, low, high)
    return lambda rng: float(rng.uniform(low, high))


def _timestamps(spec: Spec, first: dt.datetime, last: dt.datetime) -> Draw:
    span_us = (last - first) // dt.timedelta(microseconds=1)
    elapsed = _integers(spec, 0, span_us)
    return lambda rng: first + dt.timedelta(microseconds=elapsed(rng))


def _normal(spec: Spec, low: float, high: float) -> Callable[[np.random.Generator], float]:
    """Normal around ``mean`` (the middle), what falls outside moved to the nearer end."""
    centre = (low + high) / 2 if spec.mean is None else spec.mean
    deviation = (high - low) / 6 if spec.deviation is None else spec.deviation
    return lambda rng: float(min(max(rng.normal(centre, deviation), low), high))


def _choice(values: Sequence[object], weights: Sequence[float] | None) -> Draw:
    cdf = np.cumsum(np.ones(len(values)) if weights is None else np.array(weights))
    return lambda rng: values[int(np.searchsorted(cdf, rng.random() * cdf[-1], "right"))]


def _pattern(pattern: str) -> Draw:
    pieces: list[str] = []  # each a set of characters to choose one from
    marks = {"#": string.digits, "@": string.ascii_lowercase}
    letters = iter(pattern)
    for letter in letters:
        plain = next(letters, "\\") if letter == "\\" else ""
        pieces.append(plain or marks.get(letter, letter))
    return lambda rng: "".join(piece[int(rng.integers(len(piece)))] for piece in pieces)


def _with_nulls(draw: Draw, share: float) -> Draw:
    if not share:
        return draw
    return lambda rng: None if rng.random() < share else draw(rng)


def _array_of(draw: Draw, least: int, most: int) -> Draw:
    return lambda rng: [draw(rng) for _ in range(int(rng.integers(least, most, endpoint=True)))]


def _array(spec: Spec) -> tuple[int, int]:
    return spec.array if isinstance(spec.array, tuple) else (spec.array or 0, spec.array or 0)


def _check_options(spec: Spec) -> None:
    """Options that the kind does not know, or that another option is missing for."""
    knows: dict[str, tuple[str, ...]] = {
        "uniform": ("integer", "float", "date", "timestamp", "sql"),
        "zipf": ("integer", "date", "sql"),
        "normal": ("integer", "float"),
    }
    distribution = spec.distribution or "uniform"
    if spec.distribution and spec.kind not in knows[distribution]:
        raise Unusable(
            "distribution",
            f"{distribution} is for {', '.join(knows[distribution])}, not {spec.kind}",
        )
    if spec.weights is not None and spec.kind != "choice":
        raise Unusable("weights", "is for choice only")
    if spec.skew is not None and distribution != "zipf":
        raise Unusable("skew", 'is for distribution = "zipf" only')
    if spec.skew is not None and not 0 < spec.skew <= 10:
        raise Unusable("skew", f"{spec.skew:g} is out of range; give a number above 0, at most 10")
    for key in ("mean", "deviation"):
        if getattr(spec, key) is not None and distribution != "normal":
            raise Unusable(key, 'is for distribution = "normal" only')
    if spec.deviation is not None and spec.deviation <= 0:
        raise Unusable("deviation", "must be above 0")


def _check_bounds(spec: Spec) -> None:
    if spec.integer and not all(-(2**63) <= end < 2**63 for end in spec.integer):
        raise Unusable("integer", "both ends must fit into a bigint")
    if spec.number and not all(math.isfinite(end) for end in spec.number):
        raise Unusable("float", "both ends must be finite")
    if spec.timestamp and len({moment.tzinfo is None for moment in spec.timestamp}) == 2:
        raise Unusable("timestamp", "give both ends with an offset such as Z, or both without")
    steps = _steps(spec)
    if spec.distribution == "zipf":
        if abs(steps) >= RANKED_MAX:
            raise Unusable(spec.kind, f"zipf can choose among {RANKED_MAX:,} values at most")
    elif steps < 0:
        raise Unusable(spec.kind, "give the lower end first (only zipf counts down)")


def _steps(spec: Spec) -> float:
    """How far the last value of a range is from the first; 0 for what is no range."""
    if spec.date:
        return (spec.date[1] - spec.date[0]).days
    if spec.timestamp:
        return (spec.timestamp[1] - spec.timestamp[0]).total_seconds()
    first, last = spec.integer or spec.number or (0, 0)
    return last - first


def _check_choice(spec: Spec) -> None:
    values, weights = spec.choice or (), spec.weights
    if not values:
        raise Unusable("choice", "is empty; give at least one value")
    for value in values:
        if not isinstance(value, _CHOOSABLE):
            raise Unusable("choice", f"{value!r} is no single value; for arrays use array = n")
    if weights is None:
        return
    if len(weights) != len(values):
        raise Unusable("weights", f"{len(weights)} weights for {len(values)} values")
    if any(not math.isfinite(w) or w < 0 for w in weights) or not sum(weights):
        raise Unusable("weights", "must not be negative, and one must be above 0")
