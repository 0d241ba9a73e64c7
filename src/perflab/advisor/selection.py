"""Chooses among candidates for a whole workload, by the planner's costs weighted by calls.

First each statement gets every candidate made for it, and the planner picks. Then, index by
index, what does not earn its keep goes: the loss of leaving it out, with all others in place,
is asked of the planner again, since another one may step in. What is left may carry along the
other columns that a statement fetches, where that earns its keep too. Limits on number and size
come last, the smallest loss first.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import msgspec

from perflab.advisor.candidates import Candidate
from perflab.advisor.whatif import Answer, WhatIf
from perflab.advisor.workload import Statement


class Limits(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What an index must save and what all of them may cost."""

    workload_percent: float = 1.0
    """An index earns its keep by saving this much of the whole workload's cost,"""
    statement_percent: float = 20.0
    """or this much of what the statements that use it cost without it."""
    statement_cost: float = 10.0
    """Statements below this cost, in the planner's units, are quick enough: about ten pages."""
    per_table: int = 10
    """Indexes on one table, those that are there included: every write pays for each."""
    total_bytes: int = 2**63
    """Of all chosen indexes together."""


class Choice(msgspec.Struct, frozen=True):
    """One chosen index and what it is expected to save."""

    candidate: Candidate
    serves: tuple[str, ...]
    """Names of the statements whose plan uses it."""
    saves_percent: float
    """Of the workload's cost with everything chosen but this one in place."""
    size_bytes: int


class Rejected(msgspec.Struct, frozen=True):
    """One candidate that was not chosen, and why."""

    candidate: Candidate
    reason: str


class Selection(msgspec.Struct, frozen=True):
    """What was chosen for a workload."""

    chosen: tuple[Choice, ...]
    rejected: tuple[Rejected, ...]
    cost_before: float
    """Of the workload, weighted by calls, in the planner's units."""
    cost_after: float
    by_statement: dict[str, tuple[float, float]]
    """Cost of one call before and after."""


def select(
    statements: Sequence[Statement],
    candidates: Mapping[Candidate, Sequence[str]],
    what_if: WhatIf,
    limits: Limits | None = None,
    indexes_there: Mapping[str, int] | None = None,
    step: Callable[[str, int, int], None] | None = None,
) -> Selection:
    """Choose; ``indexes_there`` counts by table the indexes that exist already."""
    search = _Search(statements, candidates, what_if, limits or Limits(), indexes_there or {})
    search.pick(step or (lambda _what, _done, _total: None))
    search.prune()
    search.widen()
    search.prune()  # what a wider index does as well
    search.fit()
    return search.outcome()


_NOT_PICKED = "the planner prefers another one"


