"""Conditions on a run's figures, such as ``p95_ms < 250``: thresholds and reasons to abort."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Collection, Mapping
from typing import Final, Protocol

import msgspec

from perflab.load.scenarios.figures import METRICS

_RELATIONS: Final[Mapping[str, Callable[[float, float], bool]]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_CONDITION: Final = re.compile(
    r"\s*(?:(?P<step>[^:<>=]+?)\s*:)?\s*(?P<metric>\w+)\s*(?P<relation>[<>]=?)\s*(?P<bound>\S+)\s*"
)


class Measured(Protocol):
    """Figures that conditions can be about."""

    def value(self, metric: str) -> float:
        """The metric of this name; NaN where it was not measured."""


class Condition(msgspec.Struct, frozen=True):
    """A metric, of the whole run or of one step, that must stand in a relation to a number."""

    text: str
    step: str
    """Empty for the whole run."""
    metric: str
    relation: str
    bound: float

    def value(self, figures: Measured) -> float:
        """The metric of these figures; NaN where there is none."""
        return figures.value(self.metric)

    def holds(self, figures: Measured) -> bool:
        """Whether it does; never for what was not measured."""
        return _RELATIONS[self.relation](self.value(figures), self.bound)


def parse(text: str, steps: set[str], metrics: Collection[str] = METRICS) -> Condition:
    """The condition that a text means; a ``ValueError`` says what it lacks.

    Args:
        text: as it is written.
        steps: the requests that it may name.
        metrics: what the figures have.
    """
    found = _CONDITION.fullmatch(text)
    if found is None:
        raise ValueError(f"{text!r} is no condition; write e.g. p95_ms < 250, login: p99_ms < 400")
    step = found["step"] or ""
    if step and step not in steps:
        there = _listed(steps) or "none"
        raise ValueError(f"{text!r}: no request is called {step!r}; there are {there}")
    if found["metric"] not in metrics:
        raise ValueError(f"{text!r}: {found['metric']!r} is none of {', '.join(metrics)}")
    try:
        bound = float(found["bound"])
    except ValueError:
        raise ValueError(f"{text!r}: {found['bound']!r} is no number") from None
    if bound != bound:
        raise ValueError(f"{text!r}: nothing compares with NaN")
    return Condition(" ".join(text.split()), step, found["metric"], found["relation"], bound)


def _listed(names: set[str]) -> str:
    return ", ".join(sorted(names))
