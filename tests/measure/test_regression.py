"""Changes between runs: their arithmetic, their coverage, and what counts as a regression."""

from __future__ import annotations

import itertools
import math
from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from perflab.measure.blocks import Blocks
from perflab.measure.claims import Verdict, Word
from perflab.measure.comparison import ArmFigures
from perflab.measure.metrics import METRICS, reduction_percent
from perflab.measure.regression import (
    Change,
    RunComparison,
    Tolerances,
    compare_runs,
    log_change,
    sidak_tail,
    worse_sign,
)
from perflab.measure.results import Origin, Result, read_results
from perflab.measure.statistics import (
    TAIL,
    Estimate,
    Interval,
    NotEstimable,
    exact,
    ratio_of_means,
    ratio_of_medians,
)

from .synthetic import Model

REAL = Path(__file__).parents[1] / "fixtures" / "runs_aa"
AA_RUNS = sorted(path.name for path in REAL.glob("aa*"))
STRICT = Tolerances(ratio=0, value=0)


def real(name: str) -> tuple[Result, ...]:
    return read_results(REAL / name / "results" / "01_database.json")


def result(
    value: Estimate,
    metric: str = "mean_ratio",
    *,
    name: str = "thing",
    claim: str | None = None,
    blocks: int = 24,
    target: float | None = None,
    word: Word | None = None,
    notebook: str = "01_database",
    after_ms: Estimate | None = None,
) -> Result:
    missing = NotEstimable("not asked for")
    return Result(
        name=name,
        claim=claim,
        metric=metric,
        unit=METRICS[metric].unit or "things",
        value=value,
        target=target,
        verdict=Verdict(word, "so it was found") if word else None,
        after=ArmFigures(after_ms, missing, missing, missing, 48, blocks) if after_ms else None,
        n=blocks,
        blocks=blocks,
        origin=Origin(
            notebook=notebook,
            run_id="run",
            profile="quick",
            seed=1,
            environment_id="machine",
            rung="embedded",
            server_version="PostgreSQL 18",
        ),
        recorded_at="2026-01-01T00:00:00.000+00:00",
    )


def around(centre: float, factor: float = 1.001) -> Interval:
    return Interval(centre, centre / factor, centre * factor)


def only(compared: RunComparison) -> Change:
    (change,) = compared.changes
    return change


def changed(base: Result, run: Result, tolerances: Tolerances = STRICT) -> Change:
    return only(compare_runs([base], [run], tolerances=tolerances))


# --- the arithmetic of a change ---

positive = st.floats(1e-6, 1e6)
widths = st.floats(1.0001, 20)


@st.composite
def intervals(draw: st.DrawFn) -> Interval:
    centre = draw(positive)
    return Interval(centre, centre / draw(widths), centre * draw(widths))


@given(intervals(), intervals(), st.integers(2, 60), st.integers(2, 60))
def test_swapping_the_runs_inverts_the_change(a: Interval, b: Interval, m: int, n: int) -> None:
    there, back = log_change(a, b, m, n), log_change(b, a, n, m)
    assert isinstance(there, Interval)
    assert isinstance(back, Interval)
    assert (back.estimate, back.lo, back.hi) == pytest.approx(
        (-there.estimate, -there.hi, -there.lo), rel=1e-9, abs=1e-9
    )
    assert there.lo <= there.estimate <= there.hi


@given(intervals(), intervals(), st.floats(1e-3, 1e3))
def test_a_change_does_not_depend_on_the_unit(a: Interval, b: Interval, factor: float) -> None:
    plain, scaled = log_change(a, b, 24, 24), log_change(a.scaled(factor), b.scaled(factor), 24, 24)
    assert isinstance(plain, Interval)
    assert isinstance(scaled, Interval)
    assert (scaled.lo, scaled.hi) == pytest.approx((plain.lo, plain.hi), rel=1e-6, abs=1e-6)


