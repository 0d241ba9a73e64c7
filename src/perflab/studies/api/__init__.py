"""The API study: what 04_api measures, in the order in which it shows it."""

from perflab.studies.api.contrasts import measure_contrast
from perflab.studies.api.opened import open_api
from perflab.studies.api.parts import NO_CACHE, everything, parts
from perflab.studies.api.promises import count_promises
from perflab.studies.api.rows import guarded_rows
from perflab.studies.api.steady import measure_steady
from perflab.studies.api.threshold import measure_threshold
from perflab.studies.api.throughput import measure_throughput
from perflab.studies.api.traffic import categories
from perflab.studies.api.verdicts import NOTEBOOK, judge_rest, judge_rows, judge_throughput
from perflab.studies.api.views.claims import latency_plot, plan_table, quotas_table, verdict_table
from perflab.studies.api.views.parts import (
    everything_plot,
    everything_table,
    parts_plot,
    parts_table,
    threshold_break_even,
    threshold_plot,
    threshold_table,
)
from perflab.studies.api.views.rows import asked_table, reach_plot, reach_table, rows_table
from perflab.studies.api.views.throughput import steady_plot, throughput_table
from perflab.studies.promised import claimed_table
from perflab.studies.targets import target_table

__all__ = [
    "NOTEBOOK",
    "NO_CACHE",
    "asked_table",
    "categories",
    "claimed_table",
    "count_promises",
    "everything",
    "everything_plot",
    "everything_table",
    "guarded_rows",
    "judge_rest",
    "judge_rows",
    "judge_throughput",
    "latency_plot",
    "measure_contrast",
    "measure_steady",
    "measure_threshold",
    "measure_throughput",
    "open_api",
    "parts",
    "parts_plot",
    "parts_table",
    "plan_table",
    "quotas_table",
    "reach_plot",
    "reach_table",
    "rows_table",
    "steady_plot",
    "target_table",
    "threshold_break_even",
    "threshold_plot",
    "threshold_table",
    "throughput_table",
    "verdict_table",
]
