"""Two runs set against each other: what got worse by more than a tolerance, and what cannot tell.

A change is run/base of one figure. Its interval joins the two runs' own intervals on the log
scale (MOVER: Zou and Donner, Statistics in Medicine 27, 2008), so that swapping the runs inverts
it. All figures that can fail a comparison form one family: their intervals are widened (Šidák)
until all of them together cover with 95 %. What a run's own interval cannot know, the mood of the
machine during the whole run, is left to the tolerance.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from typing import Literal

import msgspec
from scipy import special

from perflab.measure.metrics import METRICS, Metric
from perflab.measure.results import Result
from perflab.measure.statistics import CONFIDENCE, TAIL, Estimate, Interval, NotEstimable

Basis = Literal["ratio", "value", "absolute"]
"""``ratio``: after/before within each run. ``value``: a figure that no machine's speed moves, such
as a count, a size or a hit ratio. ``absolute``: a time or a rate."""
Outcome = Literal[
    "regression", "improvement", "unchanged", "cannot tell", "vanished", "new", "shown"
]
"""``unchanged``: the whole interval lies within the tolerance. ``cannot tell``: no regression is
shown, nor is one excluded. ``vanished``: only the base has it; ``new``: only the run has it.
``shown``: a figure that does not take part in the judgement."""
FAILING: frozenset[Outcome] = frozenset({"regression", "vanished"})

_HIGHER_IS_BETTER = frozenset({"hit_ratio_percent", "throughput_rps", "throughput_per_min"})
_NO_BETTER_SIDE = frozenset({"count"})
_MACHINE_FREE = frozenset({"hit_ratio_percent", "size_bytes", "count"})


class Tolerances(msgspec.Struct, frozen=True, kw_only=True):
    """By how many percent a figure may get worse before that is a regression."""

    ratio: float = 50.0
    """after/before. Of 42 comparisons of one system with itself on a busy machine, the most
    alarming interval began at +16 %; docs/ci.md has the measurement."""
    value: float = 10.0
    """Counts, sizes and hit ratios, which no other process moves."""
    absolute: float | None = None
    """Times and rates; None: they are shown and do not fail."""

    def of(self, basis: Basis) -> float | None:
        """The tolerance of one kind of figure."""
        return {"ratio": self.ratio, "value": self.value, "absolute": self.absolute}[basis]


DEFAULT_TOLERANCES = Tolerances()


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """One figure in both runs."""

    name: str
    claim: str | None
    metric: str
    unit: str
    notebook: str
    basis: Basis
    base: Estimate | None
    """As recorded, in ``unit``; None where the base run has no such figure."""
    run: Estimate | None
    change: Estimate | None
    """run/base - 1 in percent with the family's interval; of after/before on basis ``ratio``."""
    outcome: Outcome
    reason: str = ""
    findable_percent: float | None = None
    """The smallest worsening that this pair of runs would have called a regression."""
    base_verdict: str | None = None
    run_verdict: str | None = None

    @property
    def fails(self) -> bool:
        """True where this figure fails the comparison."""
        return self.outcome in FAILING

    @property
    def key(self) -> tuple[str, str, Basis]:
        """What identifies the figure in every run."""
        return self.name, self.metric, self.basis


class RunComparison(msgspec.Struct, frozen=True, kw_only=True):
    """Every figure of two runs, judged as one family."""

    changes: tuple[Change, ...]
    tolerances: Tolerances
    family: int
    """Figures with a sampling error whose intervals hold together with 95 %."""
    not_compared: tuple[str, ...] = ()
    """Notebooks of the base run that the other run was not asked for."""

    @property
    def failing(self) -> tuple[Change, ...]:
        """Regressions and vanished figures."""
        return tuple(change for change in self.changes if change.fails)

    @property
    def judged(self) -> tuple[Change, ...]:
        """Figures in both runs that take part in the judgement."""
        return tuple(c for c in self.changes if c.outcome not in ("new", "vanished", "shown"))


class _Pair(msgspec.Struct, frozen=True):
    """One figure's estimates in both runs before it is known how many figures there are."""

    base: Result
    run: Result
    basis: Basis
    base_estimate: Estimate
    run_estimate: Estimate
    worse: int | None
    """1 where a larger figure is worse, -1 where a smaller one is, None where neither is known."""