def test_figures_without_a_sampling_error_do_not_widen_the_family() -> None:
    sizes = [result(exact(8_192 * n), "size_bytes", name=f"b{n}") for n in range(1, 40)]
    plain = [result(Interval(1, 0.5, 2))]
    assert compare_runs(plain + sizes, plain + sizes).family == 1


@given(intervals(), intervals(), st.integers(1, 500))
def test_a_larger_family_has_wider_intervals(a: Interval, b: Interval, family: int) -> None:
    alone = log_change(a, b, 24, 24, sidak_tail(family))
    together = log_change(a, b, 24, 24, sidak_tail(family + 1))
    assert isinstance(alone, Interval)
    assert isinstance(together, Interval)
    assert together.lo <= alone.lo <= alone.hi <= together.hi


def test_one_figure_keeps_its_own_tail_and_many_share_it() -> None:
    assert sidak_tail(1) == pytest.approx(TAIL)
    assert (1 - 2 * sidak_tail(63)) ** 63 == pytest.approx(0.95)


@given(intervals())
def test_a_figure_without_error_leaves_the_other_interval_as_it_is(a: Interval) -> None:
    change = log_change(exact(1.0), a, 1, 24)
    assert isinstance(change, Interval)
    logs = [math.log(end) for end in (a.estimate, a.lo, a.hi)]
    assert [change.estimate, change.lo, change.hi] == pytest.approx(logs, rel=1e-6, abs=1e-9)


@pytest.mark.parametrize(
    ("base", "run", "change"), [(0, 0, 0), (0, 3, math.inf), (3, 0, -math.inf), (4, 4, 0)]
)
def test_counts_may_be_zero(base: float, run: float, change: float) -> None:
    found = log_change(exact(base), exact(run), 1, 1)
    assert found == Interval(change, change, change)


@pytest.mark.parametrize(
    ("base", "run", "named"),
    [
        (NotEstimable("too few"), around(1), "base: too few"),
        (around(1), NotEstimable("too few"), "run: too few"),
        (Interval(1, -1, 3), around(1), "the base reaches 0"),
        (around(1), Interval(1, 0, 3), "the run reaches 0"),
        (exact(-1), exact(1), "the base reaches 0"),
    ],
)
def test_what_cannot_be_divided_is_said_to_be_so(base: Estimate, run: Estimate, named: str) -> None:
    found = log_change(base, run, 24, 24)
    assert isinstance(found, NotEstimable)
    assert named in found.reason


# --- coverage on simulated runs ---


def simulated(factor: float, seed: int, queries: int = 1) -> list[Result]:
    """A run's results: the ratio of means and of medians of each query."""
    model = Model("queries", (0.004,) * queries, (factor,) * queries, calls=2)
    latencies = model.latencies(np.random.default_rng(seed))
    ids = np.repeat(np.arange(model.rounds), model.calls)
    found = []
    for query in range(queries):
        before, after = (
            Blocks.from_columns(latencies[:, arm, query, :].ravel(), ids) for arm in (0, 1)
        )
        found.append(result(ratio_of_means(before, after), "mean_ratio", name=f"q{query}"))
        found.append(result(ratio_of_medians(before, after), "median_ratio", name=f"q{query}"))
    return found


def test_the_interval_covers_a_known_change() -> None:
    pairs, true = 400, 100 * (0.3 / 0.1 - 1)
    covered = {"mean_ratio": 0, "median_ratio": 0}
    for seed in range(pairs):
        base, run = simulated(0.1, 2 * seed), simulated(0.3, 2 * seed + 1)
        for old, new in zip(base, run, strict=True):
            change = changed(old, new).change
            assert isinstance(change, Interval)
            covered[new.metric] += change.covers(true)
    least = 0.93 - 3 * math.sqrt(0.05 * 0.95 / pairs)
    assert min(covered.values()) / pairs >= least, covered


