"""The intervals and verdicts hold what they promise, on experiments with known answers.

Every profile's block count is simulated: 200 experiments a scenario in a plain run,
1,000 with ``pytest tests/measure/test_coverage.py --repetitions=1000 -s``, which prints the
figures. Seeds were chosen before the first run. At 1,000 the thresholds apply as they stand; at
fewer, a share may miss its threshold by three standard errors of that many repetitions.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from perflab.measure.claims import Claim, Word, judge_comparison
from perflab.measure.comparison import Comparison, Statistic, compare
from perflab.measure.metrics import METRICS
from perflab.measure.statistics import Interval, min_samples
from perflab.profiles import load_profiles

from .synthetic import Model

STATISTICS: tuple[Statistic, ...] = ("mean", "median", "p95", "p99")
QUANTILES: dict[Statistic, float] = {"p95": 0.95, "p99": 0.99}
COVERAGE = {"mean": 0.93, "median": 0.93, "p95": 0.91, "p99": 0.91}
AA_MISSES = 0.07
FALSE_VERDICTS = 0.04
POWER = 0.9
WORDS: tuple[Word, Word] = ("met", "missed")
FIRST_SEED = 20_260_000
FULL_PROOF = 1_000

CATEGORY = (0.001, 0.002, 0.004, 0.008)
"""Medians of a category's queries before, in seconds."""


def scenarios(rounds: int, calls: int) -> Iterator[Model]:
    sizes = {"rounds": rounds, "calls": calls}
    yield Model("one query", (0.004,), (0.15,), **sizes)
    yield Model("category", CATEGORY, (0.15,) * 4, **sizes)
    yield Model("uneven category", CATEGORY, (0.5, 0.1, 0.05, 0.2), **sizes)
    yield Model("unsteady blocks", CATEGORY, (0.15,) * 4, **sizes, block=0.3, parameters=0.1)
    yield Model("heavy tail", CATEGORY, (0.15,) * 4, **sizes, tail_share=0.02, tail_factor=10)


def shapes() -> dict[tuple[int, int], str]:
    """(rounds, calls) of the shipped profiles with the names of the profiles that use them."""
    found: dict[tuple[int, int], list[str]] = {}
    for profile in load_profiles().values():
        key = (profile.database.rounds, profile.database.calls)
        found.setdefault(key, []).append(profile.name)
    return {key: "+".join(names) for key, names in found.items()}


CASES = [
    pytest.param(model, id=f"{names}-{model.name.replace(' ', '_')}")
    for (rounds, calls), names in shapes().items()
    for model in scenarios(rounds, calls)
]


@dataclass(frozen=True)
class Truth:
    """The known answers of a model."""

    ratio: dict[Statistic, float]
    after_ms: dict[Statistic, float]

    @classmethod
    def of(cls, model: Model) -> Truth:
        def seconds(arm: str) -> dict[Statistic, float]:
            quantiles = {s: model.quantile_s(arm, q) for s, q in QUANTILES.items()}
            return {"mean": model.mean_s(arm), "median": model.quantile_s(arm, 0.5), **quantiles}

        before, after = seconds("before"), seconds("after")
        ratio = {s: after[s] / before[s] for s in STATISTICS} | {"median": model.median_ratio()}
        return cls(ratio, {s: 1_000 * after[s] for s in STATISTICS})

    def claims(self) -> list[tuple[str, Claim]]:
        """Claims whose target is exactly the truth: neither met nor missed is right."""
        made = []
        for statistic in STATISTICS:
            reduction = 100 * (1 - self.ratio[statistic])
            made.append((f"{statistic}_reduction_percent", "at_least", reduction))
            made.append((f"{statistic}_ms", "at_most", self.after_ms[statistic]))
        return [(metric, claim(metric, direction, target)) for metric, direction, target in made]


def claim(metric: str, direction: str, target: float) -> Claim:
    return Claim(
        id="some.claim",
        area="some",
        table="Some",
        metric=metric,
        unit=METRICS[metric].unit or "",
        direction=direction,
        target=target,
        wording="some",
        notebook="01_database",
    )


class Tally:
    """Counts over repetitions, and the shares they make."""

    def __init__(self, model: Model, repetitions: int) -> None:
        self.repetitions = repetitions
        truth = Truth.of(model)
        claims = truth.claims()
        self.misses: Counter[str] = Counter()
        self.verdicts: Counter[tuple[str, Word]] = Counter()
        self.estimated: Counter[str] = Counter()
        for number in range(repetitions):
            comparison = compare(model.samples(FIRST_SEED + number))
            for statistic in STATISTICS:
                self._count(
                    f"ratio {statistic}", comparison.ratio.of(statistic), truth.ratio[statistic]
                )
                self._count(f"a/a {statistic}", comparison.aa.of(statistic), 1.0)
                self._count(
                    f"arm {statistic}", comparison.after.of(statistic), truth.after_ms[statistic]
                )
            for metric, promised in claims:
                self.verdicts[metric, judge_comparison(promised, comparison).word] += 1

    def _count(self, key: str, estimate: object, truth: float) -> None:
        if isinstance(estimate, Interval):
            self.estimated[key] += 1
            self.misses[key] += not estimate.covers(truth)

    def coverage(self, key: str) -> float:
        return 1 - self.misses[key] / max(1, self.estimated[key])

    def false(self, metric: str, word: Word) -> float:
        return self.verdicts[metric, word] / self.repetitions

    def allowance(self, share: float) -> float:
        """Nothing in the full proof, else three standard errors of a share."""
        if self.repetitions >= FULL_PROOF:
            return 0.0
        return 3 * math.sqrt(share * (1 - share) / self.repetitions)


