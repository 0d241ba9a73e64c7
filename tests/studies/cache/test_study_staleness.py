"""Hits and stale answers under four rules, on the same reads and writes."""

from __future__ import annotations

import math
from pathlib import Path

import pandas as pd
import pytest
from cache_study import traced
from hypothesis import given, settings
from hypothesis import strategies as st

from perflab.studies.cache import staleness
from perflab.studies.cache.staleness import (
    FIXED_S,
    LONGEST_S,
    SHORTEST_S,
    Outcome,
    _derived,
    _Events,
    _replay,
    _Seen,
    measure_staleness,
)
from perflab.studies.cache.workload import synthetic

FIXED, AS_STALE, AS_HIT, PURGED = range(4)


def measured(seed: int, requests: int = 4_500, rate_rps: float = 4.0) -> pd.DataFrame:
    return measure_staleness(synthetic(150, 0.9, seed), requests, rate_rps, seed)


def replayed(*events: tuple[float, str], purge: bool = False, ttl_s: float = FIXED_S) -> Outcome:
    """Reads ``r`` and writes ``w`` of one key, in seconds after the part that does not count."""
    at_s = [FIXED_S + after for after, _ in events]
    found = _Events([0] * len(events), at_s, [kind == "w" for _, kind in events])
    return _replay(found, lambda _seen: ttl_s, purge=purge)


# --- by hand ---------------------------------------------------------------------------------


def test_a_value_overwritten_after_its_load_is_stale_until_it_expires() -> None:
    events = [(0, "r"), (10, "w"), (20, "r"), (25, "w"), (290, "r"), (301, "r"), (305, "r")]
    # 301 loads anew, what was written before; 290 serves what was overwritten at 10, not at 25
    assert replayed(*events) == Outcome(3 / 5, 2 / 5, 280.0)


def test_a_purge_costs_one_miss_and_no_answer_is_stale() -> None:
    events = [(0, "r"), (10, "w"), (20, "r"), (25, "r"), (290, "r"), (321, "r")]
    assert replayed(*events, purge=True) == Outcome(2 / 5, 0.0, 0.0)


def test_a_write_before_the_load_makes_nothing_stale() -> None:
    assert replayed((0, "w"), (1, "r"), (2, "r")) == Outcome(1 / 2, 0.0, 0.0)


def test_reads_of_the_first_lifetime_fill_the_cache_and_are_not_counted() -> None:
    assert replayed((-20, "r"), (-10, "w"), (-5, "r"), (5, "r")) == Outcome(1.0, 1.0, 15.0)


@pytest.mark.parametrize(
    ("share", "seen", "ttl_s"),
    [
        (0.5, _Seen(writes=4, watched_s=400.0), 50.0),
        (0.5, _Seen(writes=1, watched_s=400.0), 200.0),
        (0.5, _Seen(writes=0, watched_s=400.0), 200.0),
        (0.5, _Seen(writes=400, watched_s=400.0), SHORTEST_S),
        (20.0, _Seen(writes=1, watched_s=9_000.0), LONGEST_S),
    ],
)
def test_a_derived_lifetime_is_a_share_of_the_time_between_writes_within_bounds(
    share: float, seen: _Seen, ttl_s: float
) -> None:
    assert _derived(share)(seen) == ttl_s


EVENTS = st.lists(st.tuples(st.floats(0, 200), st.sampled_from("rrrw")), min_size=1, max_size=60)


@settings(max_examples=60)
@given(EVENTS, st.floats(1, 400), st.booleans())
def test_nothing_is_stale_for_longer_than_its_lifetime_and_nothing_purged_at_all(
    gaps: list[tuple[float, str]], ttl_s: float, purge: bool
) -> None:
    now, events = 0.0, []
    for gap, kind in gaps:
        now += gap
        events.append((now, kind))
    found = replayed(*events, (now, "r"), purge=purge, ttl_s=ttl_s)
    assert 0 <= found.stale_ratio <= found.hit_ratio <= 1
    assert 0 <= found.oldest_s <= ttl_s
    if purge:
        assert (found.stale_ratio, found.oldest_s) == (0, 0)


# --- the four rules --------------------------------------------------------------------------


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_each_rule_keeps_what_its_name_says(seed: int) -> None:
    frame = measured(seed)
    assert list(frame.columns) == ["rule", "hit_percent", "stale_percent", "oldest_s"]
    assert frame["rule"].str.contains("fixed|derived|purged").all()
    hits, stale, oldest = (frame[c] for c in ("hit_percent", "stale_percent", "oldest_s"))
    assert (stale.iloc[:3] > 0).all(), "something was overwritten while it was held"
    assert 0 < oldest[FIXED] <= FIXED_S
    assert stale[AS_STALE] <= stale[FIXED]
    assert hits[AS_HIT] == pytest.approx(hits[FIXED], abs=1.0)
    assert oldest[AS_HIT] <= LONGEST_S
    assert (stale[PURGED], oldest[PURGED]) == (0, 0)
    assert (hits.between(0, 100)).all()
    assert (stale <= hits).all()


def test_without_writes_nothing_is_stale_under_any_rule(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(staleness, "WRITE_MEDIAN_S", 1e18)
    frame = measured(1)
    assert (frame["stale_percent"] == 0).all()
    assert (frame["oldest_s"] == 0).all()
    assert frame["hit_percent"][PURGED] >= frame["hit_percent"][FIXED], "it keeps for an hour"


def test_keys_written_more_often_make_more_answers_stale(monkeypatch: pytest.MonkeyPatch) -> None:
    calm = measured(1)["stale_percent"][FIXED]
    monkeypatch.setattr(staleness, "WRITE_MEDIAN_S", staleness.WRITE_MEDIAN_S / 50)
    assert measured(1)["stale_percent"][FIXED] > calm


def test_a_run_shorter_than_a_lifetime_has_no_figures_and_no_error(tmp_path: Path) -> None:
    frame = measure_staleness(traced(tmp_path / "short.txt", "abacab"), 10_000, 30.0, 1)
    assert frame.drop(columns="rule").isna().all(axis=None)


def test_a_seed_gives_its_figures_again() -> None:
    pd.testing.assert_frame_equal(measured(4, 2_000), measured(4, 2_000))
    assert math.isfinite(measured(5, 2_000)["hit_percent"][FIXED])
