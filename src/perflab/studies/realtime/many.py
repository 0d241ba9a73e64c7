"""Ten thousand connections on one machine: what they cost, and the plan's load on them."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from perflab.measure.experiment import Progress
from perflab.profiles import RealtimeSizes
from perflab.realtime import RealtimeError
from perflab.report.not_run import NotRun
from perflab.services import Redis
from perflab.studies.realtime.delivery import (
    Delivery,
    Ramp,
    default_settings,
    measure_load,
    measure_ramp,
    plan_streams,
)
from perflab.studies.realtime.stage import stage


@dataclass(frozen=True)
class Many:
    """What became of them."""

    ramp: Ramp
    plan: Delivery
    """The plan's load: as many deliveries as with fewer connections, in more channels."""


def measure_many(
    redis: Redis, sizes: RealtimeSizes, seed: int, progress: Progress | None = None
) -> Many | NotRun:
    """Connect so many, look at them while nothing happens, and publish.

    A NotRun says why, where the profile has none or this machine does not allow so many sockets.
    """
    what = f"{sizes.many_clients or 10_000:,} connections"
    if not sizes.many_clients:
        return NotRun(what, "the profile full has them")
    sizes = msgspec.structs.replace(sizes, clients=sizes.many_clients)
    try:
        settings = default_settings(sizes)
    except RealtimeError as error:
        return NotRun(what, str(error))
    with stage(redis, settings) as opened:
        if progress:
            progress("connecting", 0, 2)
        crowd, ramp = measure_ramp(opened, sizes, seed)
        if progress:
            progress("the plan's load", 1, 2)
        channels = crowd.order.channels
        streams = plan_streams(channels, sizes.rate_per_min)
        crowds = dict.fromkeys(channels, crowd)
        plan = measure_load(opened, crowds, streams, sizes.load_s, what)
        if progress:
            progress("", 2, 2)
    return Many(ramp, plan)
