"""The engine against an oracle that works every moment out anew from the whole history."""

from __future__ import annotations

import itertools
import math
import operator
import re
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perflab.monitor.alerts import Rule
from perflab.monitor.alerts.evaluation import quantile_of, rate
from perflab.monitor.alerts.expressions import (
    Expression,
    Quantile,
    Rate,
    Ratio,
    Seconds,
    Selector,
    Value,
)
from perflab.monitor.alerts.series import Labels, Point, Sample, Store

from .histories import OWN, Scrape, States, replay

COMPARE = {">": operator.gt, ">=": operator.ge, "<": operator.lt, "<=": operator.le}
WINDOW = Seconds(lab=3, production=60)


def rule_of(
    when: Expression, comparison: str = ">", threshold: float = 0.5, for_s: float = 1
) -> Rule:
    return Rule(
        name="Tested",
        when=when,
        comparison=comparison,  # type: ignore[arg-type]
        threshold=threshold,
        for_s=Seconds(lab=for_s, production=60),
        severity="info",
        hint="Look.",
    )


EXPRESSIONS: list[Expression] = [
    Value(metric="level"),
    Value(metric="level", by=("part",)),
    Value(metric="up"),
    Rate(metric="bad_total", window_s=WINDOW),
    Rate(metric="bad_total", matching={"part": "a|c"}, by=("part",), window_s=WINDOW),
    Rate(metric="bad_total", labels={"part": ""}, window_s=WINDOW),
    Ratio(metric="bad_total", of=Selector(metric="all_total"), window_s=WINDOW),
    Quantile(metric="wait_seconds", quantile=0.9, window_s=WINDOW),
]

# the oracle


def chosen(selector: Selector, labels: Labels) -> bool:
    told = dict(labels)
    return all(told.get(k, "") == v for k, v in selector.labels.items()) and all(
        re.fullmatch(v, told.get(k, "")) for k, v in selector.matching.items()
    )


def columns(history: Sequence[Scrape]) -> dict[tuple[str, Labels], list[tuple[int, float | None]]]:
    """For each series one entry a scrape; None where it was missing."""
    told = [
        (at, {(one.metric, tuple(sorted((*one.labels, *OWN)))): one.value for one in samples or ()})
        for at, samples in history
    ]
    for (_, row), (_, samples) in zip(told, history, strict=True):
        row["up", OWN] = 0.0 if samples is None else 1.0
    names = {key for _, row in told for key in row}
    return {key: [(at, row.get(key)) for at, row in told] for key in names}


def slope(points: list[tuple[int, float]], begin: int, end: int) -> float:
    """The rate, written down from its description in Prometheus' documentation and source."""
    grown = sum(
        after - (0 if after < before else before)
        for (_, before), (_, after) in itertools.pairwise(points)
    )
    first, last = float(points[0][0]), float(points[-1][0])
    gap = (last - first) / (len(points) - 1)
    left, right = first - begin, end - last
    if grown > 0:
        left = min(left, (last - first) * points[0][1] / grown)
    left = left if left < 1.1 * gap else gap / 2
    right = right if right < 1.1 * gap else gap / 2
    return grown * (left + (last - first) + right) / (last - first) / ((end - begin) / 1e3)


def rates(selector: Selector, by: Sequence[str], history: Sequence[Scrape]) -> dict[Labels, float]:
    end = history[-1].at_ms
    begin = end - 3_000
    groups: dict[Labels, float] = {}
    for (name, labels), column in sorted(columns(history).items()):
        if name != selector.metric or not chosen(selector, labels):
            continue
        points = [(at, v) for at, v in column if v is not None and begin <= at <= end]
        if len(points) >= 2:
            group = tuple(pair for pair in labels if pair[0] in by)
            groups[group] = groups.get(group, 0.0) + slope(points, begin, end)
    return groups


