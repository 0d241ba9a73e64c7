"""HTTP load: open arrivals and closed loops, with latency counted from the schedule."""

from __future__ import annotations

from perflab.load import arrivals
from perflab.load.errors import LoadError
from perflab.load.generator import run_closed, run_open
from perflab.load.live import GeneratorStats, LiveFigures
from perflab.load.outcomes import ERRORS, OUTCOMES
from perflab.load.request import Request, Target
from perflab.load.samples import LoadSamples

__all__ = [
    "ERRORS",
    "OUTCOMES",
    "GeneratorStats",
    "LiveFigures",
    "LoadError",
    "LoadSamples",
    "Request",
    "Target",
    "arrivals",
    "run_closed",
    "run_open",
]
