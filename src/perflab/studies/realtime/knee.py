"""Rising rates on the same connections, up to the one at which delivery is too late."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Final

import pandas as pd

from perflab.profiles import RealtimeSizes
from perflab.realtime import LANES
from perflab.studies.realtime.delivery import Delivery, measure_load, plan_streams
from perflab.studies.realtime.publishing import LATE_S
from perflab.studies.realtime.stage import Crowd, Stage

LIMIT_MS: Final = 100.0
"""Of the normal lane's 99th percentile."""


@dataclass(frozen=True)
class Knee:
    """The plan's load and others in order of their rates, up to the first that was not held."""

    steps: tuple[Delivery, ...]

    @property
    def held(self) -> tuple[Delivery, ...]:
        """Those before the first that was not held."""
        return tuple(itertools.takewhile(lambda step: not reason_against(step), self.steps))

    @property
    def highest(self) -> tuple[Delivery, ...]:
        """The last of them, if it is another than the plan's."""
        return self.held[1:][-1:]


def reason_against(step: Delivery) -> str:
    """Why a rate counts as not held; empty where it was."""
    p99_ms = p99(step)
    if step.arrived.missing:
        return f"{step.arrived.missing:,} deliveries did not come"
    if p99_ms > LIMIT_MS:
        return f"p99 {p99_ms:.0f} ms"
    if step.published.late_p99_s > LATE_S:
        return f"the publisher was {1e3 * step.published.late_p99_s:.0f} ms late (p99)"
    return ""


def p99(step: Delivery) -> float:
    """Of the normal lane's deliveries, in ms."""
    return float(step.arrived.lane("normal")["ms"].quantile(0.99))


def measure_knee(opened: Stage, crowd: Crowd, sizes: RealtimeSizes, plan: Delivery) -> Knee:
    """The plan's load, then multiples of its rate until one is not held."""
    steps = [plan]
    crowds = dict.fromkeys(crowd.order.channels, crowd)
    for times in sizes.knee:
        if reason_against(steps[-1]):
            break
        streams = plan_streams(crowd.order.channels, times * sizes.rate_per_min)
        name = f"{plan.name}, rate ×{times:g}"
        steps.append(measure_load(opened, crowds, streams, sizes.knee_s, name))
    return Knee(tuple(steps))


def knee_frame(knee: Knee) -> pd.DataFrame:
    """One row a rate."""
    return pd.DataFrame(
        [
            {
                "per_min": step.published.per_min,
                "per_s": step.arrived.delivered / step.published.seconds,
                **{
                    f"{lane}_{name}": float(step.arrived.lane(lane)["ms"].quantile(q))
                    for lane in LANES
                    for name, q in (("median", 0.5), ("p99", 0.99))
                },
                "frames": float(step.hubs["frames"].sum() / step.hubs["deliveries"].sum()),
                "busy": float(step.hubs["busy_percent"].sum()),
                "held": reason_against(step) or "held",
            }
            for step in knee.steps
        ]
    )