def test_a_family_of_unchanged_figures_gives_a_false_alarm_in_at_most_one_pair_of_twenty() -> None:
    pairs, missed, alarmed = 250, 0, 0
    for seed in range(pairs):
        base, run = (simulated(0.1, 10_000 + 2 * seed + n, queries=15) for n in (0, 1))
        compared = compare_runs(base, run, tolerances=STRICT)
        assert compared.family == 30
        alarmed += bool(compared.failing)
        missed += any(
            isinstance(c.change, Interval) and not c.change.covers(0) for c in compared.changes
        )
    assert missed / pairs <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / pairs)
    assert alarmed <= missed


def test_a_query_that_lost_its_index_is_found_among_many_others() -> None:
    found = 0
    for seed in range(40):
        base, run = simulated(0.1, 2 * seed, queries=15), simulated(0.1, 2 * seed + 1, queries=15)
        run[0:2] = simulated(0.9, 90_000 + seed)
        names = {c.name for c in compare_runs(base, run).failing}
        assert names <= {"q0"}
        found += names == {"q0"}
    assert found == 40


# --- which side is the bad one ---

BETTER = {
    **{f"{s}_reduction_percent": "higher" for s in ("mean", "median", "p95", "p99")},
    **{
        f"{s}_{kind}": "lower" for s in ("mean", "median", "p95", "p99") for kind in ("ms", "ratio")
    },
    "hit_ratio_percent": "higher",
    "throughput_rps": "higher",
    "throughput_per_min": "higher",
    "duration_s": "lower",
    "p95_s": "lower",
    "size_bytes": "lower",
    "count": "neither",
}


@pytest.mark.parametrize("metric", METRICS)
def test_every_metric_has_its_better_side(metric: str) -> None:
    sign = {"higher": -1, "lower": 1, "neither": None}[BETTER[metric]]
    assert worse_sign(METRICS[metric]) == sign


@pytest.mark.parametrize("metric", [name for name, side in BETTER.items() if side != "neither"])
def test_a_worse_figure_of_every_metric_is_a_regression_and_a_better_one_is_none(
    metric: str,
) -> None:
    low, high = around(20), around(40)
    worse: Estimate
    better: Estimate
    worse, better = (high, low) if BETTER[metric] == "lower" else (low, high)
    if METRICS[metric].kind == "reduction":
        worse, better = (reduction_percent(around(r)) for r in (0.4, 0.2))
    tolerances = Tolerances(ratio=10, value=10, absolute=10)
    assert changed(result(better, metric), result(worse, metric), tolerances).outcome == (
        "regression"
    )
    assert changed(result(worse, metric), result(better, metric), tolerances).outcome == (
        "improvement"
    )


@pytest.mark.parametrize(
    ("direction", "outcomes"),
    [("at_most", ("regression", "improvement")), ("at_least", ("improvement", "regression"))],
)
def test_a_count_follows_the_direction_of_its_claim(
    direction: str, outcomes: tuple[str, str]
) -> None:
    few, many = (result(exact(n), "count", name="a.b", claim="a.b") for n in (10, 20))
    for (base, run), outcome in zip([(few, many), (many, few)], outcomes, strict=True):
        found = compare_runs([base], [run], directions={"a.b": direction})
        assert only(found).outcome == outcome


def test_a_count_that_nobody_claimed_is_shown_and_never_fails() -> None:
    change = changed(result(exact(1), "count"), result(exact(100), "count"))
    assert change.outcome == "shown"


# --- tolerance ---


@pytest.mark.parametrize(
    ("lo", "hi", "outcome"),
    [
        (1.2, 1.5, "regression"),
        (1.1, 1.5, "cannot tell"),
        (0.95, 1.05, "unchanged"),
        (1 / 1.1, 1.1, "unchanged"),
        (0.8, 1.2, "cannot tell"),
        (0.7, 0.8, "improvement"),
        (0.7, 1 / 1.1, "cannot tell"),
    ],
)
def test_only_an_interval_beyond_the_tolerance_is_a_regression(
    lo: float, hi: float, outcome: str
) -> None:
    run = result(Interval(math.sqrt(lo * hi), lo, hi))
    # the base is known exactly and the only figure, so the run's interval is that of the change
    limit = 10 + 1e-9
    assert changed(result(exact(1.0)), run, Tolerances(ratio=limit)).outcome == outcome


