"""Miss ratios of eviction policies: every policy is there, and none beats the best possible."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from cache_study import some_sizes, traced

from perflab.studies.cache import policies
from perflab.studies.cache.policies import BEST, CHE, PolicyCurves, measure_policies
from perflab.studies.cache.workload import synthetic

HAS_LIBRARY = find_spec(policies.LIBRARY) is not None
REAL = ["FIFO", "LRU", "LFU", "SIEVE", *(["W-TinyLFU"] if HAS_LIBRARY else [])]
"""W-TinyLFU is simulated by a library of the extra ``peers``."""


@pytest.fixture(scope="module")
def curves() -> PolicyCurves:
    return measure_policies(synthetic(400, 0.9, 3), some_sizes(curve_requests=16_000))


def by_policy(curves: PolicyCurves) -> pd.DataFrame:
    return curves.frame().pivot_table(index="size", columns="policy", values="miss")


def test_the_frame_has_every_policy_at_every_size(curves: PolicyCurves) -> None:
    table = by_policy(curves)
    assert set(table.columns) == {*REAL, BEST, CHE}
    assert not table.isna().any(axis=None)
    assert len(table) >= 4
    assert curves.real == tuple(REAL)
    assert curves.left_out == (() if HAS_LIBRARY else ("W-TinyLFU",))
    assert curves.reading is None
    assert curves.title == synthetic(400, 0.9, 3).title


def test_no_policy_misses_less_than_the_best_possible_one(curves: PolicyCurves) -> None:
    table = by_policy(curves)
    for name in REAL:
        assert (table[BEST] <= table[name]).all(), name
    assert (table[BEST] < table[REAL].min(axis="columns")).any()


def test_a_larger_cache_misses_less(curves: PolicyCurves) -> None:
    table = by_policy(curves)
    for name in (BEST, "LRU", "LFU", CHE):
        assert table[name].is_monotonic_decreasing, name


def test_exact_figures_have_no_sampling_error(curves: PolicyCurves) -> None:
    frame = curves.frame()
    assert curves.curves.exact
    assert (frame["miss_lo"] == frame["miss"]).all()
    assert (frame["miss_hi"] == frame["miss"]).all()


def test_the_formula_is_for_the_simulated_lru(curves: PolicyCurves) -> None:
    """It knows nothing of the first request for each key, 2 % of all here."""
    table = by_policy(curves)
    assert ((table["LRU"] - table[CHE]).between(-1.0, 3.0)).all()
    assert ((table["FIFO"] - table[CHE]).max()) > 3.0, "which would be noticed"


def test_of_a_trace_there_is_no_formula_and_its_reading_is_kept(tmp_path: Path) -> None:
    keys = synthetic(200, 0.9, 1).first(4_000).tolist()
    path = tmp_path / "t.txt"
    trace = traced(path, keys)
    with path.open("a") as file:
        file.write("a key with a \x07 bell\n")
    found = measure_policies(trace, some_sizes(curve_requests=10))
    assert found.formula == {}
    assert CHE not in set(found.frame()["policy"])
    assert found.curves.accesses == 4_000, "the whole trace, whatever the profile says"
    assert found.reading is not None
    assert (found.reading.accesses, found.reading.malformed) == (4_000, 1)
    assert "1 malformed lines were left out" in found.reading_sentence
    assert "control character" in found.reading_sentence


def test_a_clean_trace_needs_no_remark(tmp_path: Path) -> None:
    keys = np.arange(2_000) % 50
    found = measure_policies(traced(tmp_path / "t.txt", keys.tolist()), some_sizes())
    assert found.reading_sentence == ""


def test_a_policy_whose_library_is_not_installed_is_left_out_and_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(policies, "LIBRARY", "no_such_library")
    found = measure_policies(synthetic(100, 0.9, 3), some_sizes(curve_requests=1_000))
    assert found.left_out == ("W-TinyLFU",)
    assert found.real == ("FIFO", "LRU", "LFU", "SIEVE")
    assert "W-TinyLFU" not in set(found.frame()["policy"])
