"""Conditions on a run's figures, such as ``p95_ms < 250``: thresholds and reasons to abort."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping
from typing import Final

import msgspec

from perflab.load.scenarios.figures import METRICS, Figures

_RELATIONS: Final[Mapping[str, Callable[[float, float], bool]]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_CONDITION: Final = re.compile(
    r"\s*(?:(?P<step>[^:<>=]+?)\s*:)?\s*(?P<metric>\w+)\s*(?P<relation>[<>]=?)\s*(?P<bound>\S+)\s*"
)


class Condition(msgspec.Struct, frozen=True):
    """A metric, of the whole run or of one step, that must stand in a relation to a number."""

    text: str
    step: str
    """Empty for the whole run."""
    metric: str
    relation: str
    bound: float

    def value(self, figures: Figures) -> float:
        """The metric of these figures; NaN where there is none."""
        return METRICS[self.metric](figures)

    def holds(self, figures: Figures) -> bool:
        """Whether it does; never for what was not measured."""
        return _RELATIONS[self.relation](self.value(figures), self.bound)


def parse(text: str, steps: set[str]) -> Condition:
    """The condition that a text means; a ``ValueError`` says what it lacks."""
    found = _CONDITION.fullmatch(text)
    if found is None:
        raise ValueError(f"{text!r} is no condition; write e.g. p95_ms < 250, login: p99_ms < 400")
    step = found["step"] or ""
    if step and step not in steps:
        raise ValueError(f"{text!r}: no request is called {step!r}; there are {_listed(steps)}")
    if found["metric"] not in METRICS:
        raise ValueError(f"{text!r}: {found['metric']!r} is none of {', '.join(METRICS)}")
    try:
        bound = float(found["bound"])
    except ValueError:
        raise ValueError(f"{text!r}: {found['bound']!r} is no number") from None
    if bound != bound:
        raise ValueError(f"{text!r}: nothing compares with NaN")
    return Condition(" ".join(text.split()), step, found["metric"], found["relation"], bound)


def _listed(names: set[str]) -> str:
    return ", ".join(sorted(names))