def test_the_smallest_worsening_that_could_be_found_is_told() -> None:
    change = changed(result(exact(1.0)), result(Interval(1.0, 0.5, 2.0)), Tolerances(ratio=10))
    assert change.findable_percent == pytest.approx(100 * (1.1 * 2 - 1))


def test_times_fail_only_where_they_are_asked_to() -> None:
    base, run = result(around(1), "mean_ms"), result(around(3), "mean_ms")
    assert changed(base, run).outcome == "shown"
    assert changed(base, run, Tolerances(absolute=100)).outcome == "regression"
    assert changed(base, run, Tolerances(absolute=250)).outcome == "unchanged"


def test_a_slow_down_of_both_arms_is_found_by_absolute_figures_only() -> None:
    base = result(around(0.1), after_ms=around(1))
    run = result(around(0.1), after_ms=around(3))
    assert not compare_runs([base], [run]).failing
    (found,) = compare_runs([base], [run], tolerances=Tolerances(absolute=100)).failing
    assert (found.basis, found.unit) == ("absolute", "ms")


# --- verdicts, vanished and new figures ---


@pytest.mark.parametrize(
    ("before", "now", "fails"),
    [
        ("met", "missed", True),
        ("met", "cannot tell", False),
        ("met", "void", False),
        ("cannot tell", "missed", False),
        ("missed", "met", False),
        ("met", "met", False),
    ],
)
def test_only_a_promise_that_was_met_and_is_missed_fails(
    before: Word, now: Word, fails: bool
) -> None:
    base, run = (
        result(around(5), "mean_ms", name="a.b", claim="a.b", target=5, word=word)
        for word in (before, now)
    )
    change = changed(base, run)
    assert change.fails is fails
    assert (change.base_verdict, change.run_verdict) == (before, now)


def test_another_promise_is_no_verdict_that_changed() -> None:
    asked: tuple[tuple[float, Word], ...] = ((6.0, "met"), (4.0, "missed"))
    base, run = (
        result(around(5), "mean_ms", name="a.b", claim="a.b", target=target, word=word)
        for target, word in asked
    )
    change = changed(base, run)
    assert not change.fails
    assert "promise" in change.reason


def test_a_figure_that_vanished_fails_and_a_new_one_does_not() -> None:
    old, new = result(around(1), name="old"), result(around(1), name="new")
    compared = compare_runs([old], [new])
    assert {c.name: c.outcome for c in compared.changes} == {"old": "vanished", "new": "new"}
    assert [c.name for c in compared.failing] == ["old"]


def test_figures_of_a_notebook_that_was_not_asked_for_have_not_vanished() -> None:
    here, there = result(around(1)), result(around(1), name="other", notebook="03_cache")
    compared = compare_runs([here, there], [here])
    assert not compared.failing
    assert compared.not_compared == ("03_cache",)
    failed = compare_runs([here, there], [here], ran=["01_database", "03_cache"])
    assert [c.name for c in failed.failing] == ["other"]


def test_a_figure_that_is_not_estimable_any_more_cannot_tell() -> None:
    change = changed(result(around(1)), result(NotEstimable("19 blocks")))
    assert change.outcome == "cannot tell"
    assert "19 blocks" in change.reason


# --- real runs: tests/fixtures/runs_aa/README.md says how they were made ---


