"""The figures of a run, of one of its steps, of one of its seconds."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from perflab.load.outcomes import CONNECT, OUTCOMES
from perflab.load.samples import LoadSamples

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]

GOOD: Final = 0
REFUSED: Final = 1
STATUS: Final = 2
CHECK: Final = 3

VERDICTS: Final = ("good", "refused", "status", "check", *OUTCOMES[CONNECT:])
"""What a request came to, by code.

good: answered as expected. refused: by a policy, e.g. 429; no error and no throughput. status: any
other unexpected status. check: the answer lacks what a check or a capture asks for. The rest are
the engine's kinds.
"""
ERROR_KINDS: Final = VERDICTS[STATUS:]
_AFTER_OWN: Final = CHECK + 1 - CONNECT

_QUANTILES: Final = (0.5, 0.9, 0.95, 0.99)
BIN_S: Final = 1.0


def verdict_of(outcome: int) -> int:
    """The verdict's code for a request that was not answered, by the engine's code."""
    return outcome + _AFTER_OWN


class Times(msgspec.Struct, frozen=True, kw_only=True):
    """Milliseconds of the good answers; NaN where there are none."""

    mean_ms: float
    p50_ms: float
    p90_ms: float
    p95_ms: float
    p99_ms: float
    max_ms: float


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """What a part of a run came to. Shares are of all its requests."""

    requests: int
    good: int
    refused: int
    errors: dict[str, int]
    """By kind; kinds that did not occur are left out."""
    statuses: dict[int, int]
    throughput_per_s: float
    """Good answers a second."""
    latency: Times
    """From the scheduled start: what users wait."""
    service: Times
    """From the actual start: what a request takes."""
    peak_concurrency: int
    """The most requests that were under way at once."""

    def value(self, metric: str) -> float:
        """One of ``METRICS``."""
        return METRICS[metric](self)

    @property
    def error_rate(self) -> float:
        """Errors as a share of the requests; NaN without any."""
        return sum(self.errors.values()) / self.requests if self.requests else float("nan")

    @property
    def refused_share(self) -> float:
        """Refused requests as a share of all; NaN without any."""
        return self.refused / self.requests if self.requests else float("nan")


METRICS: Final[Mapping[str, Callable[[Figures], float]]] = {
    "requests": lambda f: f.requests,
    "throughput_per_s": lambda f: f.throughput_per_s,
    "error_rate": lambda f: f.error_rate,
    "refused_share": lambda f: f.refused_share,
    "peak_concurrency": lambda f: f.peak_concurrency,
    "mean_ms": lambda f: f.latency.mean_ms,
    "p50_ms": lambda f: f.latency.p50_ms,
    "p90_ms": lambda f: f.latency.p90_ms,
    "p95_ms": lambda f: f.latency.p95_ms,
    "p99_ms": lambda f: f.latency.p99_ms,
    "max_ms": lambda f: f.latency.max_ms,
    "service_mean_ms": lambda f: f.service.mean_ms,
    "service_p50_ms": lambda f: f.service.p50_ms,
    "service_p90_ms": lambda f: f.service.p90_ms,
    "service_p95_ms": lambda f: f.service.p95_ms,
    "service_p99_ms": lambda f: f.service.p99_ms,
    "service_max_ms": lambda f: f.service.max_ms,
}
"""What conditions can be about."""


class Second(msgspec.Struct, frozen=True, kw_only=True):
    """One bin of ``BIN_S``: requests and latencies by when they were due, answers by their end."""

    at_s: float
    due: int
    answered_well: int
    refused: int
    errors: int
    p50_ms: float
    p95_ms: float
    service_p95_ms: float


def figures_of(
    samples: LoadSamples, verdict: NDArray[np.int8], *, begin_s: float, end_s: float
) -> Figures:
    """The figures of rows that were due from ``begin_s`` on; the load went on until ``end_s``."""
    good: Mask = verdict == GOOD
    counts = np.bincount(verdict, minlength=len(VERDICTS))
    last = max(end_s, float(samples.ended_s[good].max())) if good.any() else end_s
    return Figures(
        requests=len(verdict),
        good=int(counts[GOOD]),
        refused=int(counts[REFUSED]),
        errors={
            name: int(counts[code])
            for code, name in enumerate(VERDICTS)
            if code >= STATUS and counts[code]
        },
        statuses=samples.statuses,
        throughput_per_s=int(counts[GOOD]) / (last - begin_s) if counts[GOOD] else 0.0,
        latency=times_of(samples.latency_s[good]),
        service=times_of(samples.service_s[good]),
        peak_concurrency=_peak(samples),
    )


def seconds_of(samples: LoadSamples, verdict: NDArray[np.int8], end_s: float) -> tuple[Second, ...]:
    """The run in bins of one second, from its start on."""
    good: Mask = verdict == GOOD
    due = (samples.scheduled_s / BIN_S).astype(np.int64)
    ended = np.nan_to_num(samples.ended_s / BIN_S, nan=-1.0).astype(np.int64)
    number = max(int(np.ceil(end_s / BIN_S - 1e-9)), int(due.max(initial=0)) + 1, 1)
    bins = []
    for at in range(number):
        here = due == at
        latency, service = times_of(samples.latency_s[here & good]), samples.service_s[here & good]
        bins.append(
            Second(
                at_s=at * BIN_S,
                due=int(here.sum()),
                answered_well=int(((ended == at) & good).sum()),
                refused=int((here & (verdict == REFUSED)).sum()),
                errors=int((here & (verdict >= STATUS)).sum()),
                p50_ms=latency.p50_ms,
                p95_ms=latency.p95_ms,
                service_p95_ms=times_of(service).p95_ms,
            )
        )
    return tuple(bins)


def times_of(seconds: Floats) -> Times:
    """The times of a part; each percentile is one of them, by nearest rank."""
    values = np.sort(seconds) * 1e3
    if not len(values):
        return Times(**dict.fromkeys(Times.__struct_fields__, float("nan")))
    ranks = [max(int(np.ceil(q * len(values) - 1e-9)), 1) - 1 for q in _QUANTILES]
    p50, p90, p95, p99 = (float(values[rank]) for rank in ranks)
    return Times(
        mean_ms=float(values.mean()),
        p50_ms=p50,
        p90_ms=p90,
        p95_ms=p95,
        p99_ms=p99,
        max_ms=float(values[-1]),
    )


def _peak(samples: LoadSamples) -> int:
    """The most rows between start and end at one moment; an end comes before a start."""
    under_way = ~np.isnan(samples.started_s) & ~np.isnan(samples.ended_s)
    moments = np.concatenate((samples.ended_s[under_way], samples.started_s[under_way]))
    change = np.repeat((-1, 1), int(under_way.sum()))
    order = np.lexsort((change, moments))
    return int(np.cumsum(change[order]).max(initial=0))