def compare_runs(
    base: Sequence[Result],
    run: Sequence[Result],
    *,
    directions: Mapping[str, str] | None = None,
    tolerances: Tolerances = DEFAULT_TOLERANCES,
    ran: Collection[str] | None = None,
) -> RunComparison:
    """Compare the results of two runs, figure by figure.

    ``directions`` gives a claim's ``at_least`` or ``at_most``; without it the metric's own better
    side counts. ``ran`` names the notebooks that the run was asked for (default: those with
    results): a figure of theirs that only the base has is ``vanished``; figures of other
    notebooks are not compared.
    """
    directions = directions or {}
    of_base, of_run = _by_key(base), _by_key(run)
    notebooks = {r.origin.notebook for r in run} | set(ran or ())
    pairs = [
        pair
        for key, old in of_base.items()
        if key in of_run
        for pair in _pairs(old, of_run[key], directions)
    ]
    family = max(1, sum(_uncertain(p) and _tolerance(p, tolerances) is not None for p in pairs))
    tail = sidak_tail(family)
    changes = [_judged(pair, tail, _tolerance(pair, tolerances)) for pair in pairs]
    for key, old in of_base.items():
        if key not in of_run and old.origin.notebook in notebooks:
            changes.append(_alone(old, "vanished"))
    changes.extend(_alone(new, "new") for key, new in of_run.items() if key not in of_base)
    return RunComparison(
        changes=tuple(changes),
        tolerances=tolerances,
        family=family,
        not_compared=tuple(sorted({r.origin.notebook for r in base} - notebooks)),
    )


def sidak_tail(family: int) -> float:
    """Each interval's share of one tail so that ``family`` independent ones cover with 95 %.

    Šidák, Journal of the American Statistical Association 62 (1967); also safe for positively
    dependent figures, such as a query's mean and median.
    """
    return -math.expm1(math.log(CONFIDENCE) / family) / 2


def worse_sign(metric: Metric, direction: str | None = None) -> int | None:
    """1 where a larger figure of the metric is worse, -1 where a smaller one is.

    ``direction`` is a claim's ``at_least`` or ``at_most`` and goes before the metric's own; None
    means that neither says (a count without a claim).
    """
    if direction is not None:
        return -1 if direction == "at_least" else 1
    if metric.name in _NO_BETTER_SIDE:
        return None
    return -1 if metric.kind == "reduction" or metric.name in _HIGHER_IS_BETTER else 1


def log_change(
    base: Estimate, run: Estimate, base_blocks: int, run_blocks: int, tail: float = TAIL
) -> Estimate:
    """log(run/base) with an interval that leaves ``tail`` on each side.

    Each estimate carries its two-sided 95 % interval; ``blocks`` are its units of resampling,
    whose number less one are Student's degrees of freedom. Figures without error are taken as
    they are: 0 against 0 is no change and 0 against anything else an infinite one.
    """
    if isinstance(base, NotEstimable):
        return NotEstimable(f"not estimable in the base: {base.reason}")
    if isinstance(run, NotEstimable):
        return NotEstimable(f"not estimable in the run: {run.reason}")
    if base.lo == base.hi and run.lo == run.hi and min(base.lo, run.lo) >= 0:
        return _exact_change(base.estimate, run.estimate)
    for which, interval in (("the base", base), ("the run", run)):
        if interval.lo <= 0:
            return NotEstimable(f"the interval of {which} reaches 0: no relative change")
    old, new = _Spread.of(base, base_blocks), _Spread.of(run, run_blocks)
    centre = math.log(run.estimate / base.estimate)
    factor = float(special.stdtrit(_welch(old, new), 1 - tail))
    return Interval(
        centre,
        centre - factor * math.hypot(new.below, old.above),
        centre + factor * math.hypot(new.above, old.below),
    )


class _Spread(msgspec.Struct, frozen=True):
    """Standard errors of the log of a figure, below and above it."""

    below: float
    above: float
    freedom: int

    @classmethod
    def of(cls, interval: Interval, blocks: int) -> _Spread:
        freedom = max(1, blocks - 1)
        factor = float(special.stdtrit(freedom, 1 - TAIL))
        return cls(
            math.log(interval.estimate / interval.lo) / factor,
            math.log(interval.hi / interval.estimate) / factor,
            freedom,
        )

    @property
    def variance(self) -> float:
        return (self.below**2 + self.above**2) / 2


def _welch(old: _Spread, new: _Spread) -> float:
    """Degrees of freedom of the difference (Welch and Satterthwaite)."""
    total = old.variance + new.variance
    if total == 0:
        return 1.0
    return total**2 / (old.variance**2 / old.freedom + new.variance**2 / new.freedom)


def _exact_change(base: float, run: float) -> Interval:
    if base == run:
        return Interval(0.0, 0.0, 0.0)
    change = math.inf if base == 0 else -math.inf if run == 0 else math.log(run / base)
    return Interval(change, change, change)


def _by_key(results: Sequence[Result]) -> dict[tuple[str, str], Result]:
    return {(result.name, result.metric): result for result in results}


