"""Hit ratios of policies over sizes: exact on a whole trace, with an error on a sample."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray
from scipy import special

from perflab.cache.accesses import Times
from perflab.cache.entry import CacheError
from perflab.cache.policies.outcome import Outcome
from perflab.cache.policies.shards import GROUPS, Sample
from perflab.cache.policies.simulate import Policy, check, simulate
from perflab.cache.policies.stack import LruCurve

Codes = NDArray[np.int64]

FRACTIONS: Final = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3)
"""Default sizes, as fractions of the working set (the number of different keys)."""
MIN_SCALED_SIZE: Final = 4 * GROUPS
"""A size that is fewer entries than this on the sample is left out: too coarse."""

_STUDENT: Final = float(special.stdtrit(GROUPS - 1, 0.975))


class Point(msgspec.Struct, frozen=True):
    """One policy at one size."""

    size: int
    """Entries, of a cache for the whole trace."""
    hit_ratio: float
    half_width: float | None
    """Of a 95 % interval for the sampling error; None where the figure is exact."""
    expired_ratio: float
    """Of all accesses: those that missed only because of the TTL."""


class Curve(msgspec.Struct, frozen=True):
    """One policy over sizes."""

    policy: Policy
    points: tuple[Point, ...]


class Curves(msgspec.Struct, frozen=True):
    """Several policies on the same accesses, and how these were obtained."""

    accesses: int
    """Of the whole trace."""
    keys: int
    """Different ones in the whole trace; an estimate unless ``exact``."""
    rate: float
    """The share of keys that was simulated."""
    exact: bool
    curves: tuple[Curve, ...]
    left_out: tuple[int, ...]
    """Sizes too small for the sample."""


def default_sizes(sample: Sample) -> tuple[int, ...]:
    """FRACTIONS of the working set, those that the sample can tell."""
    sizes = {max(1, round(fraction * sample.total_keys)) for fraction in FRACTIONS}
    return tuple(sorted(size for size in sizes if _can_tell(sample, size)))


def hit_ratio_curves(
    sample: Sample,
    policies: Sequence[Policy],
    sizes: Sequence[int] | None = None,
    *,
    ttl_s: float = math.inf,
) -> Curves:
    """The hit ratio of every policy at every size (default: ``default_sizes``).

    On a sample, a cache of ``size`` entries is simulated by one of ``rate * size``, and misses
    are divided by the *expected* number of accesses (see ``Sample``). The interval comes from
    GROUPS disjoint parts of the sample, each simulated alone: Student's t on their figures.
    It does not contain the error of rounding ``rate * size``.

    ``ttl_s`` needs a trace with times. CacheError: see ``simulate``.
    """
    wanted = tuple(sizes) if sizes is not None else default_sizes(sample)
    for policy in policies:
        for size in wanted:
            check(policy, size, ttl_s, sample.times is not None)
    told = [size for size in wanted if _can_tell(sample, size)]
    if not told:
        raise CacheError(
            f"no size can be told at a sampling rate of {sample.rate:.2g}: the smallest is"
            f" {math.ceil(MIN_SCALED_SIZE / sample.rate):,} entries; choose larger sizes or"
            " raise the sample's bounds"
        )
    return Curves(
        accesses=sample.total_accesses,
        keys=sample.total_keys,
        rate=sample.rate,
        exact=sample.exact,
        curves=tuple(Curve(policy, _points(sample, policy, told, ttl_s)) for policy in policies),
        left_out=tuple(size for size in wanted if size not in told),
    )


def _can_tell(sample: Sample, size: int) -> bool:
    return sample.exact or size * sample.rate >= MIN_SCALED_SIZE


def _points(
    sample: Sample, policy: Policy, sizes: Sequence[int], ttl_s: float
) -> tuple[Point, ...]:
    scaled = [max(1, round(size * sample.rate)) for size in sizes]
    whole = _outcomes(policy, sample.codes, scaled, sample.times, ttl_s)
    expected = sample.expected_accesses
    widths: list[float | None] = [None] * len(sizes)
    if not sample.exact:
        widths = list(_half_widths(sample, policy, sizes, ttl_s))
    return tuple(
        Point(size, _hit_ratio(outcome, expected), width, outcome.expired / expected)
        for size, outcome, width in zip(sizes, whole, widths, strict=True)
    )


def _half_widths(sample: Sample, policy: Policy, sizes: Sequence[int], ttl_s: float) -> list[float]:
    scaled = [max(1, round(size * sample.rate / GROUPS)) for size in sizes]
    expected = sample.expected_accesses / GROUPS
    ratios = []
    for number in range(GROUPS):
        belongs = sample.group(number)
        times = None if sample.times is None else sample.times[belongs]
        outcomes = _outcomes(policy, sample.codes[belongs], scaled, times, ttl_s)
        ratios.append([1 - outcome.misses / expected for outcome in outcomes])
    errors = np.std(np.array(ratios), axis=0, ddof=1) / math.sqrt(GROUPS)
    return [float(error) * _STUDENT for error in errors]


def _outcomes(
    policy: Policy, codes: Codes, sizes: Sequence[int], times: Times | None, ttl_s: float
) -> list[Outcome]:
    if policy != "lru" or ttl_s < math.inf:
        return [simulate(policy, codes, size, ttl_s=ttl_s, times=times) for size in sizes]
    curve = LruCurve()
    curve.feed(codes)
    return [curve.outcome(size) for size in sizes]


def _hit_ratio(outcome: Outcome, expected_accesses: float) -> float:
    return min(1.0, max(0.0, 1 - outcome.misses / expected_accesses))
