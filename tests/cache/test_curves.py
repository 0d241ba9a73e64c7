"""Samples, curves, and the figures that the issue names for a real trace."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from perflab.cache.accesses import Chunk
from perflab.cache.entry import CacheError
from perflab.cache.policies.curves import (
    MIN_SCALED_SIZE,
    Curves,
    Point,
    default_sizes,
    hit_ratio_curves,
)
from perflab.cache.policies.mixing import mix
from perflab.cache.policies.shards import GROUPS, Sample, take_sample
from perflab.cache.policies.simulate import Policy, simulate
from perflab.cache.policies.synthetic import ZipfAccesses
from perflab.cache.sieve import Sieve
from perflab.cache.traces import open_trace
from perflab.paths import checkout_dir

TIMED = ZipfAccesses(150_000, keys=30_000, alpha=0.8, seed=2, rate_per_s=100)


@dataclass
class Given:
    """Accesses to small numbers, cut into chunks of a few."""

    values: list[int]
    chunk: int = 5

    def chunks(self) -> Iterator[Chunk]:
        for start in range(0, len(self.values), self.chunk):
            part = np.array(self.values[start : start + self.chunk], dtype=np.uint64)
            yield Chunk(mix(part), np.arange(start, start + len(part), dtype=np.float64))


def web12() -> Path:
    """The trace in the folder ``PERFLAB_TRACES``, else beside the checkout."""
    beside = (checkout_dir() or Path.cwd()).parent / "shared" / "traces"
    path = Path(os.environ.get("PERFLAB_TRACES", beside)) / "web12.keys.txt.gz"
    if not path.is_file():
        pytest.skip("web12.keys.txt.gz is not at hand; PERFLAB_TRACES names its folder")
    return path


def ratios(curves: Curves) -> dict[tuple[Policy, int], float]:
    return {(c.policy, p.size): p.hit_ratio for c in curves.curves for p in c.points}


def test_the_reference_figures_of_a_real_trace() -> None:
    sample = take_sample(open_trace(web12()))
    assert (sample.total_accesses, sample.total_keys, sample.exact) == (95_607, 13_756, True)
    curves = hit_ratio_curves(sample, ("lru", "sieve", "min"), (100, 1_000, 5_000))
    got = ratios(curves)
    assert got["lru", 100] == pytest.approx(0.3622, abs=0.0005)
    assert got["lru", 1_000] == pytest.approx(0.6473, abs=0.0005)
    assert got["lru", 5_000] == pytest.approx(0.8070, abs=0.0005)
    assert got["sieve", 1_000] == pytest.approx(0.6823, abs=0.0005)
    assert all(got["min", size] > got["lru", size] for size in (100, 1_000, 5_000))
    assert all(p.half_width is None for curve in curves.curves for p in curve.points)


def test_the_memory_tiers_own_dictionary_reaches_the_reference_figure() -> None:
    sieve: Sieve[int, int] = Sieve(1_000)
    for chunk in open_trace(web12()).chunks():
        for key in chunk.keys.tolist():
            if sieve.get(key) is None:
                sieve.set(key, key)
    assert sieve.stats().hits / 95_607 == pytest.approx(0.6823, abs=0.0005)


# Samples


def accesses_of(sample: Sample) -> list[tuple[int, float]]:
    assert sample.times is not None
    keys = sample.keys[sample.codes].tolist()
    return list(zip(keys, sample.times.tolist(), strict=True))


@given(
    values=st.lists(st.integers(0, 30), min_size=1, max_size=120),
    max_keys=st.one_of(st.none(), st.integers(1, 12)),
    max_accesses=st.integers(1, 40),
    chunk=st.integers(1, 50),
)
def test_a_bounded_sample_is_what_its_rate_would_have_given(
    values: list[int], max_keys: int | None, max_accesses: int, chunk: int
) -> None:
    try:
        sample = take_sample(Given(values, chunk), max_keys=max_keys, max_accesses=max_accesses)
    except CacheError as error:
        assert "no key of the" in str(error)  # noqa: PT017 - other outcomes are checked below
        return
    mixed = [int(key) for key in take_sample(Given(values)).keys]
    order = take_sample(Given(values))
    expected = [
        (mixed[code], float(n))
        for n, code in enumerate(order.codes.tolist())
        if sample.exact or mixed[code] < sample.rate * 2**64 * (1 - 1e-12)
    ]
    assert accesses_of(sample) == expected
    assert len(sample.codes) <= max_accesses
    assert len(sample.keys) <= (max_keys or 1_000)
    assert sample.total_accesses == len(values)
    within = len(values) <= max_accesses and len(set(values)) <= (max_keys or 1_000)
    assert sample.exact == within


def test_a_fixed_rate_keeps_that_share_of_keys() -> None:
    sample = take_sample(TIMED, rate=0.1)
    whole = take_sample(TIMED)
    assert sample.rate == 0.1
    assert not sample.exact
    assert sample.total_keys == pytest.approx(whole.total_keys, rel=0.05)
    assert sample.expected_accesses == pytest.approx(15_000)
    counts = dict(zip(*np.unique(whole.codes, return_counts=True), strict=True))
    index = np.searchsorted(whole.keys, sample.keys)
    assert (whole.keys[index] == sample.keys).all()
    kept = np.bincount(sample.codes)
    assert kept.tolist() == [counts[code] for code in index.tolist()]


def test_another_seed_takes_other_keys() -> None:
    first, second = (take_sample(TIMED, rate=0.1, seed=seed) for seed in (1, 2))
    assert not np.isin(first.keys, second.keys).any()


def test_the_groups_of_a_sample_are_disjoint_and_complete() -> None:
    sample = take_sample(TIMED, rate=0.2)
    members = np.sum([sample.group(n) for n in range(GROUPS)], axis=0)
    assert (members == 1).all()
    assert all(0.5 < sample.group(n).sum() * GROUPS / len(members) < 2 for n in range(GROUPS))


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"rate": 0}, "rate=0: a sampling rate lies above 0"),
        ({"rate": 1.5}, "rate=1.5"),
        ({"max_keys": 0}, "max_keys=0"),
        ({"max_accesses": 0}, "max_accesses=0"),
        ({"rate": 1e-15}, "no key of the 150,000 accesses is left; raise the rate"),
    ],
)
def test_impossible_samples_are_refused(options: dict[str, float], reason: str) -> None:
    with pytest.raises(CacheError, match=reason):
        take_sample(TIMED, **options)  # type: ignore[arg-type]


def test_a_trace_without_accesses_is_refused() -> None:
    with pytest.raises(CacheError, match="the trace has no accesses"):
        take_sample(Given([]))


# Curves


def points(curves: Curves) -> list[tuple[Policy, Point]]:
    return [(curve.policy, point) for curve in curves.curves for point in curve.points]


def test_an_exact_curve_is_the_simulation_at_each_size() -> None:
    sample = take_sample(TIMED)
    curves = hit_ratio_curves(sample, ("lru", "fifo"), (10, 5_000))
    for policy, point in points(curves):
        outcome = simulate(policy, sample.codes, point.size)
        assert point.hit_ratio == pytest.approx(outcome.hit_ratio)
        assert (point.half_width, point.expired_ratio) == (None, 0.0)
    timed = hit_ratio_curves(sample, ("lru",), (1_000,), ttl_s=20)
    outcome = simulate("lru", sample.codes, 1_000, ttl_s=20, times=sample.times)
    point = points(timed)[0][1]
    assert point.hit_ratio == pytest.approx(outcome.hit_ratio)
    assert point.expired_ratio == outcome.expired / 150_000 > 0


@pytest.mark.parametrize("ttl_s", [None, 200.0])
def test_a_sampled_curve_lies_near_the_exact_one(ttl_s: float | None) -> None:
    options = {} if ttl_s is None else {"ttl_s": ttl_s}
    policies: tuple[Policy, ...] = ("lru", "fifo", "sieve") + (() if ttl_s else ("lfu", "min"))
    sizes = (1_000, 5_000, 15_000)
    exact = ratios(hit_ratio_curves(take_sample(TIMED), policies, sizes, **options))
    sampled = hit_ratio_curves(take_sample(TIMED, rate=0.15), policies, sizes, **options)
    assert sampled.rate == 0.15
    for policy, point in points(sampled):
        assert point.half_width is not None
        assert 0 < point.half_width < 0.06
        error = abs(point.hit_ratio - exact[policy, point.size])
        assert error < 2 * point.half_width, (policy, point)


def test_the_interval_of_a_sampled_curve_covers_the_exact_figure() -> None:
    workload = ZipfAccesses(60_000, keys=10_000, alpha=0.7, seed=9)
    sizes = (500, 3_000)
    exact = ratios(hit_ratio_curves(take_sample(workload), ("lru",), sizes))
    covered = []
    for seed in range(40):
        sampled = hit_ratio_curves(take_sample(workload, rate=0.2, seed=seed), ("lru",), sizes)
        covered += [
            abs(point.hit_ratio - exact["lru", point.size]) <= (point.half_width or 0)
            for _, point in points(sampled)
        ]
    assert len(covered) == 80
    assert np.mean(covered) >= 0.85  # of nominally 0.95; by chance below in 1 of 1,000 runs


def test_sizes_too_small_for_the_sample_are_left_out_and_named() -> None:
    sample = take_sample(TIMED, rate=0.1)
    smallest = MIN_SCALED_SIZE * 10
    curves = hit_ratio_curves(sample, ("lru",), (10, smallest, 5_000))
    assert [point.size for _, point in points(curves)] == [smallest, 5_000]
    assert curves.left_out == (10,)
    assert min(default_sizes(sample)) >= smallest
    with pytest.raises(CacheError, match=r"the smallest is 320 entries; choose larger sizes"):
        hit_ratio_curves(sample, ("lru",), (10, 20))


def test_default_sizes_are_fractions_of_the_working_set() -> None:
    sample = take_sample(Given(list(range(1_000))))
    assert default_sizes(sample) == (1, 3, 10, 30, 100, 300)


def test_a_wrong_request_is_refused_before_anything_is_simulated() -> None:
    sample = take_sample(Given([1, 2, 3]))
    with pytest.raises(CacheError, match="unknown policy"):
        hit_ratio_curves(sample, ("lru", "mru"), (1,))  # type: ignore[arg-type]
    with pytest.raises(CacheError, match="size=0"):
        hit_ratio_curves(sample, ("lru",), (1, 0))


# Memory

GENERATE = """
import sys
from pathlib import Path
from perflab.cache.policies.synthetic import ZipfAccesses