def _pairs(base: Result, run: Result, directions: Mapping[str, str]) -> list[_Pair]:
    """The figures of one result: after/before where there is one, and the figure itself."""
    metric = METRICS[run.metric]
    worse = worse_sign(metric, directions.get(run.claim or ""))
    if metric.kind == "value":
        basis: Basis = "value" if metric.name in _MACHINE_FREE else "absolute"
        return [_Pair(base, run, basis, base.value, run.value, worse)]
    if metric.kind == "absolute":
        return [_Pair(base, run, "absolute", base.value, run.value, worse)]
    if metric.kind == "reduction" and worse is not None:
        worse = -worse
    pairs = [_Pair(base, run, "ratio", _ratio(base), _ratio(run), worse)]
    old, new = (getattr(result.after, f"{metric.statistic}_ms", None) for result in (base, run))
    if old is not None and new is not None:
        pairs.append(_Pair(base, run, "absolute", old, new, 1))
    return pairs


def _ratio(result: Result) -> Estimate:
    """after/before, also where only the reduction in percent was recorded."""
    if result.ratio is not None:
        return result.ratio
    value = result.value
    if METRICS[result.metric].kind != "reduction" or isinstance(value, NotEstimable):
        return value
    return Interval(1 - value.estimate / 100, 1 - value.hi / 100, 1 - value.lo / 100)


def _tolerance(pair: _Pair, tolerances: Tolerances) -> float | None:
    """None where the figure is only shown."""
    return None if pair.worse is None else tolerances.of(pair.basis)


def _uncertain(pair: _Pair) -> bool:
    """True unless both figures are exact; exact ones raise no false alarm."""
    return any(
        isinstance(e, NotEstimable) or e.lo < e.hi for e in (pair.base_estimate, pair.run_estimate)
    )


def _judged(pair: _Pair, tail: float, tolerance_percent: float | None) -> Change:
    base, run = pair.base, pair.run
    logs = log_change(pair.base_estimate, pair.run_estimate, base.blocks, run.blocks, tail)
    outcome: Outcome = "shown"
    reason, findable = "", None
    if isinstance(logs, NotEstimable):
        outcome, reason = ("shown" if tolerance_percent is None else "cannot tell"), logs.reason
    elif tolerance_percent is not None and pair.worse is not None:
        limit = math.log1p(tolerance_percent / 100)
        worse = logs if pair.worse > 0 else Interval(-logs.estimate, -logs.hi, -logs.lo)
        outcome = _outcome(worse, limit)
        if math.isfinite(worse.estimate):
            findable = 100 * math.expm1(limit + worse.estimate - worse.lo)
    own = METRICS[run.metric].kind == "absolute" or pair.basis != "absolute"
    words = _words(base, run) if own else (None, None)
    if words == ("met", "missed") and base.target == run.target:
        outcome = "regression"
    elif words[0] and base.target != run.target:
        reason = "the promise itself differs between the runs"
    return Change(
        name=run.name,
        claim=run.claim,
        metric=run.metric,
        unit=run.unit if own else "ms",
        notebook=run.origin.notebook,
        basis=pair.basis,
        base=base.value if own else pair.base_estimate,
        run=run.value if own else pair.run_estimate,
        change=_percent(logs),
        outcome=outcome,
        reason=reason,
        findable_percent=findable,
        base_verdict=words[0],
        run_verdict=words[1],
    )


def _outcome(worse: Interval, limit: float) -> Outcome:
    """By where the interval of the worsening (log scale) lies; the limit itself is tolerated."""
    if worse.lo > limit:
        return "regression"
    if worse.hi < -limit:
        return "improvement"
    return "unchanged" if worse.lo >= -limit and worse.hi <= limit else "cannot tell"


def _words(base: Result, run: Result) -> tuple[str | None, str | None]:
    return base.verdict.word if base.verdict else None, run.verdict.word if run.verdict else None


def _alone(result: Result, outcome: Outcome) -> Change:
    words = result.verdict.word if result.verdict else None
    here = outcome == "new"
    return Change(
        name=result.name,
        claim=result.claim,
        metric=result.metric,
        unit=result.unit,
        notebook=result.origin.notebook,
        basis="absolute" if METRICS[result.metric].kind == "absolute" else "value",
        base=None if here else result.value,
        run=result.value if here else None,
        change=None,
        outcome=outcome,
        base_verdict=None if here else words,
        run_verdict=words if here else None,
    )


def _percent(logs: Estimate) -> Estimate:
    if isinstance(logs, NotEstimable):
        return logs
    return Interval(*(100 * math.expm1(end) for end in (logs.estimate, logs.lo, logs.hi)))
