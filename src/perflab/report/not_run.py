"""A section that was not run, in place of its table or plot."""

from __future__ import annotations

import html
from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import Concatenate, ParamSpec, TypeVar

A = TypeVar("A")
P = ParamSpec("P")
T = TypeVar("T")


@dataclass(frozen=True, repr=False)
class NotRun:
    """One line that says why there is nothing to show."""

    what: str
    reason: str

    def __str__(self) -> str:
        return f"not run: {self.what} ({self.reason})"

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return f"<p><em>{html.escape(str(self))}</em></p>"


def or_not_run(
    view: Callable[Concatenate[A, P], T],
) -> Callable[Concatenate[A | NotRun, P], T | NotRun]:
    """Let a view that shows a section's outcome pass on one that was not run."""

    @wraps(view)
    def either(outcome: A | NotRun, /, *args: P.args, **kwargs: P.kwargs) -> T | NotRun:
        return outcome if isinstance(outcome, NotRun) else view(outcome, *args, **kwargs)

    return either
