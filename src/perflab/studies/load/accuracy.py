"""Accuracy: a server with known delays, and wrk on the same endpoint."""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import dataclass
from typing import Final

import numpy as np

from perflab.load import LoadSamples, Request, run_closed, run_open
from perflab.load.arrivals import poisson
from perflab.measure.statistics import (
    Estimate,
    independent_quantile,
    mean_of_repetitions,
)
from perflab.report.not_run import NotRun
from perflab.studies.load.held import HELD
from perflab.studies.load.stall import holding

MEDIAN_S: Final = 0.080
SIGMA: Final = 0.4
RATE_PER_S: Final = 250.0
QUANTILES: Final = (0.5, 0.9, 0.95, 0.99)
CONNECTIONS: Final = 128
WRK: Final = "wrk"
AGREED_US: Final = 10_000
AGREED_CONNECTIONS: Final = 8


@dataclass(frozen=True)
class Accuracy:
    """Requests whose delay was drawn from a log-normal distribution, one each."""

    samples: LoadSamples
    asked_s: np.ndarray[tuple[int], np.dtype[np.float64]]
    """The delay asked for, by request."""

    @property
    def held_s(self) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
        """How long the server says it held each request."""
        kept = self.samples.kept_header or ()
        return np.array([int(value or 0) for value in kept], dtype=np.float64) / 1e6

    def known_s(self, q: float) -> float:
        """The quantile of the distribution that the delays were drawn from."""
        from scipy.special import ndtri

        return float(MEDIAN_S * np.exp(SIGMA * ndtri(q)))

    def measured_s(self, q: float) -> Estimate:
        """The quantile of the measured service times, with its interval."""
        return independent_quantile(self.samples.service_s, q)


def measure_accuracy(requests: int, seed: int) -> Accuracy:
    """So many requests, Poisson at 250/s, each held as long as the draw for it says."""
    normal = np.random.default_rng([seed, 5]).standard_normal(requests)
    asked_s = MEDIAN_S * np.exp(SIGMA * normal)
    with holding() as target:
        samples = run_open(
            target,
            [Request("GET", f"/{round(delay * 1e6)}") for delay in asked_s],
            poisson(RATE_PER_S, seed=seed, count=requests),
            connections=CONNECTIONS,
            keep_header=HELD,
        )
    return Accuracy(samples, asked_s)


@dataclass(frozen=True)
class Agreement:
    """wrk and the lab's generator on one endpoint, in turn."""

    wrk_rps: Estimate
    wrk_ms: Estimate
    ours_rps: Estimate
    ours_ms: Estimate
    rounds: int


def measure_agreement(rounds: int, seconds: float) -> Agreement | NotRun:
    """8 connections, each asking again at once, on an endpoint that takes 10 ms."""
    program = shutil.which(WRK)
    if program is None:
        return NotRun("wrk beside the generator", "wrk is not installed")
    wrk: list[tuple[float, float]] = []
    ours: list[tuple[float, float]] = []
    with holding() as target:
        for _ in range(rounds):
            url = f"http://{target.authority}/{AGREED_US}"
            wrk.append(_wrk(program, url, seconds))
            samples = run_closed(
                target,
                Request("GET", f"/{AGREED_US}"),
                users=AGREED_CONNECTIONS,
                seconds=seconds,
            )
            ours.append(
                (samples.throughput_per_s, float(samples.service_s[samples.answered].mean()) * 1e3)
            )
    return Agreement(
        wrk_rps=mean_of_repetitions([rps for rps, _ in wrk]),
        wrk_ms=mean_of_repetitions([ms for _, ms in wrk]),
        ours_rps=mean_of_repetitions([rps for rps, _ in ours]),
        ours_ms=mean_of_repetitions([ms for _, ms in ours]),
        rounds=rounds,
    )


def _wrk(program: str, url: str, seconds: float) -> tuple[float, float]:
    """Requests a second and the mean latency in ms, as wrk prints them."""
    whole = max(round(seconds), 1)
    command = [program, "-t1", f"-c{AGREED_CONNECTIONS}", f"-d{whole}s", url]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    rate = re.search(r"Requests/sec:\s+([\d.]+)", said)
    latency = re.search(r"Latency\s+([\d.]+)(us|ms|s)\s", said)
    if rate is None or latency is None:
        raise ValueError(f"wrk printed no figures: {said!r}")
    return float(rate[1]), float(latency[1]) * {"us": 1e-3, "ms": 1.0, "s": 1e3}[latency[2]]