@pytest.fixture(scope="module")
def tallies() -> dict[Model, Tally]:
    return {}


@pytest.fixture
def tally(model: Model, repetitions: int, tallies: dict[Model, Tally]) -> Tally:
    if model not in tallies:
        tallies[model] = Tally(model, repetitions)
        _print(model, tallies[model])
    return tallies[model]


def _print(model: Model, tally: Tally) -> None:
    print(f"\n{model.name}, {model.rounds} rounds x {model.calls} calls, {tally.repetitions} times")
    for statistic in STATISTICS:
        if f"ratio {statistic}" not in tally.estimated:
            continue
        cells = [f"{kind} {tally.coverage(f'{kind} {statistic}'):.3f}" for kind in ("ratio", "arm")]
        cells.append(f"arm given {tally.estimated[f'arm {statistic}'] / tally.repetitions:.2f}")
        cells.append(f"A/A misses {1 - tally.coverage(f'a/a {statistic}'):.3f}")
        for metric in (f"{statistic}_reduction_percent", f"{statistic}_ms"):
            shares = [f"{tally.false(metric, word):.3f}" for word in WORDS]
            cells.append(f"{metric.partition('_')[2]} false met/missed {'/'.join(shares)}")
        print(f"  {statistic:6} coverage: {', '.join(cells)}")


@pytest.mark.parametrize("model", CASES)
def test_intervals_cover_the_truth(model: Model, tally: Tally) -> None:
    for statistic in STATISTICS:
        for kind in ("ratio", "arm"):
            key = f"{kind} {statistic}"
            if key in tally.estimated and not falls_short(model, kind, statistic):
                wanted = COVERAGE[statistic]
                assert tally.coverage(key) >= wanted - tally.allowance(wanted), key


def falls_short(model: Model, kind: str, statistic: Statistic) -> bool:
    """An arm's own mean where 2 calls in 100 make a fifth of it: see the test at the end."""
    return bool(model.tail_share) and (kind, statistic) == ("arm", "mean")


@pytest.mark.parametrize("model", CASES)
def test_the_control_seldom_differs_from_itself(model: Model, tally: Tally) -> None:
    for statistic in STATISTICS:
        misses = 1 - tally.coverage(f"a/a {statistic}")
        assert misses <= AA_MISSES + tally.allowance(AA_MISSES), statistic


@pytest.mark.parametrize("model", CASES)
def test_a_claim_that_is_exactly_true_is_seldom_judged(model: Model, tally: Tally) -> None:
    allowed = FALSE_VERDICTS + tally.allowance(FALSE_VERDICTS)
    for statistic in STATISTICS:
        for kind, metric in (("ratio", "reduction_percent"), ("arm", "ms")):
            if falls_short(model, kind, statistic):
                continue
            for word in WORDS:
                share = tally.false(f"{statistic}_{metric}", word)
                assert share <= allowed, (statistic, metric, word)


@pytest.mark.parametrize("model", CASES)
def test_p99_is_given_exactly_where_there_are_samples_for_it(model: Model, tally: Tally) -> None:
    n = model.rounds * model.calls * len(model.bases_s)
    for statistic, q in QUANTILES.items():
        assert (f"ratio {statistic}" in tally.estimated) == (n >= min_samples(q))


@pytest.mark.parametrize(("rounds", "calls"), shapes(), ids=shapes().values())
def test_a_true_difference_of_ten_percent_is_found(
    rounds: int, calls: int, repetitions: int
) -> None:
    """On a quiet machine; on an unsteady one the noise floor has to say why it is not."""
    quiet, unsteady = (
        Model("category", CATEGORY, (0.9,) * 4, rounds, calls, block=block, noise=0.2)
        for block in (0.05, 0.3)
    )
    faster = claim("mean_reduction_percent", "at_least", 0.0)
    found: Counter[str] = Counter()
    for number in range(repetitions):
        comparison = compare(quiet.samples(FIRST_SEED + number))
        found["met"] += judge_comparison(faster, comparison).word == "met"
        for statistic in STATISTICS[:2]:
            found[statistic] += _below_one(comparison, statistic)
    shares = {name: count / repetitions for name, count in found.items()}
    floors = [
        compare(unsteady.samples(FIRST_SEED + n)).noise_floor_percent() or 0 for n in range(20)
    ]
    print(f"\n10 % found at {rounds} x {calls}: {shares}; unsteady floors from {min(floors)} %")
    allowance = 0 if repetitions >= FULL_PROOF else 3 * math.sqrt(POWER * (1 - POWER) / repetitions)
    assert shares["mean"] >= POWER - allowance
    assert min(floors) > 10


def _below_one(comparison: Comparison, statistic: Statistic) -> bool:
    ratio = comparison.ratio.of(statistic)
    return isinstance(ratio, Interval) and ratio.hi < 1


@pytest.mark.parametrize("model", [case for case in CASES if "heavy_tail" in str(case.id)])
def test_known_shortfall_an_arms_mean_under_a_heavy_tail(model: Model, tally: Tally) -> None:
    """A record, not a promise: the thresholds above are MISSED here.

    At 1,000 repetitions coverage was .88 to .94 and a false *met* came in .04 to .10 of the
    cases, more at fewer calls: 200 to 500 calls do not show how rare the slow ones are. Tried and
    rejected: refusing where few blocks carry the variance (coverage of the rest fell to .56-.82).
    Ratios are not affected. The bounds only notice when it gets worse.
    """
    assert tally.coverage("arm mean") >= 0.85 - tally.allowance(0.85)
    assert tally.false("mean_ms", "met") <= 0.12 + tally.allowance(0.12)
