"""What a rule looks at: a level, a rate, a ratio of rates or a quantile of a histogram."""

from __future__ import annotations

from typing import Literal, TypeAlias

import msgspec

Comparison = Literal[">", ">=", "<", "<="]
BY = ("job", "instance")
"""Labels that tell one process from another."""


class _Strict(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    pass


class Selector(_Strict, frozen=True, kw_only=True):
    """Series of one metric."""

    metric: str
    labels: dict[str, str] = {}
    """Labels that a series must have, with these very values."""
    matching: dict[str, str] = {}
    """Labels whose whole value matches a regular expression."""


class Seconds(_Strict, frozen=True, kw_only=True):
    """A length of time: short in the lab, where a fault lasts seconds, and for production."""

    lab: float
    production: float


class Value(Selector, frozen=True, kw_only=True, tag="value", tag_field="kind"):
    """The newest value; of several series with the same ``by``, the worst."""

    by: tuple[str, ...] = BY


class Rate(Selector, frozen=True, kw_only=True, tag="rate", tag_field="kind"):
    """A counter's increase a second, summed."""

    window_s: Seconds
    by: tuple[str, ...] = BY


class Ratio(Selector, frozen=True, kw_only=True, tag="ratio", tag_field="kind"):
    """One counter's rate over another's.

    While the other stands still it is infinite, or NaN, which meets no condition, if both do.
    """

    of: Selector
    window_s: Seconds
    by: tuple[str, ...] = BY


class Quantile(Selector, frozen=True, kw_only=True, tag="quantile", tag_field="kind"):
    """A quantile of a histogram's recent observations; ``metric`` is without ``_bucket``."""

    quantile: float
    window_s: Seconds
    by: tuple[str, ...] = BY


Expression: TypeAlias = Value | Rate | Ratio | Quantile


def metrics_of(expression: Expression) -> tuple[str, ...]:
    """The names of the samples that it needs."""
    match expression:
        case Quantile():
            return (f"{expression.metric}_bucket",)
        case Ratio():
            return (expression.metric, expression.of.metric)
        case _:
            return (expression.metric,)
