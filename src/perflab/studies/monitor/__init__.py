"""The monitoring study: what watching shows of a load with a fault in it, and what it costs."""

from perflab.studies.monitor.overhead import measure_overhead
from perflab.studies.monitor.pause import watch_a_pause, watched_api
from perflab.studies.monitor.views.episode import changes_table, overhead_table, timeline_plot
from perflab.studies.monitor.views.panel import Panel

__all__ = [
    "Panel",
    "changes_table",
    "measure_overhead",
    "overhead_table",
    "timeline_plot",
    "watch_a_pause",
    "watched_api",
]