class _Search:
    def __init__(
        self,
        statements: Sequence[Statement],
        candidates: Mapping[Candidate, Sequence[str]],
        what_if: WhatIf,
        limits: Limits,
        indexes_there: Mapping[str, int],
    ) -> None:
        self._statements = {statement.name: statement for statement in statements}
        self._candidates, self._what_if = candidates, what_if
        self._limits, self._there = limits, indexes_there
        self._tables = {
            name: frozenset(c.table for c, served in candidates.items() if name in served)
            for name in self._statements
        }
        self._asked: dict[tuple[str, frozenset[Candidate]], Answer] = {}
        self._active: frozenset[Candidate] = frozenset()
        self._reasons: dict[Candidate, str] = {}

    def pick(self, step: Callable[[str, int, int], None]) -> None:
        """What the planner takes of everything that was made for a statement."""
        for number, name in enumerate(self._statements):
            step(name, number, len(self._statements))
            if self._answer(name, frozenset()).cost < self._limits.statement_cost:
                continue
            made_for = (c for c, served in self._candidates.items() if name in served)
            offered = frozenset(c for c in made_for if not c.include)
            self._active |= self._answer(name, offered).used
        step("", len(self._statements), len(self._statements))

    def prune(self) -> None:
        """Take out, one at a time, the index of the smallest loss among those not worth it."""
        while True:
            idle = [c for c in self._active if not self._earns(c)]
            if not idle:
                return
            worst = min(idle, key=lambda c: (self._loss(c), self._size(c), c.name))
            others = self._active - {worst}
            reason = (
                "what it saves is too little"
                if self._loss(worst) > 0
                else "the others do as well without it"
            )
            self._drop(worst, reason, others)

    def widen(self) -> None:
        """Let columns ride along where that, compared with the same index without, earns it."""
        for wide in sorted((c for c in self._candidates if c.include), key=lambda c: c.name):
            slim = wide.slim
            if slim not in self._active:
                continue
            users, before = self._users(slim), self._active
            self._active = before - {slim} | {wide}
            if any(wide in self._answer(name, self._active).used for name in users) and (
                self._earns(wide, instead_of=slim)
            ):
                self._reasons[slim] = f"{wide.name} does the same and more"
            else:
                self._reasons[wide] = "what it carries along saves too little"
                self._active = before

    def fit(self) -> None:
        """Take out more until the limits hold: least saved first, per byte where size decides."""
        for table in sorted({candidate.table for candidate in self._active}):
            room = max(0, self._limits.per_table - self._there.get(table, 0))
            while len(here := [c for c in self._active if c.table == table]) > room:
                worst = min(here, key=lambda c: (self._loss(c), c.name))
                reason = f"no room: {table} may have {self._limits.per_table} indexes"
                self._drop(worst, reason, self._active - {worst})
        while sum(map(self._size, self._active)) > self._limits.total_bytes:
            worst = min(self._active, key=lambda c: (self._loss(c) / max(1, self._size(c)), c.name))
            others = self._active - {worst}
            slim = {worst.slim} if worst.include else set[Candidate]()  # nothing rides along
            self._drop(worst, "no room: the limit on size", others | slim)

    def outcome(self) -> Selection:
        """The chosen, costliest to miss first, and the reason for every other."""
        names = list(self._statements)
        before = {name: self._answer(name, frozenset()).cost for name in names}
        after = {name: self._answer(name, self._active).cost for name in names}
        total = self._weighted(before)
        chosen = sorted(self._active, key=lambda c: (-self._loss(c), c.name))
        rejected = [
            Rejected(c, self._what_if.rejected.get(c) or self._reasons.get(c, _NOT_PICKED))
            for c in sorted(self._candidates, key=lambda c: c.name)
            if c not in self._active
        ]
        return Selection(
            chosen=tuple(
                Choice(
                    candidate=c,
                    serves=tuple(n for n in names if c in self._answer(n, self._active).used),
                    saves_percent=100 * self._loss(c) / total if total else 0.0,
                    size_bytes=self._size(c),
                )
                for c in chosen
            ),
            rejected=tuple(rejected),
            cost_before=total,
            cost_after=self._weighted(after),
            by_statement={name: (before[name], after[name]) for name in names},
        )

    def _answer(self, name: str, active: frozenset[Candidate]) -> Answer:
        """Only indexes of the statement's own tables can matter to it."""
        relevant = frozenset(c for c in active if c.table in self._tables[name])
        key = name, relevant
        if key not in self._asked:
            self._asked[key] = self._what_if.ask(
                self._statements[name].planned, relevant, self._tables[name]
            )
        return self._asked[key]

    def _users(self, candidate: Candidate) -> list[str]:
        return [n for n in self._statements if candidate in self._answer(n, self._active).used]

    def _without(self, candidate: Candidate, instead: Candidate | None) -> frozenset[Candidate]:
        others = self._active - {candidate}
        return others if instead is None else others | {instead}

    def _loss(self, candidate: Candidate, instead_of: Candidate | None = None) -> float:
        """What the workload would cost more without it, or with another one in its place."""
        return sum(
            self._statements[name].calls * self._dearer(name, candidate, instead_of)
            for name in self._users(candidate)
        )

    def _dearer(self, name: str, candidate: Candidate, instead_of: Candidate | None) -> float:
        without = self._answer(name, self._without(candidate, instead_of)).cost
        return without - self._answer(name, self._active).cost

    def _earns(self, candidate: Candidate, instead_of: Candidate | None = None) -> bool:
        total = self._weighted(
            {name: self._answer(name, frozenset()).cost for name in self._statements}
        )
        loss = self._loss(candidate, instead_of)
        if total and 100 * loss / total >= self._limits.workload_percent:
            return True
        return any(
            self._saves(name, candidate, instead_of) >= self._limits.statement_percent
            for name in self._users(candidate)
        )

    def _saves(self, name: str, candidate: Candidate, instead_of: Candidate | None) -> float:
        """Percent of a statement's cost that it saves; nothing of what is quick without it."""
        without = self._answer(name, self._without(candidate, instead_of)).cost
        if without < self._limits.statement_cost:
            return 0.0
        return 100 * self._dearer(name, candidate, instead_of) / without

    def _drop(self, candidate: Candidate, reason: str, others: frozenset[Candidate]) -> None:
        self._reasons[candidate] = reason
        self._active = others

    def _size(self, candidate: Candidate) -> int:
        return self._what_if.size_bytes.get(candidate, 0)

    def _weighted(self, costs: Mapping[str, float]) -> float:
        return sum(self._statements[name].calls * cost for name, cost in costs.items())
