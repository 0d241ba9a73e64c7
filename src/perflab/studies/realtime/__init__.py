"""The real-time study: what 05_realtime measures, in the order in which it shows it."""

from perflab.studies.promised import claimed_table
from perflab.studies.realtime.delivery import measure_interval
from perflab.studies.realtime.hot import measure_batching, measure_slow
from perflab.studies.realtime.losses import measure_redis, measure_small
from perflab.studies.realtime.many import measure_many
from perflab.studies.realtime.pooling import measure_pooling
from perflab.studies.realtime.thousand import measure_thousand
from perflab.studies.realtime.verdicts import NOTEBOOK, judge, judge_settings
from perflab.studies.realtime.views.claims import plan_table, verdict_table
from perflab.studies.realtime.views.connections import many_table, pooling_table, ramp_table
from perflab.studies.realtime.views.delivery import (
    batching_table,
    delivery_plot,
    delivery_table,
    flood_table,
    knee_plot,
    knee_table,
)
from perflab.studies.realtime.views.losses import (
    herd_table,
    losses_plot,
    losses_table,
    redis_table,
    slow_table,
)

__all__ = [
    "NOTEBOOK",
    "batching_table",
    "claimed_table",
    "delivery_plot",
    "delivery_table",
    "flood_table",
    "herd_table",
    "judge",
    "judge_settings",
    "knee_plot",
    "knee_table",
    "losses_plot",
    "losses_table",
    "many_table",
    "measure_batching",
    "measure_interval",
    "measure_many",
    "measure_pooling",
    "measure_redis",
    "measure_slow",
    "measure_small",
    "measure_thousand",
    "plan_table",
    "pooling_table",
    "ramp_table",
    "redis_table",
    "slow_table",
    "verdict_table",
]