def values(rule: Rule, history: Sequence[Scrape]) -> dict[Labels, float]:
    when = rule.when
    match when:
        case Value():
            found: dict[Labels, list[float]] = {}
            for (name, labels), column in columns(history).items():
                value = column[-1][1]
                if name == when.metric and chosen(when, labels) and value is not None:
                    group = tuple(pair for pair in labels if pair[0] in when.by)
                    found.setdefault(group, []).append(value)
            worst = max if rule.comparison.startswith(">") else min
            return {group: worst(several) for group, several in found.items()}
        case Rate():
            return rates(when, when.by, history)
        case Ratio():
            above, below = rates(when, when.by, history), rates(when.of, when.by, history)
            return {group: above[group] / below[group] for group in above if below.get(group)} | {
                group: math.inf for group in above if below.get(group) == 0 and above[group] > 0
            }
        case Quantile():
            buckets = Selector(metric=f"{when.metric}_bucket")
            grouped: dict[Labels, dict[float, float]] = {}
            for group, value in rates(buckets, (*when.by, "le"), history).items():
                rest = tuple(pair for pair in group if pair[0] != "le")
                grouped.setdefault(rest, {})[float(dict(group)["le"])] = value
            return {group: quantile_of(when.quantile, found) for group, found in grouped.items()}


def oracle(rule: Rule, history: Sequence[Scrape]) -> list[States]:
    """Firing: the condition holds at every evaluation from for_s ago until now."""
    held: list[set[Labels]] = []
    states: list[States] = []
    for length in range(1, len(history) + 1):
        found = values(rule, history[:length])
        compare = COMPARE[rule.comparison]
        held.append({group for group, v in found.items() if compare(v, rule.threshold)})
        now: States = {}
        for group in held[-1]:
            begun = length - 1
            while begun and group in held[begun - 1]:
                begun -= 1
            long = history[length - 1].at_ms - history[begun].at_ms >= rule.for_s.lab * 1_000
            now[rule.name, group] = "firing" if long else "pending"
        states.append(now)
    return states


@st.composite
def histories(draw: st.DrawFn) -> list[Scrape]:
    parts = (None, "a", "b")
    counts = {(metric, part): 0 for metric in ("bad_total", "all_total") for part in parts}
    buckets = [0, 0, 0]
    at_ms, history = 1_000_000, []
    for _ in range(draw(st.integers(1, 14))):
        at_ms += draw(st.sampled_from([500, 500, 500, 730, 2_000, 4_000]))
        if draw(st.integers(0, 9)) == 0:
            history.append(Scrape(at_ms, None))
            continue
        if draw(st.integers(0, 9)) == 0:  # it was started anew
            counts = dict.fromkeys(counts, 0)
            buckets = [0, 0, 0]
        samples = []
        for (metric, part), count in counts.items():
            counts[metric, part] = count + draw(st.sampled_from([0, 0, 1, 3]))
            if draw(st.integers(0, 7)):
                labels = () if part is None else (("part", part),)
                samples.append(Sample(metric, labels, float(counts[metric, part])))
        for part in ("a", "b"):
            level = draw(st.sampled_from([None, 0.0, 0.5, 1.0]))
            if level is not None:
                samples.append(Sample("level", (("part", part),), level))
        for place in range(3):
            buckets[place] += draw(st.integers(0, 2))
        for bound, below in zip(("0.5", "1.0", "+Inf"), itertools.accumulate(buckets), strict=True):
            samples.append(Sample("wait_seconds_bucket", (("le", bound),), float(below)))
        history.append(Scrape(at_ms, tuple(samples)))
    return history


