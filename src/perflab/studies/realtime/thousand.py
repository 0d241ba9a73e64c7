"""A thousand connections, made once and taken through everything that is claimed of them."""

from __future__ import annotations

from dataclasses import dataclass

from perflab.measure.experiment import Progress
from perflab.profiles import RealtimeSizes
from perflab.services import Redis
from perflab.studies.realtime.delivery import (
    Delivery,
    Ramp,
    default_settings,
    measure_load,
    measure_ramp,
    plan_streams,
)
from perflab.studies.realtime.hot import measure_flood
from perflab.studies.realtime.knee import Knee, measure_knee
from perflab.studies.realtime.losses import Loss, cut_all, kill_one, measure_loss
from perflab.studies.realtime.stage import stage

_PARTS = 6


@dataclass(frozen=True)
class Thousand:
    """What became of them."""

    ramp: Ramp
    plan: Delivery
    """The plan's load at the default batch interval."""
    knee: Knee
    """The same at rising rates."""
    flood: Delivery
    cut: Loss
    killed: Loss


def measure_thousand(
    redis: Redis, sizes: RealtimeSizes, seed: int, progress: Progress | None = None
) -> Thousand:
    """Connect, publish, publish faster, flood, cut all, kill one of two hubs; in this order."""

    def step(text: str, number: int) -> None:
        if progress:
            progress(text, number, _PARTS)

    settings = default_settings(sizes)
    with stage(redis, settings) as opened:
        step("connecting", 0)
        crowd, ramp = measure_ramp(opened, sizes, seed)
        channels = crowd.order.channels
        crowds = dict.fromkeys(channels, crowd)
        step("the plan's load", 1)
        name = f"{1_000 * settings.batch_interval_s:.0f} ms (default)"
        streams = plan_streams(channels, sizes.rate_per_min)
        plan = measure_load(opened, crowds, streams, sizes.load_s, name)
        step("rising rates", 2)
        knee = measure_knee(opened, crowd, sizes, plan)
        step("a flood", 3)
        flood = measure_flood(opened, sizes, seed)
        step("all connections cut", 4)
        cut = measure_loss("all connections cut at once", opened, crowd, sizes, cut_all)
        step("a hub killed", 5)
        killed = measure_loss(
            "kill -9 of one of two hubs", opened, crowd, sizes, kill_one, left=slice(1, None)
        )
        step("", _PARTS)
    return Thousand(ramp, plan, knee, flood, cut, killed)