def test_no_pair_of_real_runs_of_the_same_system_shows_a_regression() -> None:
    pairs = list(itertools.permutations(AA_RUNS, 2))
    assert len(pairs) >= 20, "ten pairs, each in both directions"
    directions = {"database.indexes.count": "at_least", "database.pool.max": "at_most"}
    alarms = {
        (base, run): compare_runs(real(base), real(run), directions=directions).failing
        for base, run in pairs
    }
    assert not {pair: failing for pair, failing in alarms.items() if failing}


def test_without_the_family_the_same_pairs_would_cry_wolf() -> None:
    """What the family-wise intervals are for: singly, many pairs would show a regression."""
    alarmed = 0
    for base, run in itertools.permutations(AA_RUNS, 2):
        newer = {(r.name, r.metric): r for r in real(run)}
        alarmed += any(
            compare_runs([old], [newer[old.name, old.metric]]).failing for old in real(base)
        )
    assert alarmed >= 5


@pytest.mark.parametrize("base", AA_RUNS)
def test_an_index_left_out_is_a_regression_of_what_it_serves(base: str) -> None:
    failing = {c.name for c in compare_runs(real(base), real("no_habit_date")).failing}
    assert {
        "database.habits.improvement",
        "database.query.habit_history",
        "database.query.habit_streak",
        "database.query.streak_input",
    } <= failing


def named(name: str, compared: RunComparison, basis: str) -> set[str]:
    """Queries of failing figures called ``database.<name>.<query>``."""
    prefix = f"database.{name}."
    return {
        c.name.removeprefix(prefix)
        for c in compared.failing
        if c.name.startswith(prefix) and c.basis == basis
    }


@pytest.mark.parametrize("base", AA_RUNS)
@pytest.mark.parametrize(
    ("run", "by_the_clock", "by_buffers"),
    [
        (
            "no_A",
            {"notes_by_tags", "user_activity", "notifications_to_purge"},
            {
                "tasks_by_status",
                "tasks_title_prefix",
                "habits_today",
                "sign_in",
                "session_by_token",
                "goals_active",
            },
        ),
        (
            "no_B",
            {
                "project_progress",
                "notes_recent",
                "unread_badge",
                "export_page",
                "checkins_per_day",
            },
            {"tasks_due_between", "habit_reminders_due", "events_per_day", "sign_in"},
        ),
        (
            "no_C",
            {"reminders_due", "experiment_exposure", "sessions_expired"},
            {"completion_trend", "active_users", "project_progress"},
        ),
    ],
)
def test_an_index_left_out_is_found_by_the_clock_or_by_the_buffers(
    base: str, run: str, by_the_clock: set[str], by_buffers: set[str]
) -> None:
    compared = compare_runs(real(base), real(run))
    assert by_the_clock <= named("query", compared, "ratio")
    assert by_the_clock | by_buffers <= named("buffers", compared, "value")


def test_the_buffers_of_every_plan_are_the_same_in_every_run_of_a_system() -> None:
    touched = [
        {r.name: r.value for r in real(run) if r.name.startswith("database.buffers.")}
        for run in AA_RUNS
    ]
    assert len(touched[0]) == 30
    assert all(found == touched[0] for found in touched)


def test_a_run_against_itself_changes_nothing() -> None:
    for change in compare_runs(real("aa1"), real("aa1")).changes:
        if isinstance(change.change, Interval):
            assert change.change.estimate == 0
        assert not change.fails


def test_the_same_results_in_another_order_give_the_same_changes() -> None:
    base, run = real("aa1"), real("aa2")
    plain = {c.key: c for c in compare_runs(base, run).changes}
    turned = {c.key: c for c in compare_runs(base[::-1], run[::-1]).changes}
    assert plain == turned


def test_a_reduction_without_a_ratio_is_compared_by_the_time_left() -> None:
    base, run = (
        msgspec.structs.replace(
            result(reduction_percent(around(r)), "mean_reduction_percent"), ratio=None
        )
        for r in (0.04, 0.08)
    )
    change = changed(base, run).change
    assert isinstance(change, Interval)
    assert change.estimate == pytest.approx(100)
