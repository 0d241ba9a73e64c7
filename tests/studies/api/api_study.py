"""What the tests of the API study share: sizes, samples made by hand, and an API that is opened."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from perflab.load import OUTCOMES, LoadSamples
from perflab.profiles import ApiSizes, load_profiles
from perflab.studies.api.ceiling import Reading
from perflab.studies.api.loads import Load
from small_lab import USERS as USERS
from small_lab import SmallLab as SmallLab

PROFILES = Path(__file__).parents[2] / "fixtures" / "profiles.toml"


def some_sizes(**changes: Any) -> ApiSizes:
    """The smallest profile's sizes, with some of them changed."""
    return msgspec.structs.replace(load_profiles(PROFILES)["smoke"].api, **changes)


def samples(
    latency_s: Any, *, status: Any = 200, late_s: float = 0.0, every_s: float = 1e-3
) -> LoadSamples:
    """Requests due one after the other, every millisecond, with these latencies."""
    latency = np.atleast_1d(np.asarray(latency_s, np.float64))
    n = len(latency)
    scheduled = np.arange(n, dtype=np.float64) * np.float64(every_s)
    codes = np.broadcast_to(np.asarray(status, np.int16), n).copy()
    return LoadSamples(
        scheduled_s=scheduled,
        taken_s=scheduled + late_s,
        started_s=scheduled + late_s,
        ended_s=scheduled + latency,
        status=codes,
        body_bytes=np.where(codes == 304, 0, 100).astype(np.int64),
        outcome=np.full(n, OUTCOMES.index("answered"), np.int8),
        kept_header=(b'"tag"',) * n,
        kind="open",
        window_s=n * every_s,
        busy_share=0.1,
        began_unix_s=0.0,
    )


def reading(latency_s: Any, **facts: Any) -> Reading:
    """A reading of such samples, with no CPU time of anybody."""
    return Reading(samples(latency_s, **facts), dict.fromkeys(("server", "redis", "postgres"), 0.0))


def made_load(rate_rps: float, latency_s: Any, *, status: Any = 200, late_s: float = 0.0) -> Load:
    """A load in which only 200 is a good answer."""
    read = reading(latency_s, status=status, late_s=late_s)
    return Load(rate_rps, read, read.samples.status == 200)