with Path(sys.argv[1]).open("w") as file:
    for chunk in ZipfAccesses(int(sys.argv[2]), keys=int(sys.argv[3]), alpha=0.9).chunks():
        file.writelines(f"{key >> 20}\\n" for key in chunk.keys.tolist())
"""
MEASURE = """
import resource, sys
from perflab.cache.policies.curves import hit_ratio_curves
from perflab.cache.policies.shards import take_sample
from perflab.cache.traces import open_trace

bounds = {"max_keys": int(sys.argv[2]), "max_accesses": int(sys.argv[3])}
sample = take_sample(open_trace(sys.argv[1]), **bounds)
assert not sample.exact
size = sample.total_keys // 10
curves = hit_ratio_curves(sample, ("lru", "fifo", "sieve", "min"), (size,))
print(sample.total_accesses, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def python(code: str, *arguments: object) -> str:
    command = [sys.executable, "-c", code, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def peak_rss(path: Path, lines: int, keys: int, max_keys: int, max_accesses: int) -> int:
    """Of a process that reads a trace of so many lines and simulates four policies."""
    python(GENERATE, path, lines, keys)
    read, rss = python(MEASURE, path, max_keys, max_accesses).split()
    path.unlink()
    assert int(read) == lines
    return int(rss)


@pytest.mark.parametrize(
    ("lines", "keys", "max_keys", "max_accesses"),
    [
        pytest.param(300_000, 200_000, 1 << 14, 1 << 16, id="small"),
        pytest.param(
            5_000_000,
            2_000_000,
            1 << 18,
            1 << 20,
            id="large",
            marks=[
                pytest.mark.slow,
                pytest.mark.timeout(1_800),
                pytest.mark.skipif(
                    not os.environ.get("PERFLAB_FULL_SCALE"),
                    reason="5 M and 50 M lines take minutes; PERFLAB_FULL_SCALE=1 runs them",
                ),
            ],
        ),
    ],
)
def test_ten_times_the_lines_need_no_more_memory(
    tmp_path: Path, lines: int, keys: int, max_keys: int, max_accesses: int
) -> None:
    one, ten = (
        peak_rss(tmp_path / "trace.txt", factor * lines, keys, max_keys, max_accesses)
        for factor in (1, 10)
    )
    assert ten == pytest.approx(one, rel=0.1)