@pytest.mark.parametrize("when", EXPRESSIONS, ids=lambda when: type(when).__name__)
@given(
    history=histories(),
    comparison=st.sampled_from(list(COMPARE)),
    threshold=st.sampled_from([0.0, 0.45, 0.55, 1.3]),
    for_s=st.sampled_from([0.0, 0.5, 1.0, 1.23, 3.0]),
)
@settings(max_examples=25, deadline=None)
def test_states_are_those_of_the_whole_history(
    when: Expression, history: list[Scrape], comparison: str, threshold: float, for_s: float
) -> None:
    rule = rule_of(when, comparison, threshold, for_s)
    states, transitions = replay([rule], "lab", history)
    assert states == oracle(rule, history)
    # the transitions say the same
    told: States = {}
    moments = iter(transitions)
    change = next(moments, None)
    for scrape, state in zip(history, states, strict=True):
        while change is not None and round(change.at_s * 1_000) == scrape.at_ms:
            key = change.rule.name, change.labels
            assert told.pop(key, "inactive") == change.before != change.after
            if change.after != "inactive":
                told[key] = change.after
            change = next(moments, None)
        assert told == state
    assert change is None


def test_a_rate_by_hand() -> None:
    """Twice a second, 1 more each time: 2 a second, at the window's ends too."""
    points = [Point(at, at / 500) for at in range(1_000, 4_001, 500)]
    assert rate(points, 1_000, 4_000) == pytest.approx(2.0)
    assert rate(points[:1], 1_000, 4_000) is None
    reset = [Point(0, 10.0), Point(1_000, 12.0), Point(2_000, 1.0)]
    assert rate(reset, 0, 2_000) == pytest.approx(1.5)
    # 1.3 times the mean distance to the begin is too far: half of one; 0.7 to the end is not
    apart = [Point(at, at / 1_000 + 10) for at in range(1_300, 4_301, 1_000)]
    assert rate(apart, 0, 5_000) == pytest.approx((0.5 + 3.0 + 0.7) / 5)


@pytest.mark.parametrize(
    ("quantile", "buckets", "expected"),
    [
        (0.5, {1.0: 2.0, 2.0: 4.0, math.inf: 4.0}, 1.0),
        (0.75, {1.0: 2.0, 2.0: 4.0, math.inf: 4.0}, 1.5),
        (0.25, {1.0: 2.0, 2.0: 4.0, math.inf: 4.0}, 0.5),
        (0.99, {1.0: 2.0, math.inf: 4.0}, 1.0),
        (0.5, {1.0: 2.0, 2.0: 1.0, math.inf: 4.0}, 1.0),
        (0.5, {1.0: 0.0, math.inf: 0.0}, math.nan),
        (0.5, {1.0: 1.0}, math.nan),
        (0.5, {}, math.nan),
    ],
)
def test_a_quantile_by_hand(quantile: float, buckets: dict[float, float], expected: float) -> None:
    assert quantile_of(quantile, buckets) == pytest.approx(expected, nan_ok=True)


def test_series_that_have_ended_take_no_room_for_ever() -> None:
    store = Store(["level"], keep_ms=1_000)
    for step in range(100):
        part = Sample("level", (("part", str(step)),), 1.0)
        store.enter("here", 500 * step, [part, Sample("unknown", (), 1.0)])
        assert len(store) <= 4
    assert [
        dict(labels)["part"] for labels, _ in store.newest(Selector(metric="level"), 49_500)
    ] == ["99"]


def test_an_alert_that_flickers_begins_anew_and_a_resolved_one_says_so() -> None:
    levels = [1.0, 1.0, 0.0, 1.0, 1.0, 1.0, 1.0, 0.0]
    history = [
        Scrape(500 * number, (Sample("level", (), level),)) for number, level in enumerate(levels)
    ]
    _, transitions = replay([rule_of(Value(metric="level"))], "lab", history)
    assert [(t.at_s, t.before, t.after, t.resolved) for t in transitions] == [
        (0.0, "inactive", "pending", False),
        (1.0, "pending", "inactive", False),
        (1.5, "inactive", "pending", False),
        (2.5, "pending", "firing", False),
        (3.5, "firing", "inactive", True),
    ]
    assert transitions[-1].since_s == 1.5
    assert "Tested resolved (instance=a:1, job=api; 1): Look." in str(transitions[-1])
